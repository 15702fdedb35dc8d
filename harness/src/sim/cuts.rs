//! Links that are cut, as the ends of a TCP connection notice it.
//!
//! The simulator's TCP sends nothing twice, so what it loses is gone and the connection stays silent until an end gives
//! it up. A real one repeats what was not acknowledged, with growing pauses: a cut of a second is a second and a half
//! in which nothing comes, and a long one ends by the timeouts of whoever waits. So a cut link keeps its segments here,
//! and each connection's arrive together at its first repetition after the cut.
//!
//! [`Link`] decides, and is pure: it is told the time and which segments lie on the simulator's link, and says which
//! of them to deliver. [`Cuts`] tells the simulator.
//!
//! # Invariants
//! * A link works in a direction only when every stop of it has been mended.
//! * The segments that wait are the first ones on the simulator's link, in the same order: only [`Cuts::carry`] takes
//!   one away, and the simulator puts new ones behind.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use turmoil::{LinkIter, Protocol, Sim};

/// Until the first repetition of what is not acknowledged, on top of the way there and back: Linux's least.
const REPEAT_MIN: Duration = Duration::from_millis(200);

/// Until the first repetition of a connection's first segment, when nothing is known of the way: RFC 6298.
const REPEAT_FIRST: Duration = Duration::from_secs(1);

/// Longest pause between two repetitions: Linux's.
const REPEAT_MAX: Duration = Duration::from_secs(120);

/// Why nothing passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is lost, and its sender repeats it.
    Cut,
    /// It is lost, and its sender's repetitions as well, whenever they come.
    Lost,
    /// It is kept on the way, and arrives when the link works again.
    Held,
}

/// Which directions of a link are meant, seen from the host that is named first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ways {
    /// There and back.
    Both,
    /// There.
    There,
}

/// A direction of a link: 0 from its lower address, 1 to it.
type Lane = usize;

/// One connection's segments in one direction.
type Flow = (SocketAddr, SocketAddr);

/// Something on the simulator's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    flow: Flow,
    /// The first of its connection.
    opens: bool,
}

/// When a flow repeats what is not acknowledged.
#[derive(Clone, Copy, Debug)]
struct Repetition {
    next: Duration,
    pause: Duration,
}

/// One link.
#[derive(Debug)]
struct Link {
    /// How many stops of each kind are on, by direction.
    stops: [BTreeMap<u8, u32>; 2],
    /// What a segment takes where nothing stops it.
    latency: Duration,
    /// What waits, oldest first, each with the time of its sending.
    waiting: Vec<(Segment, Duration)>,
    repetitions: BTreeMap<Flow, Repetition>,
}

impl Link {
    fn new(latency: Duration) -> Self {
        Self {
            stops: Default::default(),
            latency,
            waiting: Vec::new(),
            repetitions: BTreeMap::new(),
        }
    }

    fn stop(&mut self, lanes: &[Lane], stop: Stop) {
        for lane in lanes {
            if let Some(stops) = self.stops.get_mut(*lane) {
                *stops.entry(stop as u8).or_default() += 1;
            }
        }
    }

    /// Mending what is not stopped changes nothing.
    fn mend(&mut self, lanes: &[Lane], stop: Stop) {
        for lane in lanes {
            if let Some(stops) = self.stops.get_mut(*lane)
                && let Some(count) = stops.get_mut(&(stop as u8))
            {
                *count -= 1;
                if *count == 0 {
                    stops.remove(&(stop as u8));
                }
            }
        }
    }

    fn has(&self, lane: Lane, stop: Stop) -> bool {
        self.stops
            .get(lane)
            .is_some_and(|stops| stops.contains_key(&(stop as u8)))
    }

    fn is_shut(&self, lane: Lane) -> bool {
        self.has(lane, Stop::Cut) || self.has(lane, Stop::Held)
    }

    /// The simulator is to keep everything, because in one direction at least nothing may pass and be kept.
    fn is_kept(&self) -> bool {
        (0..2).any(|lane| self.is_shut(lane))
    }

    /// Nothing is to be decided any more.
    fn is_well(&self) -> bool {
        self.stops.iter().all(BTreeMap::is_empty) && self.waiting.is_empty()
    }

