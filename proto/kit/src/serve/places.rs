//! Who gets the places for connections when there are not enough for all. One address must not shut out the
//! others, and a limit per address would shut out offices and proxies, which many people share. So everybody
//! may take as many as there are; only when all are taken, who has the most gives one up for who has fewer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Places for connections of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Mutex<Table>>);

impl Places {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Table {
            limit,
            ..Table::default()
        })))
    }

    /// A place until it is dropped, for a connection that must end when the place is given to another;
    /// `None` if all are taken and nobody has two more than this peer.
    pub(crate) fn take(&self, peer: IpAddr) -> Option<Place> {
        let given_away = CancellationToken::new();
        let number = self.table().take(origin(peer), given_away.clone())?;
        Some(Place {
            places: self.clone(),
            number,
            origin: origin(peer),
            given_away,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// No request is under way.
    Idle,
    /// One is.
    Busy,
    /// One is that is meant to last.
    Lasts,
}

/// A place, until it is dropped or given to another.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    number: u64,
    origin: IpAddr,
    given_away: CancellationToken,
}

impl Place {
    /// What its connection does: one that keeps its place is not given to another, and of the others the idle ones
    /// go before the busy ones.
    pub(crate) fn is(&self, doing: Doing) {
        self.places.table().note(self.origin, self.number, doing);
    }

    /// Ends when it was given to another.
    ///
    /// # Cancellation
    /// Safe to drop.
    pub(crate) async fn given_away(&self) {
        self.given_away.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table().free(self.origin, self.number);
    }
}

/// Where a peer is taken to come from: of IPv6 a whole site is given to one customer, up to a /48 (RFC 6177).
fn origin(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// A place that may be given to another.
#[derive(Debug)]
struct Taken {
    given_away: CancellationToken,
    busy: bool,
}

/// Who has which places. Numbers rise, so that a lower one is older.
#[derive(Debug, Default)]
struct Table {
    limit: usize,
    next: u64,
    taken: BTreeMap<IpAddr, BTreeMap<u64, Taken>>,
    /// The origins in order of their places in `taken`.
    by_count: BTreeSet<(usize, IpAddr)>,
    /// Those that are not given to others.
    kept: BTreeMap<u64, CancellationToken>,
    /// The places in `taken`.
    count: usize,
}

impl Table {
    fn take(&mut self, origin: IpAddr, given_away: CancellationToken) -> Option<u64> {
        if self.count + self.kept.len() >= self.limit {
            let (most, richest) = *self.by_count.last()?;
            // With one more only they would change places, and take them from each other without end.
            if most < self.of(origin) + 2 {
                return None;
            }
            // An idle one loses nothing, and the oldest has been it for longest.
            let theirs = self.taken.get(&richest)?;
            let idle = theirs.iter().find(|(_, taken)| !taken.busy);
            let (oldest, taken) = idle.or_else(|| theirs.first_key_value())?;
            taken.given_away.cancel();
            let oldest = *oldest;
            self.remove(richest, oldest);
        }
        let number = self.next;
        self.next += 1;
        let busy = false;
        self.insert(origin, number, Taken { given_away, busy });
        Some(number)
    }

    fn note(&mut self, origin: IpAddr, number: u64, doing: Doing) {
        let busy = doing != Doing::Idle;
        if doing == Doing::Lasts {
            // It may just have been given away.
            if let Some(taken) = self.remove(origin, number) {
                self.kept.insert(number, taken.given_away);
            }
        } else if let Some(given_away) = self.kept.remove(&number) {
            self.insert(origin, number, Taken { given_away, busy });
        } else if let Some(taken) = self.taken.get_mut(&origin).and_then(|all| all.get_mut(&number)) {
            taken.busy = busy;
        }
    }

    fn insert(&mut self, origin: IpAddr, number: u64, taken: Taken) {
        let before = self.of(origin);
        self.by_count.remove(&(before, origin));
        self.by_count.insert((before + 1, origin));
        self.taken.entry(origin).or_default().insert(number, taken);
        self.count += 1;
    }

    fn free(&mut self, origin: IpAddr, number: u64) {
        if self.kept.remove(&number).is_none() {
            self.remove(origin, number);
        }
    }

    fn remove(&mut self, origin: IpAddr, number: u64) -> Option<Taken> {
        let before = self.of(origin);
        let places = self.taken.get_mut(&origin)?;
        let taken = places.remove(&number)?;
        self.count -= 1;
        self.by_count.remove(&(before, origin));
        if places.is_empty() {
            self.taken.remove(&origin);
        } else {
            self.by_count.insert((before - 1, origin));
        }
        Some(taken)
    }

    fn of(&self, origin: IpAddr) -> usize {
        self.taken.get(&origin).map_or(0, BTreeMap::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn peer(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    fn many(places: &Places, from: IpAddr, count: usize) -> Vec<Place> {
        (0..count).map_while(|_| places.take(from)).collect()
    }

    fn open(places: &[Place]) -> usize {
        let given_away = |place: &&Place| place.given_away.is_cancelled();
        places.len() - places.iter().filter(given_away).count()
    }

    #[test]
    fn one_address_may_take_all_and_gives_its_oldest_to_another() {
        let places = Places::new(8);
        let rich = many(&places, peer(1), 100);
        assert_eq!(rich.len(), 8);
        let poor = many(&places, peer(2), 100);
        assert_eq!((open(&rich), open(&poor)), (4, 4));
        assert!(rich[..4].iter().all(|place| place.given_away.is_cancelled()));
        // They have alike, and take nothing from each other.
        assert!(places.take(peer(1)).is_none());
        assert!(places.take(peer(2)).is_none());
        // A third one gets something too.
        assert_eq!(open(&many(&places, peer(3), 100)), 2);
        drop(rich);
        assert!(places.take(peer(2)).is_some());
    }

    #[test]
    fn what_is_kept_is_not_given_away_and_is_free_in_the_end() {
        let places = Places::new(4);
        let rich = many(&places, peer(1), 4);
        rich[..3].iter().for_each(|place| place.is(Doing::Lasts));
        assert!(places.take(peer(2)).is_none());
        assert_eq!(open(&rich), 4);
        drop(rich);
        let all = many(&places, peer(2), 100);
        assert_eq!(all.len(), 4);
        // Too late.
        let other = places.take(peer(1)).unwrap();
        all[0].is(Doing::Lasts);
        other.is(Doing::Lasts);
        // What has lasted is as any other.
        other.is(Doing::Idle);
        assert_eq!(open(&many(&places, peer(3), 100)), 1);
        drop((all, other));
        assert_eq!(many(&places, peer(2), 100).len(), 4);
    }

    #[test]
    fn idle_ones_go_before_busy_ones() {
        let places = Places::new(4);
        let rich = many(&places, peer(1), 4);
        for busy in [0, 1, 3] {
            rich[busy].is(Doing::Busy);
        }
        rich[1].is(Doing::Idle);
        let gone = |places: &[Place]| {
            let gone = places.iter().map(|place| place.given_away.is_cancelled());
            gone.collect::<Vec<_>>()
        };
        let _first = places.take(peer(2)).unwrap();
        assert_eq!(gone(&rich), [false, true, false, false]);
        let _second = places.take(peer(2)).unwrap();
        assert_eq!(gone(&rich), [false, true, true, false]);
        // Where all are busy, the oldest goes.
        let places = Places::new(2);
        let rich = many(&places, peer(1), 2);
        rich.iter().for_each(|place| place.is(Doing::Busy));
        let _other = places.take(peer(2)).unwrap();
        assert_eq!(gone(&rich), [true, false]);
    }

    #[test]
    fn a_site_of_ipv6_is_one_peer_and_a_mapped_address_is_the_mapped_one() {
        let parse = |text: &str| origin(text.parse().unwrap());
        assert_eq!(parse("2001:db8:1:2:3::1"), parse("2001:db8:1:ffff::9"));
        assert_ne!(parse("2001:db8:1:2::1"), parse("2001:db8:2:2::1"));
        assert_eq!(parse("::ffff:10.0.0.1"), peer(1));
        assert_ne!(peer(1), peer(2));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Take(u8),
        Free(usize),
        Keep(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => (0_u8..5).prop_map(Step::Take),
            2 => any::<usize>().prop_map(Step::Free),
            1 => any::<usize>().prop_map(Step::Keep),
        ]
    }

    proptest! {
        #[test]
        fn nobody_is_refused_who_has_less_than_a_fair_share(
            limit in 1_usize..12,
            steps in proptest::collection::vec(step(), 1..200),
        ) {
            let places = Places::new(limit);
            let mut held: Vec<(IpAddr, bool, Place)> = Vec::new();
            for step in steps {
                held.retain(|(_, _, place)| !place.given_away.is_cancelled());
                match step {
                    Step::Take(from) => {
                        let of = |peer: IpAddr| {
                            held.iter().filter(|(from, kept, _)| *from == peer && !kept).count()
                        };
                        let counts: Vec<_> = (0..5).map(|from| of(peer(from))).collect();
                        let (most, own) = (*counts.iter().max().unwrap(), of(peer(from)));
                        let taken = places.take(peer(from));
                        let refused = held.len() == limit && most < own + 2;
                        prop_assert_eq!(taken.is_none(), refused);
                        held.extend(taken.map(|place| (peer(from), false, place)));
                    }
                    Step::Free(at) if !held.is_empty() => {
                        held.swap_remove(at % held.len());
                    }
                    Step::Keep(at) if !held.is_empty() => {
                        let at = at % held.len();
                        held[at].1 = true;
                        held[at].2.is(Doing::Lasts);
                    }
                    Step::Free(_) | Step::Keep(_) => {}
                }
                held.retain(|(_, _, place)| !place.given_away.is_cancelled());
                prop_assert!(held.len() <= limit);
                let table = places.table();
                prop_assert_eq!(table.count + table.kept.len(), held.len());
                prop_assert_eq!(table.by_count.len(), table.taken.len());
            }
            drop(held);
            let table = places.table();
            prop_assert!(table.taken.is_empty() && table.by_count.is_empty() && table.kept.is_empty());
        }
    }
}
