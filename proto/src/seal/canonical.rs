//! One encoding for everything that is signed, bound or derived from: each field with its length
//! before it, so that no two lists of fields have the same bytes.

/// `fields`, each preceded by its length in four bytes, big end first.
pub(super) fn encode(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(fields.iter().map(|field| field.len() + 4).sum());
    for field in fields {
        // No field of ours comes near 4 GiB; saturating keeps the encoding total.
        out.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}

/// Takes one field off the front.
pub(super) fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (field, tail) = tail.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = tail;
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn different_fields_have_different_bytes(
            a in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..4),
            b in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..4),
        ) {
            let encoded = |fields: &[Vec<u8>]| encode(&fields.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(encoded(&a) == encoded(&b), a == b);
            let bytes = encoded(&a);
            let mut rest = bytes.as_slice();
            for field in &a {
                prop_assert_eq!(take(&mut rest), Some(field.as_slice()));
            }
            prop_assert_eq!(take(&mut rest), None);
        }
    }
}