    /// These lie on the simulator's link. What of them is new was sent since the last time.
    fn see(&mut self, now: Duration, segments: &[Segment]) {
        // What comes behind on a link that works is the simulator's own affair.
        if !self.is_kept() {
            return;
        }
        for segment in segments.iter().skip(self.waiting.len()) {
            self.waiting.push((*segment, now));
            if self.has(lane_of(segment.flow), Stop::Cut) {
                let pause = match segment.opens {
                    true => REPEAT_FIRST,
                    false => REPEAT_MIN + 2 * self.latency,
                };
                self.repetitions.entry(segment.flow).or_insert(Repetition {
                    next: now + pause,
                    pause,
                });
            }
        }
    }

    /// What waited in this direction is gone.
    fn lose(&mut self, lane: Lane) {
        self.waiting.retain(|(segment, _)| lane_of(segment.flow) != lane);
        self.repetitions.retain(|flow, _| lane_of(*flow) != lane);
    }

    /// Which of those that wait arrive by `until`, by their places; they wait no longer.
    fn due(&mut self, until: Duration) -> Vec<usize> {
        let shut = [self.is_shut(0), self.is_shut(1)];
        let is_shut = |flow: Flow| shut.get(lane_of(flow)).copied().unwrap_or_default();
        let mut repeated = BTreeSet::new();
        for (flow, repetition) in &mut self.repetitions {
            while repetition.next <= until && is_shut(*flow) {
                repetition.pause = REPEAT_MAX.min(2 * repetition.pause);
                repetition.next += repetition.pause;
            }
            if repetition.next <= until {
                repeated.insert(*flow);
            }
        }
        let (mut places, mut place) = (Vec::new(), 0);
        self.waiting.retain(|(segment, sent)| {
            let arrives = match self.repetitions.contains_key(&segment.flow) {
                true => repeated.contains(&segment.flow),
                false => !is_shut(segment.flow) && *sent + self.latency <= until,
            };
            if arrives {
                places.push(place);
            }
            place += 1;
            !arrives
        });
        self.repetitions.retain(|flow, _| !repeated.contains(flow));
        places
    }
}

fn lane_of((from, to): Flow) -> Lane {
    usize::from(from.ip() > to.ip())
}

/// All links of a world that are cut, or on which something still waits.
#[derive(Debug)]
pub(super) struct Cuts {
    links: BTreeMap<(IpAddr, IpAddr), Link>,
    /// What a segment takes: where nothing else was said, and on the links of which it was.
    latency: Duration,
    latencies: BTreeMap<(IpAddr, IpAddr), Duration>,
    /// How far time moves at once.
    tick: Duration,
}

impl Cuts {
    pub(super) fn new(latency: Duration, tick: Duration) -> Self {
        Self {
            links: BTreeMap::new(),
            latency,
            latencies: BTreeMap::new(),
            tick,
        }
    }

    /// Sets what a segment takes on a link.
    pub(super) fn set_latency(&mut self, sim: &Sim<'_>, a: IpAddr, b: IpAddr, latency: Duration) {
        sim.set_link_latency(a, b, latency);
        let (ends, _) = link_of(a, b, Ways::Both);
        self.latencies.insert(ends, latency);
        if let Some(link) = self.links.get_mut(&ends) {
            link.latency = latency;
        }
    }

    /// Stops what goes from `a` to `b`, and perhaps back.
    pub(super) fn stop(&mut self, sim: &Sim<'_>, (a, b): (IpAddr, IpAddr), ways: Ways, stop: Stop) {
        let (ends, lanes) = link_of(a, b, ways);
        self.change(sim, ends, |link| link.stop(lanes, stop));
    }

    /// Ends one such stop. The link works when all of them have ended.
    pub(super) fn mend(&mut self, sim: &Sim<'_>, (a, b): (IpAddr, IpAddr), ways: Ways, stop: Stop) {
        let (ends, lanes) = link_of(a, b, ways);
        self.change(sim, ends, |link| link.mend(lanes, stop));
    }

    fn change(&mut self, sim: &Sim<'_>, ends: (IpAddr, IpAddr), change: impl FnOnce(&mut Link)) {
        let latency = self.latencies.get(&ends).copied().unwrap_or(self.latency);
        let link = self.links.entry(ends).or_insert_with(|| Link::new(latency));
        // What was sent until now was sent before the change.
        sim.links(|links| {
            for on_it in links.filter(|one| one.pair() == ends) {
                link.see(sim.elapsed(), &segments(on_it));
            }
        });
        change(link);
        if link.is_kept() {
            sim.hold(ends.0, ends.1);
        } else {
            // What waits goes on to wait.
            sim.repair(ends.0, ends.1);
        }
        for (lane, (from, to)) in [ends, (ends.1, ends.0)].into_iter().enumerate() {
            if link.has(lane, Stop::Lost) {
                sim.partition_oneway(from, to);
                link.lose(lane);
            }
        }
    }

