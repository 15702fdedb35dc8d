//! Streams: who may attach and be asked, how one ends, and what its end means for its questions.

use super::*;
use tonic::Code;

#[tokio::test]
async fn only_agents_of_the_tenant_that_serve_the_domain_are_asked() {
    let world = World::new().await;
    let fabrikam = world.trusting.tenant("fabrikam", &["fabrikam.example"]).await;
    let mut strangers = [
        world.agent_for(fabrikam, &["fabrikam.example"]).await,
        world.agent_for(world.contoso, &["lab.example"]).await,
    ];
    assert_eq!(world.admits(), Err(NotAdmitted::NoAgent));
    assert_eq!(world.ask().await.verdict, NOBODY);
    // A domain of one tenant's in a question of another's: nobody's.
    let crossed = Question {
        tenant: fabrikam,
        ..world.question()
    };
    let mut ours = world.agent().await;
    assert_eq!(world.dispatch.ask(crossed).await.verdict, NOBODY);
    for _ in 0..20 {
        let (judgement, ()) = tokio::join!(world.ask(), ours.answer(Verdict::Accepted));
        assert_eq!(judgement.attempts[0].agent, ours.id);
    }
    // Also when there is nobody else, for a new question or for one that is handed on.
    let (judgement, ()) = tokio::join!(world.ask(), async {
        let _unanswered = ours.take().await;
        ours.hang_up();
    });
    assert_eq!((judgement.verdict, judgement.attempts.len()), (LOST, 1));
    assert_eq!(world.ask().await.verdict, NOBODY);
    world.stop.cancel();
    for stranger in &mut strangers {
        let heard = stranger.hear().await;
        assert!(heard.is_none(), "{heard:?}");
    }
}

#[tokio::test]
async fn a_stream_that_ends_answers_its_questions() {
    let (world, mut agent) = World::with_agent().await;
    tokio::time::pause();
    let start = monotonic();
    let (one, other, _) = tokio::join!(world.ask(), world.ask(), async {
        let sealers = (agent.take().await, agent.take().await);
        agent.hang_up();
        sealers
    });
    for judgement in [one, other] {
        assert_eq!((judgement.verdict, judgement.attempts.len()), (LOST, 1));
    }
    assert_near(start, Duration::ZERO);
    assert_eq!(world.in_flight(&agent), None);
    assert_eq!(world.admits(), Err(NotAdmitted::NoAgent));
}

#[tokio::test]
async fn the_last_word_of_an_agent_that_hangs_up_counts() {
    let world = World::new().await;
    for _ in 0..20 {
        let mut agent = world.agent().await;
        let (judgement, ()) = tokio::join!(world.ask(), async {
            agent.answer(Verdict::Accepted).await;
            agent.hang_up();
        });
        assert_eq!(judgement.verdict, Verdict::Accepted);
        until(|| world.admits().is_err()).await;
    }
}

#[tokio::test]
async fn a_silent_stream_is_given_up_while_a_question_waits() {
    let world = World::with_share(Duration::from_secs(10)).await;
    let mut agent = world.agent().await;
    tokio::time::pause();
    let start = monotonic();
    let (judgement, ()) = tokio::join!(world.ask(), async {
        let _unanswered = agent.take().await;
        // It hears, pings too, but says nothing.
        while agent.hear_any().await.is_some() {}
    });
    assert_eq!(judgement.verdict, LOST);
    // The runtime rounds each of its waits up to a millisecond.
    assert!(monotonic() - start <= Duration::from_millis(4_010));
    assert_eq!(world.admits(), Err(NotAdmitted::NoAgent));
    // An agent that only has a slow directory is not given up.
    tokio::time::resume();
    let mut agent = world.agent().await;
    tokio::time::pause();
    let start = monotonic();
    let judgement = world.judged_while(agent.live()).await;
    assert_eq!(judgement.verdict, TIMED_OUT);
    assert_near(start, Duration::from_secs(10));
    assert_eq!(world.admits(), Ok(()));
}

#[tokio::test]
async fn a_drain_tells_the_agents_and_waits_for_what_was_asked_before() {
    // Question and drain come by two ways, and either may be looked at first.
    for _ in 0..10 {
        drains_after_what_was_asked().await;
    }
}

