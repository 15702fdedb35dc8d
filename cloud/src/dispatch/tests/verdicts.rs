//! What counts as an answer to a question, and what does not, whoever says it.

use super::*;

#[tokio::test]
async fn a_question_reaches_its_agent_alone_and_the_verdict_comes_back() {
    let (world, mut agent) = World::with_agent().await;
    let mut down = world.bus.subscribe(&envelope::to_agent(agent.id)).await;
    let question = world.question();
    let request_id = question.request;
    let (judgement, ()) = tokio::join!(world.dispatch.ask(question), async {
        let sealed = agent.request().await;
        let Opened { request, sealer } = agent.open(&sealed);
        let request = request.unwrap();
        assert_eq!(request.header.request, request_id);
        assert_eq!(request.header.domain, corp());
        assert_eq!(request.object, OBJECT);
        assert_eq!(request.name.as_str(), "ada.lovelace@corp.internal");
        assert_eq!(request.password.plaintext(), PASSWORD);
        let report = VerdictReport {
            controller: Some("dc1.corp.example:636".to_owned()),
            ..VerdictReport::bare(Verdict::Accepted)
        };
        agent.send(sealer.seal(&report)).await;
    });
    assert_eq!(judgement.verdict, Verdict::Accepted);
    let [attempt] = &judgement.attempts[..] else {
        panic!("{judgement:?}")
    };
    let controller = attempt
        .report
        .as_ref()
        .and_then(|report| report.controller.as_deref());
    assert_eq!(
        (attempt.agent, controller),
        (agent.id, Some("dc1.corp.example:636"))
    );
    assert_eq!(world.in_flight(&agent), Some(0));
    // Whoever listens on the bus has the request, but not what is in it.
    let heard = down.next().await.unwrap();
    let holds = |part: &[u8]| heard.windows(part.len()).any(|window| window == part);
    assert!(holds(request_id.as_bytes()));
    assert!(!holds(PASSWORD.as_bytes()) && !holds(b"ada.lovelace"));
}

#[tokio::test]
async fn a_forged_or_changed_verdict_changes_nothing() {
    let (world, mut agent) = World::with_agent().await;
    let (judgement, ()) = tokio::join!(world.ask(), async {
        let request = agent.request().await;
        let genuine = seal(agent.open(&request).sealer, Verdict::Wrong);
        let length = genuine.ciphertext.len();
        let mut changed = genuine.ciphertext.clone();
        changed[0] ^= 1;
        let cut = genuine.ciphertext[..length - 1].to_vec();
        for ciphertext in [Vec::new(), vec![0; length], changed, cut, request.ciphertext] {
            agent
                .send(SealedVerdict {
                    ciphertext,
                    ..genuine.clone()
                })
                .await;
        }
        // Places where nothing was sent to.
        for (session_id, sequence) in [
            (genuine.session_id.clone(), genuine.sequence + 1),
            (vec![0; 16], genuine.sequence),
            (vec![0; 15], genuine.sequence),
        ] {
            let ciphertext = genuine.ciphertext.clone();
            agent
                .send(SealedVerdict {
                    session_id,
                    sequence,
                    ciphertext,
                })
                .await;
        }
        agent.send(genuine).await;
    });
    assert_eq!(judgement.verdict, Verdict::Wrong);
    assert_eq!(judgement.attempts.len(), 1);
}

#[tokio::test]
async fn the_verdict_on_one_attempt_is_worth_nothing_for_another() {
    let (world, mut agent) = World::with_agent().await;
    let (first, second, ()) = tokio::join!(world.ask(), world.ask(), async {
        let (first, second) = (agent.take().await, agent.take().await);
        let (wrong, accepted) = (seal(first, Verdict::Wrong), seal(second, Verdict::Accepted));
        let swapped = SealedVerdict {
            ciphertext: accepted.ciphertext.clone(),
            ..wrong.clone()
        };
        for verdict in [swapped, wrong, accepted] {
            agent.send(verdict).await;
        }
    });
    assert_eq!(
        (first.verdict, second.verdict),
        (Verdict::Wrong, Verdict::Accepted)
    );
}

#[tokio::test]
async fn a_verdict_is_not_used_again() {
    let (world, mut agent) = World::with_agent().await;
    let mut accepted = None;
    let (judgement, ()) = tokio::join!(world.ask(), async {
        let verdict = seal(agent.take().await, Verdict::Accepted);
        agent.send(verdict.clone()).await;
        accepted = Some(verdict);
    });
    assert_eq!(judgement.verdict, Verdict::Accepted);
    let accepted = accepted.unwrap();
    let (judgement, ()) = tokio::join!(world.ask(), async {
        let verdict = seal(agent.take().await, Verdict::Wrong);
        agent.send(accepted.clone()).await;
        let relabelled = SealedVerdict {
            ciphertext: accepted.ciphertext.clone(),
            ..verdict.clone()
        };
        agent.send(relabelled).await;
        agent.send(verdict).await;
    });
    assert_eq!(judgement.verdict, Verdict::Wrong);
}

#[tokio::test]
async fn a_verdict_counts_only_on_the_stream_that_was_asked() {
    let (world, mut asked) = World::with_agent().await;
    let mut other = world.agent_for(world.contoso, &["lab.example"]).await;
    tokio::time::pause();
    let judgement = world
        .judged_while(async {
            let verdict = seal(asked.take().await, Verdict::Accepted);
            other.send(verdict).await;
            tokio::join!(asked.live(), other.live());
        })
        .await;
    assert_eq!(judgement.verdict, TIMED_OUT);
}

