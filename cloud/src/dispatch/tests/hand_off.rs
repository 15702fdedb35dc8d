//! A question whose agent is lost or late: to whom it goes, on which charge, and who decides.

use super::*;

/// Lets the next question come to one of both: the request, who has it, and the other one.
async fn first<'a>(
    one: &'a mut Agent,
    other: &'a mut Agent,
) -> (SealedRequest, &'a mut Agent, &'a mut Agent) {
    let (request, is_one) = tokio::select! {
        request = one.request() => (request, true),
        request = other.request() => (request, false),
    };
    if is_one {
        (request, one, other)
    } else {
        (request, other, one)
    }
}

impl World {
    fn charged_again(&self) -> usize {
        self.account.charged_again.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn what_a_lost_agent_had_goes_to_another_one_on_a_second_charge() {
    let (world, mut one) = World::with_agent().await;
    let mut other = world.agent().await;
    let (judgement, ()) = tokio::join!(world.ask(), async {
        let (request, lost, next) = first(&mut one, &mut other).await;
        lost.hang_up();
        let again = next.request().await;
        assert_eq!(again.request_id, request.request_id);
        let opened = next.open(&again);
        assert_eq!(opened.request.unwrap().password.plaintext(), PASSWORD);
        next.send(seal(opened.sealer, Verdict::Accepted)).await;
    });
    assert_eq!(judgement.verdict, Verdict::Accepted);
    assert_eq!(verdicts(&judgement), [Some(LOST), Some(Verdict::Accepted)]);
    assert_eq!(world.charged_again(), 1);
}

#[tokio::test]
async fn an_account_that_cannot_be_charged_again_is_not_asked_about_again() {
    let (world, mut one) = World::with_agent().await;
    let mut other = world.agent().await;
    world.account.used_up.store(true, Ordering::Relaxed);
    let (judgement, ()) = tokio::join!(world.ask(), async {
        let (_, lost, _) = first(&mut one, &mut other).await;
        lost.hang_up();
    });
    assert_eq!(verdicts(&judgement), [Some(LOST)]);
    // The other one is asked nothing until somebody else has a question.
    let remaining = if one.say.is_some() { &mut one } else { &mut other };
    let question = world.question();
    let request = question.request;
    let (_, asked) = tokio::join!(world.dispatch.ask(question), async {
        let asked = remaining.request().await;
        remaining.answer_to(&asked, Verdict::Wrong).await;
        asked
    });
    assert_eq!(asked.request_id, request.as_bytes());
}

#[tokio::test]
async fn two_agents_at_most_are_lost_for_one_question() {
    let (world, mut one) = World::with_agent().await;
    let mut other = world.agent().await;
    let mut third = world.drained_agent().await;
    let (judgement, ()) = tokio::join!(world.ask(), async {
        let (_, lost, next) = first(&mut one, &mut other).await;
        lost.hang_up();
        let _unanswered = next.request().await;
        world.dispatch.set_drained(third.id, false).await;
        next.hang_up();
    });
    assert_eq!(judgement.verdict, LOST);
    assert_eq!(verdicts(&judgement), [Some(LOST), Some(LOST)]);
    assert_eq!(world.charged_again(), 1);
    // The third one had been free for it, and is for the next.
    let (judgement, ()) = tokio::join!(world.ask(), third.answer(Verdict::Accepted));
    assert_eq!(judgement.verdict, Verdict::Accepted);
}

#[tokio::test]
async fn of_a_late_agent_and_the_next_one_the_first_verdict_decides() {
    for late_is_first in [true, false] {
        let (world, mut one) = World::with_agent().await;
        let mut other = world.agent().await;
        tokio::time::pause();
        let (judgement, agents) = tokio::join!(world.ask(), async {
            let (request, late, next) = first(&mut one, &mut other).await;
            let late_sealer = late.open(&request).sealer;
            // It lives, but says nothing about this within its share of the time.
            let again = tokio::select! {
                again = next.request() => again,
                () = late.live() => panic!("the stream ended"),
            };
            let next_sealer = next.open(&again).sealer;
            let from_late = seal(late_sealer, Verdict::Wrong);
            let from_next = seal(next_sealer, Verdict::Accepted);
            if late_is_first {
                late.send(from_late).await;
                until(|| world.in_flight(late) == Some(0)).await;
                next.send(from_next).await;
            } else {
                next.send(from_next).await;
                until(|| world.in_flight(next) == Some(0)).await;
                late.send(from_late).await;
            }
            (late.id, next.id)
        });
        let order: Vec<_> = judgement.attempts.iter().map(|attempt| attempt.agent).collect();
        assert_eq!(order, [agents.0, agents.1]);
        if late_is_first {
            assert_eq!(judgement.verdict, Verdict::Wrong);
            assert_eq!(verdicts(&judgement), [Some(Verdict::Wrong), None]);
        } else {
            assert_eq!(judgement.verdict, Verdict::Accepted);
            assert_eq!(verdicts(&judgement), [Some(TIMED_OUT), Some(Verdict::Accepted)]);
        }
        for agent in [&one, &other] {
            until(|| world.in_flight(agent) == Some(0)).await;
        }
        tokio::time::resume();
    }
}