async fn drains_after_what_was_asked() {
    let (world, mut agent) = World::with_agent().await;
    let mut asked = Box::pin(world.ask());
    assert!(futures::poll!(asked.as_mut()).is_pending());
    let mut draining = Box::pin(world.dispatch.drain());
    assert!(futures::poll!(draining.as_mut()).is_pending());
    let sealer = agent.take().await;
    assert!(matches!(
        agent.hear().await,
        Some(cloud_message::Message::Draining(_))
    ));
    assert_eq!(world.admits(), Err(NotAdmitted::NoAgent));
    assert_eq!(world.ask().await.verdict, NOBODY);
    assert!(futures::poll!(draining.as_mut()).is_pending());
    agent.send(seal(sealer, Verdict::Accepted)).await;
    let (judgement, ()) = tokio::join!(asked, draining);
    assert_eq!(judgement.verdict, Verdict::Accepted);
    // A second drain has nothing to wait for.
    world.dispatch.drain().await;
}

#[tokio::test]
async fn a_stop_ends_all_streams_and_answers_all_questions() {
    let (world, mut agent) = World::with_agent().await;
    let (judgement, heard) = tokio::join!(world.ask(), async {
        let _unanswered = agent.take().await;
        world.stop.cancel();
        agent.hear().await
    });
    assert_eq!(judgement.verdict, LOST);
    assert!(heard.is_none());
    world.dispatch.drain().await;
}

#[tokio::test]
async fn an_agent_that_drains_gets_nothing_new_and_is_let_go_when_it_is_done() {
    let (world, mut agent) = World::with_agent().await;
    let (judgement, ()) = tokio::join!(world.ask(), async {
        let sealer = agent.take().await;
        agent.say(agent_message::Message::Draining(Draining {})).await;
        until(|| world.admits().is_err()).await;
        assert_eq!(world.ask().await.verdict, NOBODY);
        agent.send(seal(sealer, Verdict::Accepted)).await;
    });
    assert_eq!(judgement.verdict, Verdict::Accepted);
    assert!(agent.hear().await.is_none());
}

#[tokio::test]
async fn an_agent_that_an_administrator_drains_keeps_its_stream_and_gets_nothing_new() {
    let (world, mut agent) = World::with_agent().await;
    world.dispatch.set_drained(agent.id, true).await;
    until(|| world.admits().is_err()).await;
    assert_eq!(world.ask().await.verdict, NOBODY);
    assert_eq!(world.in_flight(&agent), Some(0));
    world.dispatch.set_drained(agent.id, false).await;
    until(|| world.admits().is_ok()).await;
    let (judgement, ()) = tokio::join!(world.ask(), agent.answer(Verdict::Accepted));
    assert_eq!(judgement.verdict, Verdict::Accepted);
    agent.hang_up();
    until(|| world.in_flight(&agent).is_none()).await;
    let drained = world.drained_agent().await;
    assert_eq!(world.in_flight(&drained), Some(0));
    assert_eq!(world.ask().await.verdict, NOBODY);
    // What the registry says counts at the next look there.
    for (says, admits) in [(false, Ok(())), (true, Err(NotAdmitted::NoAgent))] {
        let set = world.trusting.trust.set_drained(world.contoso, drained.id, says);
        assert!(set.await.unwrap());
        world.dispatch.check_registrations();
        until(|| world.admits() == admits).await;
    }
}

#[tokio::test]
async fn the_newest_stream_of_an_agent_is_asked_and_the_old_one_may_still_answer() {
    let world = World::new().await;
    let (enrolled, key) = world.trusting.agent(world.contoso, &["corp.example"]).await;
    let pkcs8 = key.plaintext_pkcs8().clone();
    let mut old = world.dial(&enrolled, key).await;
    old.introduce().await;
    let (judgement, mut new) = tokio::join!(world.ask(), async {
        let sealer = old.take().await;
        let key = SigningKey::from_pkcs8(&pkcs8).unwrap();
        let mut new = world.dial(&enrolled, key).await;
        new.introduce().await;
        assert!(matches!(
            old.hear().await,
            Some(cloud_message::Message::Draining(_))
        ));
        let (judgement, ()) = tokio::join!(world.ask(), new.answer(Verdict::Wrong));
        assert_eq!(judgement.verdict, Verdict::Wrong);
        old.send(seal(sealer, Verdict::Accepted)).await;
        new
    });
    assert_eq!(judgement.verdict, Verdict::Accepted);
    assert!(old.hear().await.is_none());
    let (judgement, ()) = tokio::join!(world.ask(), new.answer(Verdict::Accepted));
    assert_eq!(judgement.verdict, Verdict::Accepted);
}