    /// Lets pass what arrives in the next step. To be called before every one, after all changes.
    pub(super) fn carry(&mut self, sim: &Sim<'_>) {
        if self.links.is_empty() {
            return;
        }
        let (now, until) = (sim.elapsed(), sim.elapsed() + self.tick);
        sim.links(|links| {
            for on_it in links {
                let Some(link) = self.links.get_mut(&on_it.pair()) else {
                    continue;
                };
                let on_it: Vec<_> = on_it.collect();
                link.see(now, &on_it.iter().map(segment).collect::<Vec<_>>());
                let mut due = link.due(until).into_iter().peekable();
                for (place, sent) in on_it.into_iter().enumerate() {
                    if due.next_if_eq(&place).is_some() {
                        sent.deliver();
                    }
                }
            }
        });
        self.links.retain(|_, link| !link.is_well());
    }
}

/// A link by its ends, the lower address first, and which of its directions are meant.
fn link_of(a: IpAddr, b: IpAddr, ways: Ways) -> ((IpAddr, IpAddr), &'static [Lane]) {
    match (ways, a < b) {
        (Ways::Both, true) => ((a, b), &[0, 1]),
        (Ways::Both, false) => ((b, a), &[0, 1]),
        (Ways::There, true) => ((a, b), &[0]),
        (Ways::There, false) => ((b, a), &[1]),
    }
}

fn segments(link: LinkIter<'_>) -> Vec<Segment> {
    link.map(|sent| segment(&sent)).collect()
}