#[tokio::test]
async fn an_agent_that_handed_a_question_back_has_no_say_any_more() {
    let (world, mut one) = World::with_agent().await;
    let mut other = world.agent().await;
    tokio::time::pause();
    let judgement = world
        .judged_while(async {
            let (request, liar, honest) = tokio::select! {
                request = one.request() => (request, &mut one, &mut other),
                request = other.request() => (request, &mut other, &mut one),
            };
            // Whoever accepts a session twice can seal two verdicts for one place.
            let mut again = liar.opening(&liar.announcement);
            let again = again.open(&request, Duration::ZERO).unwrap().sealer;
            let busy = seal(liar.open(&request).sealer, Verdict::NotAsked(NotAsked::Busy));
            liar.send(busy).await;
            let _unanswered = honest.take().await;
            liar.send(seal(again, Verdict::Accepted)).await;
            tokio::join!(liar.live(), honest.live());
        })
        .await;
    assert_eq!(judgement.verdict, TIMED_OUT);
    let busy = Verdict::NotAsked(NotAsked::Busy);
    assert_eq!(verdicts(&judgement), [Some(busy), Some(TIMED_OUT)]);
}

#[tokio::test]
async fn who_lost_its_registration_has_no_say_any_more() {
    let (world, mut agent) = World::with_agent().await;
    let (judgement, ()) = tokio::join!(world.ask(), async {
        let sealer = agent.take().await;
        world.trusting.tenants.delete(world.contoso).await.unwrap();
        world.dispatch.check_registrations();
        until(|| world.in_flight(&agent).is_none()).await;
        agent.send(seal(sealer, Verdict::Accepted)).await;
    });
    assert_eq!(judgement.verdict, LOST);
}

#[tokio::test]
async fn a_verdict_after_its_time_changes_nothing() {
    let (world, mut agent) = World::with_agent().await;
    tokio::time::pause();
    let (start, mut late) = (monotonic(), None);
    let judgement = world
        .judged_while(async {
            late = Some(seal(agent.take().await, Verdict::Accepted));
            agent.live().await;
        })
        .await;
    assert_eq!(judgement.verdict, TIMED_OUT);
    assert_near(start, SHARE);
    agent.send(late.unwrap()).await;
    let (judgement, ()) = tokio::join!(world.ask(), agent.answer(Verdict::Wrong));
    assert_eq!(judgement.verdict, Verdict::Wrong);
    assert_eq!(world.in_flight(&agent), Some(0));
}

#[tokio::test]
async fn a_question_whose_deadline_is_near_is_answered_by_then() {
    let (world, mut agent) = World::with_agent().await;
    tokio::time::pause();
    let start = monotonic();
    let deadline = Duration::from_millis(1500);
    let question = Question {
        deadline: start + deadline,
        ..world.question()
    };
    let judgement = tokio::select! {
        judgement = world.dispatch.ask(question) => judgement,
        () = agent.live() => panic!("stream ended"),
    };
    assert_eq!(judgement.verdict, TIMED_OUT);
    assert_near(start, deadline);
    // One that has no time left is not sent at all.
    let question = Question {
        deadline: monotonic(),
        ..world.question()
    };
    let judgement = world.dispatch.ask(question).await;
    assert_eq!((judgement.verdict, judgement.attempts.len()), (NOBODY, 0));
}

#[tokio::test]
async fn an_unknown_session_is_announced_again_and_the_question_asked_again_once() {
    let (world, mut agent) = World::with_agent().await;
    let (judgement, ()) = tokio::join!(world.ask(), async {
        let lost = agent.request().await;
        agent.say_unknown(&lost).await;
        let announcement = agent.session().await;
        assert_ne!(announcement.session_id, lost.session_id);
        agent.accept(&announcement);
        let again = agent.request().await;
        assert_eq!(again.request_id, lost.request_id);
        assert_eq!(again.session_id, announcement.session_id);
        agent.answer_to(&again, Verdict::Accepted).await;
    });
    assert_eq!(judgement.verdict, Verdict::Accepted);
    assert_eq!(judgement.attempts.len(), 1);

    let (judgement, ()) = tokio::join!(world.ask(), async {
        for _ in 0..2 {
            let lost = agent.request().await;
            agent.say_unknown(&lost).await;
            // The second time nothing more is announced, and nobody else is asked.
            if let Some(cloud_message::Message::Session(announcement)) = agent.maybe_hear().await {
                agent.accept(&announcement);
            }
        }
    });
    assert_eq!((judgement.verdict, judgement.attempts.len()), (LOST, 1));
}

#[tokio::test]
async fn that_a_session_is_unknown_counts_once_and_only_from_the_agent_that_was_asked() {
    let (world, mut asked) = World::with_agent().await;
    let other = world.agent_for(world.contoso, &["lab.example"]).await;
    let (judgement, ()) = tokio::join!(world.ask(), async {
        let lost = asked.request().await;
        other.say_unknown(&lost).await;
        asked.say_unknown(&lost).await;
        let announcement = asked.session().await;
        asked.accept(&announcement);
        let again = asked.request().await;
        asked.say_unknown(&lost).await;
        let never_sent = SealedRequest {
            sequence: again.sequence + 1,
            ..again.clone()
        };
        asked.say_unknown(&never_sent).await;
        asked.answer_to(&again, Verdict::Wrong).await;
    });
    assert_eq!(judgement.verdict, Verdict::Wrong);
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_a_question_that_is_answered_all_the_same() {
    let (world, mut agent) = World::with_agent().await;
    let sealer = tokio::select! {
        _ = world.ask() => panic!("answered"),
        sealer = agent.take() => sealer,
    };
    assert_eq!(world.in_flight(&agent), Some(1));
    agent.send(seal(sealer, Verdict::Accepted)).await;
    until(|| world.in_flight(&agent) == Some(0)).await;
}
