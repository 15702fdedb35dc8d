//! Reads the sign-in form: within bounds of size and time, and into memory that zeroes itself.
//!
//! It is taken apart here and not by a library, because a library leaves copies behind.

use std::time::Duration;

use axum::extract::Request;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use percent_encoding::percent_decode;
use zeroize::{Zeroize as _, Zeroizing};

use super::REQUEST_BYTES_MAX;

/// Longest time until the whole form is there. It fits in a few packets; who sends it byte by byte
/// only holds a connection.
const BODY_WAIT_MAX: Duration = Duration::from_secs(10);

/// What was posted. Without a password it is the first step's form.
pub(super) struct Form {
    /// As typed.
    pub(super) username: String,
    /// As typed.
    pub(super) password: Option<Zeroizing<String>>,
}

/// Why there is no form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FormRefused {
    /// The content is of another type.
    OtherType,
    /// Larger than [`REQUEST_BYTES_MAX`].
    TooLarge,
    /// Not there within [`BODY_WAIT_MAX`], or the connection broke.
    Incomplete,
    /// Not the fields that a form has.
    Malformed,
}

/// Reads and parses the request's form.
pub(super) async fn read(request: Request) -> Result<Form, FormRefused> {
    if !is_form(request.headers()) {
        return Err(FormRefused::OtherType);
    }
    let stated = request.headers().get(CONTENT_LENGTH);
    let stated = stated.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if stated.is_some_and(|length| length > REQUEST_BYTES_MAX as u64) {
        return Err(FormRefused::TooLarge);
    }
    let bytes = tokio::time::timeout(BODY_WAIT_MAX, collect(request))
        .await
        .map_err(|_| FormRefused::Incomplete)??;
    parse(&bytes)
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    essence
        .trim()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

async fn collect(request: Request) -> Result<Zeroizing<Vec<u8>>, FormRefused> {
    let mut body = request.into_body();
    // At its full size from the start: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(REQUEST_BYTES_MAX));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| FormRefused::Incomplete)?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > REQUEST_BYTES_MAX {
            return Err(FormRefused::TooLarge);
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

/// Each of our fields once at most; others are ignored.
fn parse(bytes: &[u8]) -> Result<Form, FormRefused> {
    let (mut username, mut password) = (None, None);
    for pair in bytes.split(|byte| *byte == b'&') {
        let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at(equals);
        let field = match name {
            b"username" => &mut username,
            b"password" => &mut password,
            _ => continue,
        };
        if field.is_some() {
            return Err(FormRefused::Malformed);
        }
        *field = Some(decode(value.get(1..).unwrap_or_default())?);
    }
    let username = username.ok_or(FormRefused::Malformed)?.to_string();
    Ok(Form { username, password })
}

fn decode(value: &[u8]) -> Result<Zeroizing<String>, FormRefused> {
    let mut spaced = Zeroizing::new(Vec::with_capacity(value.len()));
    spaced.extend(value.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }));
    let mut decoded = Vec::with_capacity(value.len());
    decoded.extend(percent_decode(&spaced));
    match String::from_utf8(decoded) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            error.into_bytes().zeroize();
            Err(FormRefused::Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(String, Option<String>), FormRefused> {
        parse(text.as_bytes()).map(|form| (form.username, form.password.map(|p| p.to_string())))
    }

    #[test]
    fn a_form_is_decoded_as_browsers_encode_it() {
        let found = check("username=ada%40corp.example&password=a+b%2Bc%26d%3D%F0%9F%94%91%25");
        assert_eq!(
            found,
            Ok(("ada@corp.example".to_owned(), Some("a b+c&d=🔑%".to_owned())))
        );
        assert_eq!(check("x=1&username=a=b&y"), Ok(("a=b".to_owned(), None)));
        assert_eq!(
            check("username=&password="),
            Ok((String::new(), Some(String::new())))
        );
        assert_eq!(
            check("username&password"),
            Ok((String::new(), Some(String::new())))
        );
    }

    #[test]
    fn what_is_ambiguous_or_no_text_is_refused() {
        for text in [
            "",
            "password=x",
            "username=a&username=b",
            "username=a&password=x&password=y",
            "username=%ff",
            "username=a&password=%c3%28",
        ] {
            assert_eq!(check(text).err(), Some(FormRefused::Malformed), "{text}");
        }
    }
}