#[tokio::test]
async fn a_new_sealing_key_gets_a_session_that_the_next_question_is_sealed_under() {
    let (world, mut agent) = World::with_agent().await;
    agent.sealing_key = Arc::new(SealingKeyPair::generate(&SystemRandom));
    agent.announce_key().await;
    let announcement = agent.session().await;
    assert_eq!(announcement.sealing_key_id, agent.sealing_key.id().as_bytes());
    agent.accept(&announcement);
    let (judgement, ()) = tokio::join!(world.ask(), async {
        let request = agent.request().await;
        assert_eq!(request.session_id, announcement.session_id);
        agent.answer_to(&request, Verdict::Accepted).await;
    });
    assert_eq!(judgement.verdict, Verdict::Accepted);
}

#[tokio::test]
async fn an_agent_that_attaches_is_noted_with_what_it_runs() {
    let (world, agent) = World::with_agent().await;
    let agents = world.trusting.trust.agents(world.contoso).await.unwrap();
    assert_eq!(agents[0].registration.agent, agent.id);
    assert_eq!(agents[0].version, "4.5.6");
    assert_eq!(agents[0].last_seen, Some(world.trusting.clock.now()));
    let presence = world.dispatch.connected(agent.id).unwrap();
    assert_eq!(
        (presence.in_flight, presence.since),
        (0, world.trusting.clock.now())
    );
}

#[tokio::test]
async fn a_call_without_an_agents_certificate_is_refused() {
    let world = World::new().await;
    let (enrolled, _) = world.trusting.agent(world.contoso, &["corp.example"]).await;
    let (leaf, registration) = (&enrolled.chain[0], enrolled.registration.clone());
    for (certificate, registration) in [(None, None), (Some(leaf), None), (None, Some(registration))] {
        let (_say, said) = mpsc::channel(1);
        let refused = world.call(said, certificate, registration).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    }
}

/// That the agent hears nothing any more and is asked nothing.
async fn assert_turned_away(world: &World, agent: &mut Agent) {
    let heard = agent.hear().await;
    assert!(heard.is_none(), "{heard:?}");
    assert_eq!(world.admits(), Err(NotAdmitted::NoAgent));
    assert_eq!(world.ask().await.verdict, NOBODY);
}

#[tokio::test]
async fn who_does_not_begin_with_a_proper_hello_is_turned_away() {
    let world = World::new().await;
    let short = Hello {
        nonce: vec![7; 31],
        ..Hello::default()
    };
    for first in [
        agent_message::Message::Hello(short),
        agent_message::Message::Pong(Pong { number: 1 }),
    ] {
        let (enrolled, key) = world.trusting.agent(world.contoso, &["corp.example"]).await;
        let mut agent = world.dial(&enrolled, key).await;
        let welcome = agent.hear().await;
        assert!(matches!(welcome, Some(cloud_message::Message::Welcome(_))));
        agent.say(first).await;
        assert_turned_away(&world, &mut agent).await;
    }
    // Nor is somebody waited for who says nothing at all.
    let (enrolled, key) = world.trusting.agent(world.contoso, &["corp.example"]).await;
    let mut agent = world.dial(&enrolled, key).await;
    agent.hear().await;
    tokio::time::pause();
    let start = monotonic();
    assert_turned_away(&world, &mut agent).await;
    assert_near(start, Duration::from_secs(10));
}

