//! What it costs to decide which agent gets a question, and what its verdict means: the pure core of
//! dispatch, without sealing and sending.

#![expect(clippy::unwrap_used, reason = "bench code")]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use postern_cloud::dispatch::core::{Asked, Attached, AttemptId, Core, Effect, Event, StreamId};
use postern_kit::clock::{Timestamp, monotonic};
use postern_kit::random::{Random, SeededRandom, array, below};
use postern_proto::ids::{AgentId, RequestId, TenantId};
use postern_proto::names::DomainName;
use postern_proto::verdict::{Verdict, VerdictReport};

/// Questions under way at each agent while the one that is measured comes: a busy morning.
const UNDER_WAY: usize = 16;

struct World {
    core: Core,
    random: SeededRandom,
    tenant: TenantId,
    domain: DomainName,
    now: Instant,
}

impl World {
    fn new(agents: u64) -> Self {
        let random = SeededRandom::new(agents);
        let mut world = Self {
            core: Core::new(Duration::from_secs(4), true),
            tenant: TenantId::from_bytes(array(&random)),
            domain: "corp.example".parse().unwrap(),
            random,
            now: monotonic(),
        };
        world.attach(world.tenant, 0, agents);
        for _ in 0..agents as usize * UNDER_WAY {
            world.ask();
        }
        world
    }

    fn attach(&mut self, tenant: TenantId, first: u64, agents: u64) {
        for number in first..first + agents {
            let stream = StreamId(number);
            let attached = Attached {
                since: Timestamp::from_unix_ms(0),
                agent: AgentId::from_bytes(array(&self.random)),
                tenant,
                domains: BTreeSet::from([self.domain.clone()]),
                drained: false,
            };
            self.take(Event::Attached(stream, attached));
            self.take(Event::KeyAnnounced(stream));
            self.take(Event::SessionReady(stream));
        }
    }

    fn take(&mut self, event: Event) -> Vec<Effect> {
        let random: &dyn Random = &self.random;
        self.core.on(event, self.now, &mut |bound| below(random, bound))
    }

    fn ask(&mut self) -> AttemptId {
        let asked = Asked {
            request: RequestId::from_bytes(array(&self.random)),
            tenant: self.tenant,
            domain: self.domain.clone(),
            deadline: self.now + Duration::from_secs(15),
        };
        let effects = self.take(Event::Asked(asked));
        match effects.first() {
            Some(Effect::Write { attempt, .. }) => *attempt,
            other => panic!("nobody was asked: {other:?}"),
        }
    }

    /// From the question to its answer.
    fn question(&mut self) -> Vec<Effect> {
        let attempt = self.ask();
        self.take(Event::Verdict(attempt, VerdictReport::bare(Verdict::Accepted)))
    }
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dispatch/question to answer");
    for agents in [1, 3, 40] {
        let mut world = World::new(agents);
        group.bench_function(BenchmarkId::from_parameter(agents), |bench| {
            bench.iter(|| black_box(world.question()));
        });
    }
}

/// The same for one of many tenants with three agents each: the others' must cost nothing.
fn crowded(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dispatch/question to answer among other tenants");
    for tenants in [10, 1_000] {
        let mut world = World::new(3);
        for other in 1..tenants {
            world.attach(
                TenantId::from_bytes(array(&SeededRandom::new(other))),
                3 * other,
                3,
            );
        }
        group.bench_function(BenchmarkId::from_parameter(tenants), |bench| {
            bench.iter(|| black_box(world.question()));
        });
    }
}

fn ticks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dispatch/next tick");
    for agents in [1, 3, 40] {
        let world = World::new(agents);
        group.bench_function(BenchmarkId::from_parameter(agents), |bench| {
            bench.iter(|| black_box(world.core.next_tick()));
        });
    }
}

criterion_group!(benches, decisions, crowded, ticks);
criterion_main!(benches);
