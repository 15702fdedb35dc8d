use super::*;

const SHARE: Duration = Duration::from_secs(4);
const DEADLINE: Duration = Duration::from_secs(15);

/// A core, a clock that stands still, and short names.
struct World {
    core: Core,
    now: Instant,
    questions: u8,
}

fn tenant(number: u8) -> TenantId {
    TenantId::from_bytes([number; 16])
}

fn agent(number: u8) -> AgentId {
    AgentId::from_bytes([number; 16])
}

fn domain() -> DomainName {
    "corp.example".parse().unwrap()
}

fn stream(number: u8) -> StreamId {
    StreamId(number.into())
}

impl World {
    fn new() -> Self {
        Self {
            core: Core::new(SHARE, true),
            now: postern_kit::clock::monotonic(),
            questions: 0,
        }
    }

    /// With `agents` agents of tenant 1 attached on the streams of their numbers.
    fn with(agents: u8) -> Self {
        let mut world = Self::new();
        for number in 1..=agents {
            world.attach(number, number, 1, &["corp.example"]);
        }
        world
    }

    fn on(&mut self, event: Event) -> Vec<Effect> {
        self.core.on(event, self.now, &mut |_| 0)
    }

    fn attach(&mut self, id: u8, agent_number: u8, tenant_number: u8, domains: &[&str]) -> Vec<Effect> {
        let attached = Attached {
            since: Timestamp::from_unix_ms(0),
            agent: agent(agent_number),
            tenant: tenant(tenant_number),
            domains: domains.iter().map(|domain| domain.parse().unwrap()).collect(),
            drained: false,
        };
        let effects = self.on(Event::Attached(stream(id), attached));
        assert_eq!(
            self.on(Event::KeyAnnounced(stream(id))),
            [Effect::Announce(stream(id))]
        );
        self.on(Event::SessionReady(stream(id)));
        effects
    }

    /// Asks; the attempt and its stream, or the answer.
    fn ask(&mut self) -> Result<(StreamId, AttemptId), Verdict> {
        self.questions += 1;
        let request = RequestId::from_bytes([self.questions; 16]);
        let (tenant, deadline) = (tenant(1), self.now + DEADLINE);
        written(&self.on(Event::Asked(Asked {
            request,
            tenant,
            domain: domain(),
            deadline,
        })))
    }

    fn verdict(&mut self, attempt: AttemptId, verdict: Verdict) -> Vec<Effect> {
        self.on(Event::Verdict(attempt, VerdictReport::bare(verdict)))
    }

    fn pass(&mut self, time: Duration) -> Vec<Effect> {
        self.now += time;
        self.on(Event::Tick)
    }
}

fn written(effects: &[Effect]) -> Result<(StreamId, AttemptId), Verdict> {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Write { stream, attempt, .. } => Some(Ok((*stream, *attempt))),
        Effect::Answer(_, judgement) => Some(Err(judgement.verdict)),
        _ => None,
    });
    found.expect("a request is written or a question answered")
}

fn answered(effects: &[Effect]) -> Option<Judgement> {
    effects.iter().find_map(|effect| match effect {
        Effect::Answer(_, judgement) => Some(judgement.clone()),
        _ => None,
    })
}

/// The question whose account is to be charged again.
fn charge_wanted(effects: &[Effect]) -> Option<RequestId> {
    effects.iter().find_map(|effect| match effect {
        Effect::Charge(request) => Some(*request),
        _ => None,
    })
}

/// The verdict that counts, and those of all attempts.
fn verdicts(judgement: &Judgement) -> (Verdict, Vec<Option<Verdict>>) {
    let attempts = judgement.attempts.iter().map(Attempt::verdict);
    (judgement.verdict, attempts.collect())
}

/// Three seconds in which all agents are heard all the time.
fn keep_alive(world: &mut World) {
    for _ in 0..3 {
        assert_eq!(answered(&world.pass(Duration::from_secs(1))), None);
        let ids: Vec<_> = world.core.streams.ids().collect();
        for id in ids {
            world.on(Event::Heard(id));
        }
    }
}

const BUSY: Verdict = Verdict::NotAsked(NotAsked::Busy);
const NOBODY: Verdict = Verdict::NotAsked(NotAsked::NoController);
const LOST: Verdict = Verdict::Unavailable(Unavailable::ConnectionLost);
const TIMED_OUT: Verdict = Verdict::Unavailable(Unavailable::TimedOut);

