//! Secrets that zero themselves and do not print.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::random::Random;

/// 256 bits that we generated: tokens, client secrets. Stored as [`Token256::digest`].
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Token256([u8; 32]);

impl Token256 {
    /// Draws a new one.
    pub fn generate(random: &dyn Random) -> Self {
        Self(crate::random::array(random))
    }

    /// Reads the text form of [`Token256::plaintext_text`]; `None` if it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?);
        Some(Self(bytes.as_slice().try_into().ok()?))
    }

    /// 43 characters of URL-safe base64, for the one time that it is shown.
    pub fn plaintext_text(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }

    /// The secret bytes.
    pub fn plaintext_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// SHA-256, the form that is stored and compared.
    pub fn digest(&self) -> [u8; 32] {
        crate::digest::sha256(&self.0)
    }
}

impl fmt::Debug for Token256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token256(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn a_token_survives_its_text_form_and_does_not_print() {
        let token = Token256::generate(&SeededRandom::new(1));
        let text = token.plaintext_text();
        assert_eq!(text.len(), 43);
        assert_eq!(Token256::parse(&text).map(|t| t.digest()), Some(token.digest()));
        assert!(Token256::parse(&text[1..]).is_none());
        assert!(!format!("{token:?}").contains(text.as_str()));
    }
}