fn segment(sent: &turmoil::SentRef<'_>) -> Segment {
    Segment {
        flow: sent.pair(),
        opens: matches!(sent.protocol(), Protocol::Tcp(turmoil::Segment::Syn(_))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const THERE: Lane = 0;
    const BACK: Lane = 1;
    const BOTH: &[Lane] = &[THERE, BACK];

    fn segment(text: &str) -> Segment {
        let flow = |from: &str, to: &str| (from.parse().unwrap(), to.parse().unwrap());
        let (low, high) = ("10.0.0.1:5000", "10.0.0.2:443");
        let (flow, opens) = match text {
            "there" => (flow(low, high), false),
            "back" => (flow(high, low), false),
            "another" => (flow("10.0.0.1:5001", high), false),
            _ => (flow("10.0.0.1:5002", high), true),
        };
        Segment { flow, opens }
    }

    /// A link as the simulator has it, and what arrived when.
    struct Played {
        link: Link,
        on_it: Vec<&'static str>,
        arrived: Vec<(u64, &'static str)>,
    }

    impl Played {
        fn stopped(lanes: &[Lane], stop: Stop) -> Self {
            let mut link = Link::new(10 * MS);
            link.stop(lanes, stop);
            Self {
                link,
                on_it: Vec::new(),
                arrived: Vec::new(),
            }
        }

        fn see(&mut self, at: u64) {
            let segments: Vec<_> = self.on_it.iter().map(|text| segment(text)).collect();
            self.link.see(at as u32 * MS, &segments);
        }

        fn sent(mut self, at: u64, what: &'static str) -> Self {
            self.on_it.push(what);
            self.see(at);
            self
        }

        fn mended(mut self, lanes: &[Lane], stop: Stop) -> Self {
            self.link.mend(lanes, stop);
            self
        }

        fn stopped_again(mut self, lanes: &[Lane], stop: Stop) -> Self {
            self.link.stop(lanes, stop);
            self
        }

        /// Through these milliseconds, one by one.
        fn run(mut self, from: u64, to: u64) -> Self {
            for at in from..to {
                self.see(at);
                for place in self.link.due(at as u32 * MS).into_iter().rev() {
                    self.arrived.push((at, self.on_it.remove(place)));
                }
            }
            self
        }
    }

    #[test]
    fn what_a_cut_lost_arrives_at_the_first_repetition_after_it() {
        // 220 ms after it was sent, then 440 and 880 later.
        let cut = Played::stopped(BOTH, Stop::Cut).sent(0, "there").run(0, 1000);
        assert_eq!(cut.arrived, []);
        let mended = cut.mended(BOTH, Stop::Cut).run(1000, 3000);
        assert_eq!(mended.arrived, [(220 + 440 + 880, "there")]);
        assert!(mended.link.is_well());
    }

    #[test]
    fn each_connection_and_each_direction_has_its_own_repetitions() {
        let cut = Played::stopped(BOTH, Stop::Cut)
            .sent(0, "there")
            .sent(100, "back")
            .sent(150, "another")
            .sent(160, "opens")
            .run(160, 200);
        let mended = cut.mended(BOTH, Stop::Cut).run(200, 3000);
        assert_eq!(
            mended.arrived,
            [(220, "there"), (320, "back"), (370, "another"), (1160, "opens")]
        );
    }

    #[test]
    fn a_connection_is_repeated_as_a_whole() {
        let cut = Played::stopped(BOTH, Stop::Cut).sent(0, "there").run(0, 219);
        let mended = cut.sent(219, "there").mended(BOTH, Stop::Cut).run(219, 300);
        assert_eq!(mended.arrived, [(220, "there"), (220, "there")]);
    }

    #[test]
    fn pauses_grow_to_two_minutes() {
        let cut = Played::stopped(BOTH, Stop::Cut)
            .sent(0, "there")
            .run(0, 1_000_000);
        let repetition = cut.link.repetitions.values().next().unwrap();
        assert_eq!(repetition.pause, REPEAT_MAX);
        assert!(repetition.next > 1_000_000 * MS && repetition.next <= 1_120_000 * MS);
    }

    #[test]
    fn the_other_direction_works_on_and_takes_its_time() {
        let cut = Played::stopped(&[THERE], Stop::Cut)
            .sent(0, "there")
            .sent(0, "back")
            .run(0, 500);
        assert_eq!(cut.arrived, [(10, "back")]);
    }

    #[test]
    fn what_was_held_arrives_when_it_is_released() {
        let held = Played::stopped(BOTH, Stop::Held)
            .sent(0, "there")
            .sent(5, "back")
            .run(5, 900);
        assert_eq!(held.arrived, []);
        let released = held.mended(BOTH, Stop::Held).run(900, 910);
        assert_eq!(released.arrived, [(900, "back"), (900, "there")]);
    }

    #[test]
    fn a_link_works_again_when_all_of_its_stops_are_mended() {
        let cut = Played::stopped(BOTH, Stop::Cut)
            .stopped_again(&[THERE], Stop::Cut)
            .sent(0, "there")
            .sent(0, "back")
            .mended(BOTH, Stop::Cut)
            .run(0, 600);
        assert_eq!(cut.arrived, [(220, "back")]);
        // Once more than there was to mend.
        let mended = cut
            .mended(&[THERE], Stop::Cut)
            .mended(BOTH, Stop::Held)
            .run(600, 700);
        assert_eq!(mended.arrived.last(), Some(&(660, "there")));
        assert!(mended.link.is_well());
    }

    #[test]
    fn a_cut_that_comes_back_before_the_repetition_keeps_what_waits() {
        let cut = Played::stopped(BOTH, Stop::Cut)
            .sent(0, "there")
            .mended(BOTH, Stop::Cut)
            .run(0, 200)
            .stopped_again(BOTH, Stop::Cut)
            .run(200, 300)
            .mended(BOTH, Stop::Cut)
            .run(300, 700);
        assert_eq!(cut.arrived, [(660, "there")]);
    }

    #[test]
    fn what_is_lost_for_good_never_arrives() {
        let mut cut = Played::stopped(BOTH, Stop::Held).sent(0, "there").sent(0, "back");
        cut.link.lose(THERE);
        cut.on_it.remove(0);
        let released = cut.mended(BOTH, Stop::Held).run(20, 1000);
        assert_eq!(released.arrived, [(20, "back")]);
        assert!(released.link.is_well());
    }

    #[test]
    fn a_link_is_named_from_either_end() {
        let (a, b): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        assert_eq!(link_of(a, b, Ways::There), ((a, b), [THERE].as_slice()));
        assert_eq!(link_of(b, a, Ways::There), ((a, b), [BACK].as_slice()));
        assert_eq!(link_of(b, a, Ways::Both), ((a, b), BOTH));
    }
}