#[test]
fn a_verdict_answers_its_question_once() {
    let mut world = World::with(1);
    let (to, attempt) = world.ask().unwrap();
    assert_eq!(to, stream(1));
    let effects = world.verdict(attempt, Verdict::Wrong);
    let judgement = answered(&effects).unwrap();
    assert_eq!(judgement.verdict, Verdict::Wrong);
    assert_eq!(judgement.attempts.len(), 1);
    assert!(effects.contains(&Effect::Forget(stream(1), attempt)));
    assert_eq!(world.verdict(attempt, Verdict::Accepted), []);
}

#[test]
fn only_agents_of_the_tenant_that_serve_the_domain_are_asked() {
    let mut world = World::new();
    assert_eq!(world.ask(), Err(NOBODY));
    assert_eq!(world.core.admit(tenant(1), &domain()), Err(NotAdmitted::NoAgent));
    world.attach(1, 1, 2, &["corp.example"]);
    world.attach(2, 2, 1, &["other.example"]);
    assert_eq!(world.ask(), Err(NOBODY));
    assert_eq!(world.core.admit(tenant(1), &domain()), Err(NotAdmitted::NoAgent));
    world.attach(3, 3, 1, &["other.example", "corp.example"]);
    assert_eq!(world.core.admit(tenant(1), &domain()), Ok(()));
    assert_eq!(world.ask().unwrap().0, stream(3));
}

#[test]
fn an_agent_without_a_session_is_not_asked() {
    let mut world = World::new();
    let attached = Attached {
        since: Timestamp::from_unix_ms(0),
        agent: agent(1),
        tenant: tenant(1),
        domains: [domain()].into(),
        drained: false,
    };
    world.on(Event::Attached(stream(1), attached));
    assert_eq!(world.ask(), Err(NOBODY));
}

#[test]
fn of_two_agents_the_one_with_less_to_do_is_asked() {
    let mut world = World::with(2);
    let asked: BTreeSet<_> = (0..2).map(|_| world.ask().unwrap().0).collect();
    assert_eq!(asked.len(), 2);
}

#[test]
fn what_certainly_was_not_asked_goes_to_another_agent_and_to_each_once() {
    let reasons = [
        NotAsked::Draining,
        NotAsked::Busy,
        NotAsked::NoController,
        NotAsked::Late,
        NotAsked::UnknownDomain,
    ];
    for reason in reasons {
        let mut world = World::with(2);
        let (first, attempt) = world.ask().unwrap();
        let (second, attempt) = written(&world.verdict(attempt, Verdict::NotAsked(reason))).unwrap();
        assert_ne!(first, second);
        let judgement = answered(&world.verdict(attempt, Verdict::NotAsked(reason))).unwrap();
        assert_eq!(judgement.verdict, Verdict::NotAsked(reason));
        assert_eq!(judgement.attempts.len(), 2);
    }
}

#[test]
fn who_declines_at_once_does_not_look_quick() {
    let declines = [NotAsked::UnknownDomain, NotAsked::Late, NotAsked::NoController];
    for reason in declines {
        let mut world = World::with(2);
        let mut asked_first = 0;
        for _ in 0..100 {
            let (first, attempt) = world.ask().unwrap();
            if first == stream(1) {
                asked_first += 1;
                let (_, attempt) = written(&world.verdict(attempt, Verdict::NotAsked(reason))).unwrap();
                world.now += Duration::from_millis(50);
                world.verdict(attempt, Verdict::Accepted);
            } else {
                world.now += Duration::from_millis(50);
                world.verdict(attempt, Verdict::Accepted);
            }
        }
        assert!(asked_first < 20, "{reason:?}: {asked_first}");
    }
}

#[test]
fn what_no_directory_may_see_goes_nowhere_else() {
    let mut world = World::with(2);
    let (_, attempt) = world.ask().unwrap();
    let refused = Verdict::NotAsked(NotAsked::RefusedInput);
    assert_eq!(
        answered(&world.verdict(attempt, refused)).unwrap().verdict,
        refused
    );
}

#[test]
fn a_verdict_about_the_password_ends_the_question() {
    let verdicts = [
        Verdict::Accepted,
        Verdict::Wrong,
        Verdict::Locked,
        Verdict::Restricted,
        Verdict::OtherObject,
        Verdict::RightBut(postern_proto::verdict::Obstacle::MustChange),
    ];
    for verdict in verdicts {
        let mut world = World::with(2);
        let (_, attempt) = world.ask().unwrap();
        assert_eq!(
            answered(&world.verdict(attempt, verdict)).unwrap().verdict,
            verdict
        );
    }
}