#[tokio::test]
async fn a_sealing_key_that_the_agent_did_not_sign_for_this_stream_is_turned_away() {
    let world = World::new().await;
    for case in ["another's signature", "another stream's", "changed"] {
        let (enrolled, key) = world.trusting.agent(world.contoso, &["corp.example"]).await;
        let mut agent = world.dial(&enrolled, key).await;
        agent.hello().await;
        let other_key = SigningKey::generate(&SystemRandom);
        let other_stream = seal::Stream {
            nonce: [9; 32],
            ..agent.stream
        };
        let mut announcement = match case {
            "another's signature" => agent.sealing_key.announce(&agent.stream, &other_key),
            "another stream's" => agent.sealing_key.announce(&other_stream, &agent.key),
            _ => agent.sealing_key.announce(&agent.stream, &agent.key),
        };
        if case == "changed" {
            announcement.public_key[0] ^= 1;
        }
        agent.say(agent_message::Message::SealingKey(announcement)).await;
        assert_turned_away(&world, &mut agent).await;
    }
}

#[tokio::test]
async fn an_agent_that_the_registry_has_lost_meanwhile_gets_no_session() {
    let world = World::new().await;
    let (enrolled, key) = world.trusting.agent(world.contoso, &["corp.example"]).await;
    let mut agent = world.dial(&enrolled, key).await;
    agent.hello().await;
    until(|| world.dispatch.connected(agent.id).is_some()).await;
    world.trusting.tenants.delete(world.contoso).await.unwrap();
    agent.announce_key().await;
    assert_turned_away(&world, &mut agent).await;
}

#[tokio::test]
async fn what_an_administrator_takes_away_is_taken_from_attached_agents_at_once() {
    let world = World::new().await;
    let both = ["corp.example", "lab.example"];
    let mut agent = world.agent_for(world.contoso, &both).await;
    let fabrikam = world.trusting.tenant("fabrikam", &["fabrikam.example"]).await;
    let mut theirs = world.agent_for(fabrikam, &["fabrikam.example"]).await;
    let tenants = &world.trusting.tenants;
    tenants.delete_domain(world.contoso, corp()).await.unwrap();
    tenants.delete(fabrikam).await.unwrap();
    world.dispatch.check_registrations();
    until(|| world.admits().is_err()).await;
    assert_eq!(world.ask().await.verdict, NOBODY);
    assert!(theirs.hear().await.is_none());
    until(|| world.in_flight(&theirs).is_none()).await;
    // The other domain is still served.
    let lab: DomainName = "lab.example".parse().unwrap();
    assert_eq!(world.dispatch.admit(world.contoso, &lab), Ok(()));
    let question = Question {
        domain: lab,
        ..world.question()
    };
    let (judgement, ()) = tokio::join!(world.dispatch.ask(question), agent.answer(Verdict::Accepted));
    assert_eq!(judgement.verdict, Verdict::Accepted);
}

#[tokio::test]
async fn a_certificate_that_ends_ends_its_stream_within_half_a_minute() {
    let (world, mut agent) = World::with_agent().await;
    world.trusting.clock.advance(Duration::from_secs(180 * 24 * 3600));
    // Not longer: the store answers in real time.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(30)).await;
    tokio::time::resume();
    let ended = timeout(Duration::from_secs(10), agent.live());
    ended.await.expect("it is looked at by now");
    until(|| world.in_flight(&agent).is_none()).await;
}

#[tokio::test]
async fn a_registry_that_does_not_answer_ends_no_stream() {
    let (world, mut agent) = World::with_agent().await;
    world.trusting.store.close().await;
    world.dispatch.check_registrations();
    let (judgement, ()) = tokio::join!(world.ask(), agent.answer(Verdict::Accepted));
    assert_eq!(judgement.verdict, Verdict::Accepted);
    assert_eq!(world.admits(), Ok(()));
}

#[tokio::test]
async fn an_agent_that_says_more_than_it_was_asked_loses_its_stream() {
    let unasked = SealedVerdict {
        session_id: vec![7; 16],
        ..SealedVerdict::default()
    };
    let floods = [
        agent_message::Message::Verdict(unasked),
        agent_message::Message::Pong(Pong { number: 1 }),
    ];
    for said in floods {
        let (world, mut agent) = World::with_agent().await;
        let mut other = world.agent_for(world.contoso, &["lab.example"]).await;
        for _ in 0..2000 {
            agent.say(said.clone()).await;
        }
        assert_turned_away(&world, &mut agent).await;
        // Nobody else is.
        other.announce_key().await;
        other.session().await;
    }
}
