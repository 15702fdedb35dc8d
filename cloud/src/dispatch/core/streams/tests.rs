use super::*;
use proptest::prelude::*;

fn attached(number: u8) -> Attached {
    Attached {
        since: Timestamp::from_unix_ms(0),
        agent: AgentId::from_bytes([number; 16]),
        tenant: TenantId::from_bytes([1; 16]),
        domains: ["corp.example".parse().unwrap()].into(),
        drained: false,
    }
}

struct World {
    streams: Streams,
    now: Instant,
    draws: u64,
    attempts: u64,
}

impl World {
    fn new(agents: u8) -> Self {
        let now = postern_kit::clock::monotonic();
        let mut streams = Streams::default();
        for number in 1..=agents {
            streams.attach(StreamId(number.into()), attached(number), now);
            streams.session_stands(StreamId(number.into()), now);
        }
        Self {
            streams,
            now,
            draws: 0,
            attempts: 0,
        }
    }

    fn choose(&mut self) -> u64 {
        let (tenant, domain) = (TenantId::from_bytes([1; 16]), "corp.example".parse().unwrap());
        let draws = &mut self.draws;
        // A generator that visits everybody: the test is about what is made of its draws.
        let mut chance = |bound: u64| {
            *draws = draws
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (*draws >> 33) % bound
        };
        match self
            .streams
            .choose(tenant, &domain, &BTreeSet::new(), self.now, &mut chance)
        {
            Choice::Stream(StreamId(number)) => number,
            other => panic!("{other:?}"),
        }
    }

    /// Gives out as many questions that stay; how many each stream has.
    fn load(&mut self, questions: usize) -> BTreeMap<u64, usize> {
        let mut shares = BTreeMap::new();
        for _ in 0..questions {
            let to = self.choose();
            self.attempts += 1;
            self.streams.begin(StreamId(to), AttemptId(self.attempts));
            *shares.entry(to).or_default() += 1;
        }
        shares
    }
}

#[test]
fn equal_agents_get_equal_shares() {
    let shares = World::new(4).load(400);
    assert!(
        shares.values().all(|share| (90..=110).contains(share)),
        "{shares:?}"
    );
}

#[test]
fn a_slow_agent_gets_less_and_is_tried_again_later() {
    let mut world = World::new(2);
    for _ in 0..20 {
        world
            .streams
            .took(StreamId(1), Duration::from_millis(900), world.now);
        world
            .streams
            .took(StreamId(2), Duration::from_millis(100), world.now);
    }
    let shares = world.load(100);
    // Two agents: the cost decides every time, so the shares are as the speeds.
    assert!((8..=12).contains(&shares[&1]), "{shares:?}");
    world.now += Duration::from_secs(120);
    let shares = world.load(100);
    assert!(
        shares[&1] > 80,
        "both are forgotten, and it has less to do: {shares:?}"
    );
}

#[test]
fn an_agent_of_whom_nothing_is_known_is_not_flooded() {
    let mut world = World::new(2);
    world
        .streams
        .took(StreamId(1), Duration::from_millis(50), world.now);
    let shares = world.load(100);
    assert_eq!(shares, [(1, 50), (2, 50)].into());
}

#[test]
fn an_agent_that_does_not_answer_its_ping_is_avoided() {
    let mut world = World::new(2);
    world.streams.begin(StreamId(1), AttemptId(1000));
    world.now += Duration::from_secs(2);
    world.streams.heard(StreamId(2), world.now);
    assert_eq!(world.streams.due(world.now).ping, [(StreamId(1), 1)]);
    world.now += Duration::from_millis(501);
    assert_eq!(world.load(50), [(2, 50)].into());
}

#[test]
fn a_held_agent_gets_nothing_and_keeps_its_stream() {
    let mut world = World::new(2);
    world.streams.set_drained(AgentId::from_bytes([1; 16]), true);
    assert_eq!(world.load(10), [(2, 10)].into());
    assert!(world.streams.presence(AgentId::from_bytes([1; 16])).is_some());
    world.streams.set_drained(AgentId::from_bytes([1; 16]), false);
    assert!(world.load(10)[&1] > 0);
}