#[test]
fn a_lost_agents_question_goes_to_another_one_if_the_account_can_be_charged() {
    for charged in [true, false] {
        let mut world = World::with(2);
        let (to, _) = world.ask().unwrap();
        let effects = world.on(Event::Detached(to));
        let request = charge_wanted(&effects).unwrap();
        assert_eq!(answered(&effects), None);
        let effects = world.on(Event::Charged(request, charged));
        if !charged {
            assert_eq!(verdicts(&answered(&effects).unwrap()), (LOST, vec![Some(LOST)]));
            continue;
        }
        let (second, attempt) = written(&effects).unwrap();
        assert_ne!(second, to);
        let judgement = answered(&world.verdict(attempt, Verdict::Accepted)).unwrap();
        assert_eq!(
            verdicts(&judgement),
            (Verdict::Accepted, vec![Some(LOST), Some(Verdict::Accepted)])
        );
    }
}

#[test]
fn without_hand_off_or_another_agent_a_lost_question_is_answered_and_nothing_charged() {
    let mut world = World::with(2);
    world.core.hand_off = false;
    let (to, _) = world.ask().unwrap();
    assert_eq!(answered(&world.on(Event::Detached(to))).unwrap().verdict, LOST);
    let mut world = World::with(1);
    let (to, _) = world.ask().unwrap();
    assert_eq!(answered(&world.on(Event::Detached(to))).unwrap().verdict, LOST);
}

#[test]
fn what_the_directory_did_not_count_goes_on_without_another_charge_but_only_once() {
    let declined = Verdict::Unavailable(Unavailable::DirectoryDeclined);
    let mut world = World::with(3);
    let (_, attempt) = world.ask().unwrap();
    let (_, attempt) = written(&world.verdict(attempt, declined)).unwrap();
    let judgement = answered(&world.verdict(attempt, declined)).unwrap();
    assert_eq!(judgement.verdict, declined);
    assert_eq!(
        judgement.attempts.len(),
        2,
        "two may have reached a directory, and no third"
    );
}

#[test]
fn two_agents_may_have_asked_and_no_third() {
    let mut world = World::with(4);
    let (to, _) = world.ask().unwrap();
    let request = charge_wanted(&world.on(Event::Detached(to))).unwrap();
    let (to, attempt) = written(&world.on(Event::Charged(request, true))).unwrap();
    // One that certainly did not ask is not counted.
    let (next, _) = written(&world.verdict(attempt, BUSY)).unwrap();
    assert_ne!(to, next);
    let judgement = answered(&world.on(Event::Detached(next))).unwrap();
    assert_eq!(
        verdicts(&judgement),
        (LOST, vec![Some(LOST), Some(BUSY), Some(LOST)])
    );
}

#[test]
fn a_late_attempt_goes_on_beside_the_second_and_the_first_verdict_of_both_decides() {
    let late = || {
        let mut world = World::with(2);
        let (first, one) = world.ask().unwrap();
        keep_alive(&mut world);
        let effects = world.pass(SHARE - Duration::from_secs(3));
        let request = charge_wanted(&effects).unwrap();
        let (second, two) = written(&world.on(Event::Charged(request, true))).unwrap();
        (world, (first, one), (second, two))
    };
    let (mut world, (first, one), (second, two)) = late();
    let effects = world.verdict(one, Verdict::Accepted);
    let judgement = answered(&effects).unwrap();
    assert_eq!(
        verdicts(&judgement),
        (Verdict::Accepted, vec![Some(Verdict::Accepted), None])
    );
    for gone in [Effect::Forget(first, one), Effect::Forget(second, two)] {
        assert!(effects.contains(&gone), "{effects:?}");
    }
    assert_eq!(world.verdict(two, Verdict::Wrong), []);

    let (mut world, (_, one), (_, two)) = late();
    let judgement = answered(&world.verdict(two, Verdict::Wrong)).unwrap();
    assert_eq!(
        verdicts(&judgement),
        (Verdict::Wrong, vec![Some(TIMED_OUT), Some(Verdict::Wrong)])
    );
    assert_eq!(world.verdict(one, Verdict::Accepted), []);

    // That the late one is lost for good says nothing new.
    let (mut world, (_, one), (_, two)) = late();
    assert_eq!(answered(&world.verdict(one, LOST)), None);
    assert_eq!(
        answered(&world.verdict(two, Verdict::Wrong)).unwrap().verdict,
        Verdict::Wrong
    );
}

