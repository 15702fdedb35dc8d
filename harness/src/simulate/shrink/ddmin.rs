//! Delta debugging: the smallest part of a list that still has what the whole list has.

/// Which of several parts is the first to pass a test, by its place; the others may be tested beside it.
pub(super) type First<'a, T, E> = dyn FnMut(&[Vec<T>]) -> Result<Option<usize>, E> + 'a;

/// A part of `items` that passes the test, of which no single item can be left out. `items` has passed it. `at_once`
/// parts are handed to `first` together; what is found does not depend on how many.
///
/// As Zeller's ddmin, by complements alone: what fails for one reason is found in about twice as many tests as its
/// length has binary digits.
///
/// # Errors
/// What `first` ends with: the part that passed last is then its caller's to remember.
pub(super) fn ddmin<T: Clone, E>(
    mut items: Vec<T>,
    at_once: usize,
    first: &mut First<'_, T, E>,
) -> Result<Vec<T>, E> {
    if items.is_empty() || first(&[Vec::new()])?.is_some() {
        return Ok(Vec::new());
    }
    let mut parts = 2;
    while items.len() > 1 {
        let size = items.len().div_ceil(parts);
        let without = |begin: usize| {
            let end = (begin + size).min(items.len());
            let rest = [items.get(..begin), items.get(end..)].into_iter().flatten();
            rest.flatten().cloned().collect::<Vec<_>>()
        };
        let rests = (0..items.len()).step_by(size).map(without);
        let rests: Vec<_> = rests.filter(|rest| !rest.is_empty()).collect();
        let mut smaller = None;
        for together in rests.chunks(at_once.max(1)) {
            if let Some(found) = first(together)? {
                smaller = together.get(found).cloned();
                break;
            }
        }
        match smaller {
            Some(rest) => {
                items = rest;
                parts = (parts - 1).max(2);
            }
            None if size == 1 => break,
            None => parts = (parts * 2).min(items.len()),
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// The part that is found where all of `needed` are, and how many tests it took.
    fn found(length: u32, needed: &[u32]) -> (Vec<u32>, usize) {
        let passes = |part: &Vec<u32>| needed.iter().all(|one| part.contains(one));
        let mut tests = 0;
        let mut first = |parts: &[Vec<u32>]| {
            tests += parts.len();
            Ok::<_, Infallible>(parts.iter().position(passes))
        };
        let Ok(part) = ddmin((0..length).collect(), 1, &mut first);
        let mut first = |parts: &[Vec<u32>]| Ok::<_, Infallible>(parts.iter().position(passes));
        let Ok(together) = ddmin((0..length).collect(), 4, &mut first);
        assert_eq!(
            part, together,
            "what is found depends on how many are tested at once"
        );
        (part, tests)
    }

    #[test]
    fn one_of_a_thousand_is_found_in_few_tests() {
        let (part, tests) = found(1_000, &[617]);
        assert_eq!(part, [617]);
        assert!(tests < 40, "{tests}");
    }

    #[test]
    fn nothing_is_left_where_nothing_is_needed() {
        assert_eq!(found(50, &[]), (vec![], 1));
        assert_eq!(found(0, &[]), (vec![], 0));
    }

    #[test]
    fn a_test_that_gives_up_ends_it() {
        let mut left = 5;
        let mut first = |_: &[Vec<u32>]| {
            left -= 1;
            if left == 0 { Err("enough") } else { Ok(None) }
        };
        assert_eq!(ddmin((0..100).collect(), 2, &mut first), Err("enough"));
    }

    proptest! {
        #[test]
        fn exactly_what_is_needed_is_found(length in 1_u32..80, picks in prop::collection::vec(0_u32..80, 0..6)) {
            let mut needed: Vec<_> = picks.into_iter().map(|pick| pick % length).collect();
            needed.sort();
            needed.dedup();
            prop_assert_eq!(found(length, &needed).0, needed);
        }
    }
}
