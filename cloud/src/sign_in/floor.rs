//! The moment at which refusals leave: the same for every kind, so that time tells a stranger nothing.
//!
//! It is the configured floor, or the tenant's own moving 99th percentile of wrong passwords where
//! that is later: a slow directory would otherwise show who exists there. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use postern_proto::ids::TenantId;

/// Wrong passwords that the percentile is taken over: the smallest window in which one in a hundred
/// is more than a single outlier, and small enough that a directory that was slow is soon forgotten.
const SAMPLES: usize = 256;

/// Below so many the percentile means nothing.
const SAMPLES_MIN: usize = 32;

/// What the wrong passwords of each tenant took lately.
#[derive(Debug)]
pub(super) struct Floors {
    least: Duration,
    most: Duration,
    tenants: BTreeMap<TenantId, VecDeque<Duration>>,
}

impl Floors {
    /// Never earlier than `least`, never later than `most`.
    pub(super) fn new(least: Duration, most: Duration) -> Self {
        Self {
            least,
            most,
            tenants: BTreeMap::new(),
        }
    }

    /// A wrong password took this long, from its receipt until it could be answered.
    pub(super) fn took(&mut self, tenant: TenantId, time: Duration) {
        let samples = self.tenants.entry(tenant).or_default();
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back(time);
    }

    /// How long after its receipt a refusal leaves. `None`: a tenant that does not exist.
    pub(super) fn of(&self, tenant: Option<TenantId>) -> Duration {
        let samples = tenant.and_then(|tenant| self.tenants.get(&tenant));
        let slow = samples.and_then(percentile_99).unwrap_or_default();
        self.least.max(slow).min(self.most)
    }
}

fn percentile_99(samples: &VecDeque<Duration>) -> Option<Duration> {
    if samples.len() < SAMPLES_MIN {
        return None;
    }
    let mut sorted: Vec<_> = samples.iter().copied().collect();
    let at = (sorted.len() * 99).div_ceil(100) - 1;
    let (_, found, _) = sorted.select_nth_unstable(at);
    Some(*found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_millis(250);
    const MOST: Duration = Duration::from_secs(15);

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    fn tenant(number: u8) -> TenantId {
        TenantId::from_bytes([number; 16])
    }

    #[test]
    fn a_quick_directory_leaves_the_floor_where_it_is() {
        let mut floors = Floors::new(LEAST, MOST);
        for _ in 0..1000 {
            floors.took(tenant(1), ms(20));
        }
        assert_eq!(
            [
                floors.of(Some(tenant(1))),
                floors.of(Some(tenant(2))),
                floors.of(None)
            ],
            [LEAST; 3]
        );
    }

    #[test]
    fn a_slow_directory_raises_it_for_its_own_tenant_until_it_is_quick_again() {
        let mut floors = Floors::new(LEAST, MOST);
        for at in 0..200 {
            floors.took(tenant(1), ms(400 + at));
        }
        assert_eq!(floors.of(Some(tenant(1))), ms(597));
        assert_eq!(floors.of(Some(tenant(2))), LEAST);
        for _ in 0..SAMPLES {
            floors.took(tenant(1), ms(30));
        }
        assert_eq!(floors.of(Some(tenant(1))), LEAST);
    }

    #[test]
    fn a_few_outliers_and_the_longest_time_do_not_move_it() {
        let mut floors = Floors::new(LEAST, MOST);
        for _ in 0..SAMPLES_MIN - 1 {
            floors.took(tenant(1), ms(9_000));
        }
        assert_eq!(floors.of(Some(tenant(1))), LEAST);
        for _ in 0..SAMPLES {
            floors.took(tenant(1), ms(60_000));
        }
        assert_eq!(floors.of(Some(tenant(1))), MOST);
    }
}
