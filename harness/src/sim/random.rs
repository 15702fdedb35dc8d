//! One stream of randomness per host and purpose, all from the run's seed, so that what one host
//! draws does not change what another one gets.

use std::sync::Arc;

use postern_kit::digest::sha256;
use postern_kit::random::SeededRandom;

/// The stream of this name.
pub(super) fn stream(seed: u64, name: &str) -> Arc<SeededRandom> {
    let digest = sha256(format!("{seed}/{name}").as_bytes());
    let (first, _) = digest.split_at(8);
    let own = first
        .iter()
        .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    Arc::new(SeededRandom::new(own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_kit::random::array;

    #[test]
    fn each_name_and_each_seed_has_its_own_stream() {
        let draw = |seed, name| array::<16>(stream(seed, name).as_ref());
        assert_eq!(draw(1, "cloud"), draw(1, "cloud"));
        assert_ne!(draw(1, "cloud"), draw(1, "agent1"));
        assert_ne!(draw(1, "cloud"), draw(2, "cloud"));
    }
}
