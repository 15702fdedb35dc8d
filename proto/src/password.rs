//! The password: a type that zeroes itself and does not print.

use std::fmt;

use zeroize::{Zeroize as _, Zeroizing};

/// Longest password, in bytes of UTF-8. Active Directory takes 256 characters, which are at most
/// 1,024 bytes; a longer one cannot be right.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Why a password is refused before anybody is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRefused {
    /// An empty password turns a bind into an anonymous one, which succeeds.
    #[error("password is empty")]
    Empty,
    /// Longer than [`PASSWORD_BYTES_MAX`].
    #[error("password is longer than {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    /// Some directories cut a password at a NUL and then accept the rest.
    #[error("password contains a NUL")]
    Nul,
}

/// A password that may be shown to a directory: not empty, not too long, without NUL.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes the text over; its buffer is zeroed in every case.
    ///
    /// # Errors
    /// [`PasswordRefused`] says why.
    pub fn new(mut text: String) -> Result<Self, PasswordRefused> {
        let refused = if text.is_empty() {
            PasswordRefused::Empty
        } else if text.len() > PASSWORD_BYTES_MAX {
            PasswordRefused::TooLong
        } else if text.contains('\0') {
            PasswordRefused::Nul
        } else {
            return Ok(Self(Zeroizing::new(text)));
        };
        text.zeroize();
        Err(refused)
    }

    /// The password itself.
    pub fn plaintext(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_directory_would_misread_is_refused() {
        let refused = |text: &str| Password::new(text.to_owned()).err();
        assert_eq!(refused(""), Some(PasswordRefused::Empty));
        assert_eq!(refused("right\0junk"), Some(PasswordRefused::Nul));
        assert_eq!(refused(&"x".repeat(1025)), Some(PasswordRefused::TooLong));
        assert_eq!(refused(&"x".repeat(1024)), None);
        assert_eq!(refused("Pässwörd-密码-🔑-1"), None);
    }

    #[test]
    fn a_password_does_not_print() {
        assert_eq!(
            format!("{:?}", Password::new("secret".to_owned()).unwrap()),
            "Password(..)"
        );
    }
}