/// Something that happens to a stream of a few.
#[derive(Clone, Debug)]
enum Step {
    Attach(u64, u8, u8, Vec<&'static str>),
    Session(u64),
    Refresh(u64, Vec<&'static str>),
    Begin(u64),
    End(u64),
    Heard(u64),
    Drain(u64),
    Detach(u64),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let domains = || proptest::sample::subsequence(vec!["a.example", "b.example", "c.example"], 0..=3);
    let id = || 0_u64..6;
    prop_oneof![
        3 => (id(), 0_u8..4, 0_u8..2, domains()).prop_map(|(id, agent, tenant, domains)| {
            Step::Attach(id, agent, tenant, domains)
        }),
        3 => id().prop_map(Step::Session),
        1 => (id(), domains()).prop_map(|(id, domains)| Step::Refresh(id, domains)),
        2 => id().prop_map(Step::Begin),
        2 => id().prop_map(Step::End),
        2 => id().prop_map(Step::Heard),
        1 => id().prop_map(Step::Drain),
        1 => id().prop_map(Step::Detach),
        3 => (0_u64..40_000).prop_map(Step::Pass),
    ]
}

fn names(domains: &[&str]) -> BTreeSet<DomainName> {
    domains.iter().map(|domain| domain.parse().unwrap()).collect()
}

impl World {
    fn take(&mut self, step: Step) {
        let (streams, now) = (&mut self.streams, self.now);
        match step {
            Step::Attach(id, agent, tenant, domains) => {
                // Ids are drawn at random and never come twice while one stands.
                if !streams.all.contains_key(&StreamId(id)) {
                    let attached = Attached {
                        tenant: TenantId::from_bytes([tenant; 16]),
                        domains: names(&domains),
                        ..attached(agent)
                    };
                    streams.attach(StreamId(id), attached, now);
                }
            }
            Step::Session(id) => streams.session_stands(StreamId(id), now),
            Step::Refresh(id, domains) => streams.refresh(StreamId(id), names(&domains), false),
            Step::Begin(id) => streams.begin(StreamId(id), AttemptId(1)),
            Step::End(id) => {
                streams.end(StreamId(id), AttemptId(1));
            }
            Step::Heard(id) => streams.heard(StreamId(id), now),
            Step::Drain(id) => {
                streams.drain(StreamId(id));
            }
            Step::Detach(id) => {
                streams.detach(StreamId(id));
            }
            Step::Pass(ms) => self.now += Duration::from_millis(ms),
        }
    }
}

proptest! {
    #[test]
    fn what_is_kept_for_speed_says_what_the_streams_say(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(0);
        for step in steps {
            world.take(step);
            for (tenant, domain) in [0, 1].into_iter().flat_map(|tenant| {
                ["a.example", "b.example", "c.example"].map(|domain| (tenant, domain))
            }) {
                let (tenant, domain) = (TenantId::from_bytes([tenant; 16]), domain.parse().unwrap());
                let all = world.streams.all.iter().filter(|(_, stream)| {
                    stream.attached.tenant == tenant && stream.attached.domains.contains(&domain)
                });
                let taking: Vec<_> = all.filter(|(_, stream)| stream.takes()).map(|(id, _)| *id).collect();
                let found: Vec<_> = world.streams.taking(tenant, &domain).map(|(id, _)| id).collect();
                prop_assert_eq!(found, taking);
            }
            // Nothing that is due is found later than it is due, or twice.
            let first = world.streams.all.values().map(Stream::due).min();
            prop_assert!(world.streams.next_due() <= first || first.is_none());
            let now = world.now;
            let mut expected: Vec<_> = world.streams.all.iter().filter(|(_, s)| s.due() <= now).map(|(id, _)| *id).collect();
            let due = world.streams.due(now);
            let mut found: Vec<_> = due.announce.iter().chain(due.ping.iter().map(|(id, _)| id)).chain(&due.silent).copied().collect();
            found.sort();
            found.dedup();
            expected.sort();
            prop_assert_eq!(found, expected);
            for id in due.silent {
                world.streams.detach(id);
            }
            prop_assert!(world.streams.next_due().is_none_or(|next| next > now));
            prop_assert_eq!(world.streams.looks.len(), world.streams.all.len());
        }
        for id in 0..6 {
            world.streams.detach(StreamId(id));
        }
        prop_assert!(world.streams.serving.is_empty() && world.streams.looks.is_empty());
    }
}