#[test]
fn a_drained_agent_gets_nothing_new_and_keeps_its_stream() {
    let mut world = World::with(1);
    let (_, attempt) = world.ask().unwrap();
    world.on(Event::SetDrained(agent(1), true));
    assert_eq!(world.ask(), Err(NOBODY));
    assert_eq!(world.core.admit(tenant(1), &domain()), Err(NotAdmitted::NoAgent));
    let effects = world.verdict(attempt, Verdict::Accepted);
    assert!(answered(&effects).is_some());
    assert!(!effects.contains(&Effect::Close(stream(1))));
    world.on(Event::SetDrained(agent(1), false));
    assert!(world.ask().is_ok());
}

#[test]
fn an_attempt_has_its_share_and_a_late_verdict_counts_for_nothing() {
    let mut world = World::with(1);
    let (_, attempt) = world.ask().unwrap();
    // The agent lives.
    keep_alive(&mut world);
    assert_eq!(
        answered(&world.pass(Duration::from_secs(1))).unwrap().verdict,
        TIMED_OUT
    );
    assert_eq!(world.verdict(attempt, Verdict::Accepted), []);
}

#[test]
fn a_question_is_answered_at_its_deadline_at_the_latest() {
    let mut world = World::with(9);
    let start = world.now;
    let (_, mut attempt) = world.ask().unwrap();
    loop {
        world.now += Duration::from_millis(3_900);
        match written(&world.verdict(attempt, BUSY)) {
            Ok((_, next)) => attempt = next,
            Err(verdict) => {
                assert_eq!(verdict, BUSY);
                break;
            }
        }
        assert!(world.core.next_tick().unwrap() <= start + DEADLINE);
    }
    assert!(world.now >= start + DEADLINE && world.now < start + DEADLINE + Duration::from_secs(1));
}

#[test]
fn a_silent_agent_is_lost_within_four_seconds_while_it_has_requests() {
    let mut world = World::with(1);
    world.pass(Duration::from_secs(29));
    world.on(Event::Heard(stream(1)));
    let _ = world.ask().unwrap();
    assert_eq!(world.pass(Duration::from_secs(2)), [Effect::Ping(stream(1), 1)]);
    let effects = world.pass(Duration::from_secs(2));
    assert!(effects.contains(&Effect::Close(stream(1))));
    assert!(answered(&effects).is_some());
    assert_eq!(world.core.admit(tenant(1), &domain()), Err(NotAdmitted::NoAgent));
}

#[test]
fn a_cloud_that_was_held_up_asks_once_more_before_it_gives_an_agent_up() {
    let mut world = World::with(1);
    let _ = world.ask().unwrap();
    assert_eq!(world.pass(Duration::from_secs(2)), [Effect::Ping(stream(1), 1)]);
    // The pong would be due 2 s later; nobody looked for 3.
    let again = world.pass(Duration::from_secs(3));
    assert!(again.contains(&Effect::Ping(stream(1), 2)) && !again.contains(&Effect::Close(stream(1))));
    world.on(Event::Heard(stream(1)));
    assert_eq!(world.core.admit(tenant(1), &domain()), Ok(()));
    // Once: who is silent in a process that is always late is lost all the same.
    let mut world = World::with(1);
    let _ = world.ask().unwrap();
    world.pass(Duration::from_secs(2));
    world.pass(Duration::from_secs(3));
    assert!(
        world
            .pass(Duration::from_secs(3))
            .contains(&Effect::Close(stream(1)))
    );
}

#[test]
fn an_idle_agent_is_pinged_slowly_and_lives_on_when_heard() {
    let mut world = World::with(1);
    assert_eq!(world.pass(Duration::from_secs(29)), []);
    assert_eq!(world.pass(Duration::from_secs(1)), [Effect::Ping(stream(1), 1)]);
    world.on(Event::Heard(stream(1)));
    assert_eq!(world.pass(Duration::from_secs(29)), []);
    assert_eq!(world.core.admit(tenant(1), &domain()), Ok(()));
}

#[test]
fn an_unknown_session_is_announced_again_once() {
    let mut world = World::with(1);
    let (to, attempt) = world.ask().unwrap();
    // Somebody else's word for it counts for nothing.
    assert_eq!(world.on(Event::UnknownSession(stream(9), attempt)), []);
    let effects = world.on(Event::UnknownSession(to, attempt));
    assert_eq!(effects[0], Effect::Announce(to));
    assert_eq!(written(&effects), Ok((to, attempt)));
    assert_eq!(
        answered(&world.on(Event::UnknownSession(to, attempt)))
            .unwrap()
            .verdict,
        LOST
    );
}

