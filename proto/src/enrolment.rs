//! The enrolment token as an administrator hands it over: one line of text that carries the
//! secret and the fingerprint of the root that the agent must find at the other end.

use std::fmt;
use std::str::FromStr;

use postern_kit::secret::Token256;
use zeroize::Zeroizing;

use crate::ids::Malformed;

/// `postern1.<secret>.<root fingerprint>`, both in URL-safe base64.
pub struct EnrolmentToken {
    /// What proves the right to enrol, once.
    pub secret: Token256,
    /// SHA-256 of the private root's public key (SPKI).
    pub root_spki_sha256: [u8; 32],
}

impl EnrolmentToken {
    /// The text, for the one time that it is shown.
    pub fn plaintext_text(&self) -> Zeroizing<String> {
        let fingerprint = hex::encode(self.root_spki_sha256);
        Zeroizing::new(format!(
            "postern1.{}.{fingerprint}",
            self.secret.plaintext_text().as_str()
        ))
    }
}

impl FromStr for EnrolmentToken {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = Malformed {
            field: "token",
            expected: "what `token create` printed after \"token\": it starts with postern1.",
        };
        // The whole line, with its heading, is as good.
        let text = text.split_whitespace().last().unwrap_or_default();
        let mut parts = text.split('.');
        let (Some("postern1"), Some(secret), Some(fingerprint), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed);
        };
        let mut root_spki_sha256 = [0; 32];
        hex::decode_to_slice(fingerprint, &mut root_spki_sha256).map_err(|_| malformed.clone())?;
        Ok(Self {
            secret: Token256::parse(secret).ok_or(malformed)?,
            root_spki_sha256,
        })
    }
}

impl fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolmentToken")
            .field("root_spki_sha256", &hex::encode(self.root_spki_sha256))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_kit::random::SeededRandom;

    #[test]
    fn a_token_survives_its_text_and_does_not_print() {
        let secret = Token256::generate(&SeededRandom::new(1));
        let token = EnrolmentToken {
            secret,
            root_spki_sha256: [7; 32],
        };
        let text = token.plaintext_text();
        let again: EnrolmentToken = format!(" {}\n", text.as_str()).parse().unwrap();
        assert_eq!(again.secret.digest(), token.secret.digest());
        assert_eq!(again.root_spki_sha256, [7; 32]);
        assert!(!format!("{again:?}").contains(token.secret.plaintext_text().as_str()));
        for broken in [&text[1..], &text[..text.len() - 1], "", "postern1.a.b"] {
            assert!(broken.parse::<EnrolmentToken>().is_err(), "{broken}");
        }
    }
}