#[test]
fn a_session_gets_its_successor_before_its_end() {
    let mut world = World::with(1);
    for _ in 0..8 {
        world.on(Event::Heard(stream(1)));
        assert!(
            !world
                .pass(Duration::from_secs(29))
                .contains(&Effect::Announce(stream(1)))
        );
        world.on(Event::Heard(stream(1)));
    }
    assert!(
        world
            .pass(Duration::from_secs(10))
            .contains(&Effect::Announce(stream(1)))
    );
}

#[test]
fn a_revoked_agents_requests_go_on_and_what_it_still_says_counts_for_nothing() {
    let mut world = World::with(2);
    let (StreamId(revoked), attempt) = world.ask().unwrap();
    let revoked = u8::try_from(revoked).unwrap();
    let effects = world.on(Event::Revoked(agent(revoked)));
    assert!(effects.contains(&Effect::Close(stream(revoked))));
    let request = charge_wanted(&effects).unwrap();
    let (next, second) = written(&world.on(Event::Charged(request, true))).unwrap();
    assert_ne!(next, stream(revoked));
    assert_eq!(world.verdict(attempt, Verdict::Accepted), []);
    let answer = answered(&world.verdict(second, Verdict::Wrong)).unwrap();
    assert_eq!(answer.verdict, Verdict::Wrong);
    // A stream of it that was let in just before gets nothing either.
    let again = world.attach(9, revoked, 1, &["corp.example"]);
    assert_eq!(again, [Effect::Close(stream(9))]);
    for _ in 0..20 {
        assert_eq!(world.ask().unwrap().0, next);
    }
}

#[test]
fn a_draining_agent_gets_nothing_new_and_may_still_answer() {
    let mut world = World::with(1);
    let (to, attempt) = world.ask().unwrap();
    world.on(Event::AgentDrains(to));
    assert_eq!(world.ask(), Err(NOBODY));
    assert_eq!(
        answered(&world.verdict(attempt, Verdict::Accepted))
            .unwrap()
            .verdict,
        Verdict::Accepted
    );
}

#[test]
fn the_newest_stream_of_an_agent_gets_what_is_new() {
    let mut world = World::with(1);
    let (old, attempt) = world.ask().unwrap();
    let effects = world.attach(2, 1, 1, &["corp.example"]);
    assert_eq!(effects, [Effect::TellDraining(old)]);
    assert_eq!(world.ask().unwrap().0, stream(2));
    let effects = world.verdict(attempt, Verdict::Accepted);
    assert_eq!(answered(&effects).unwrap().verdict, Verdict::Accepted);
    assert!(
        effects.contains(&Effect::Close(old)),
        "the old stream has nothing left to do"
    );
    world.on(Event::Detached(old));
    assert_eq!(world.core.admit(tenant(1), &domain()), Ok(()));
    assert!(world.core.presence(agent(1)).is_some());
}

#[test]
fn a_full_agent_is_busy_and_not_absent() {
    let mut world = World::with(1);
    for at in 0..OUTSTANDING_MAX {
        let request = RequestId::from_bytes(u128::try_from(at).unwrap().to_be_bytes());
        let (tenant, deadline) = (tenant(1), world.now + DEADLINE);
        written(&world.on(Event::Asked(Asked {
            request,
            tenant,
            domain: domain(),
            deadline,
        })))
        .unwrap();
    }
    assert_eq!(world.core.admit(tenant(1), &domain()), Err(NotAdmitted::Busy));
    world.questions = 200;
    assert_eq!(world.ask(), Err(BUSY));
}

#[test]
fn what_was_not_written_goes_to_another_agent() {
    let mut world = World::with(2);
    let (first, attempt) = world.ask().unwrap();
    assert_ne!(written(&world.on(Event::NotWritten(attempt))).unwrap().0, first);
}

#[test]
fn a_replica_that_drains_takes_nothing_and_finishes_what_it_has() {
    let mut world = World::with(1);
    let (to, attempt) = world.ask().unwrap();
    assert_eq!(world.on(Event::Drain), [Effect::TellDraining(to)]);
    assert_eq!(world.core.admit(tenant(1), &domain()), Err(NotAdmitted::NoAgent));
    assert_eq!(world.ask(), Err(NOBODY));
    assert_eq!(
        answered(&world.verdict(attempt, Verdict::Accepted))
            .unwrap()
            .verdict,
        Verdict::Accepted
    );
}
