//! The decisions of a sign-in that need nothing but what is known: what a verdict means for the
//! user and for the log. Pure.

use std::time::{Duration, Instant};

use postern_proto::ids::{RequestId, UserId};
use postern_proto::verdict::{DirectoryCount, NotAsked, Obstacle, Unavailable, Verdict};

use super::{Answer, Outcome};
use crate::budget::Refusal;
use crate::dispatch::{Attempt, NotAdmitted};

/// How a sign-in ends, as the user is told and as the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) outcome: Outcome,
    /// For the log: says more than the outcome's own.
    pub(super) code: u32,
    pub(super) retry_after: Option<Duration>,
}

impl Ending {
    /// An ending of which the log knows no more than the user.
    pub(super) fn plain(outcome: Outcome) -> Self {
        Self {
            outcome,
            code: outcome.code(),
            retry_after: None,
        }
    }

    /// What the user is told.
    pub(super) fn answer(&self, request: RequestId) -> Answer {
        Answer {
            request,
            outcome: self.outcome,
            retry_after: self.retry_after,
        }
    }

    fn unavailable(code: u32) -> Self {
        Self {
            code,
            ..Self::plain(Outcome::Unavailable)
        }
    }
}

/// When to try again where there is too much to do: a queue of this system is empty within a second.
const BUSY_RETRY: Duration = Duration::from_secs(1);

pub(super) fn busy() -> Ending {
    Ending {
        retry_after: Some(BUSY_RETRY),
        ..Ending::plain(Outcome::Busy)
    }
}

/// No agent could be given the question.
const NO_AGENT: u32 = 80001;
/// Somebody was asked and did not answer in time.
const TIMED_OUT: u32 = 80002;
/// The connection broke after somebody was asked.
const CONNECTION_LOST: u32 = 80005;
/// The directory answered something that is no verdict.
const DIRECTORY_FAULT: u32 = 80007;

/// What a verdict about `user` means. `tell_locked`: whether the tenant tells its users that the
/// directory has locked them, which says nothing about the password.
pub(super) fn after_verdict(verdict: Verdict, user: UserId, tell_locked: bool) -> Ending {
    match verdict {
        Verdict::Accepted => Ending::plain(Outcome::SignedIn(user)),
        Verdict::Wrong | Verdict::Restricted | Verdict::OtherObject => Ending::plain(Outcome::Refused),
        Verdict::RightBut(obstacle) => Ending::plain(match obstacle {
            Obstacle::PasswordExpired => Outcome::PasswordExpired,
            Obstacle::MustChange => Outcome::MustChange,
            Obstacle::Disabled => Outcome::Disabled,
            Obstacle::AccountExpired => Outcome::AccountExpired,
            Obstacle::LogonHours => Outcome::LogonHours,
            Obstacle::Workstation => Outcome::Workstation,
        }),
        Verdict::Locked if tell_locked => Ending::plain(Outcome::Locked),
        Verdict::Locked => Ending {
            code: Outcome::Locked.code(),
            ..Ending::plain(Outcome::Refused)
        },
        Verdict::Unavailable(why) => Ending::unavailable(match why {
            Unavailable::TimedOut => TIMED_OUT,
            Unavailable::ConnectionLost => CONNECTION_LOST,
            Unavailable::DirectoryDeclined | Unavailable::DirectoryFault | Unavailable::ObjectUnknown => {
                DIRECTORY_FAULT
            }
        }),
        Verdict::NotAsked(why) => match why {
            NotAsked::Busy => busy(),
            // To the user there is no difference to a name that nobody has.
            NotAsked::RefusedInput | NotAsked::NoEntry | NotAsked::OtherEntry => {
                Ending::plain(Outcome::Refused)
            }
            // Nobody can say whose the password would have been.
            NotAsked::SeveralEntries => Ending::unavailable(DIRECTORY_FAULT),
            NotAsked::Late => Ending::unavailable(TIMED_OUT),
            NotAsked::Draining | NotAsked::NoController | NotAsked::UnknownDomain => {
                Ending::unavailable(NO_AGENT)
            }
        },
    }
}

/// What it means that no agent would be given the question.
pub(super) fn not_admitted(why: NotAdmitted) -> Ending {
    match why {
        NotAdmitted::NoAgent => Ending::unavailable(NO_AGENT),
        NotAdmitted::Busy => busy(),
    }
}

/// What it means that the account's budget allows no attempt.
pub(super) fn not_charged(why: Refusal) -> Ending {
    match why {
        Refusal::UsedUp { retry_after } => Ending {
            retry_after: Some(retry_after),
            ..Ending::plain(Outcome::TooManyAttempts)
        },
        Refusal::Busy => busy(),
    }
}

/// What each of `charges` charges of an account comes to: in the order in which they were made, for
/// the attempts that were made on them, once `verdict` has decided.
pub(super) fn proven(attempts: &[Attempt], verdict: Verdict, charges: usize) -> Vec<DirectoryCount> {
    // The directory has said that the password is right: whenever it judges another attempt with the
    // same password, it counts nothing.
    let right = matches!(verdict, Verdict::Accepted | Verdict::RightBut(_));
    let counts = attempts.iter().map(|attempt| match attempt.verdict() {
        Some(verdict) => verdict.directory_count(),
        // Nobody waited for it, and it may still be counted.
        None => DirectoryCount::PerhapsOneMore,
    });
    // A question that came to nobody's ears has no attempts, but a verdict that says so.
    if attempts.is_empty() && verdict.directory_count() == DirectoryCount::PerhapsOneMore {
        return vec![DirectoryCount::PerhapsOneMore; charges];
    }
    // What counted nothing leaves its charge to the next attempt.
    let mut proven: Vec<_> = counts
        .map(|count| match count {
            DirectoryCount::PerhapsOneMore if right => DirectoryCount::Untouched,
            count => count,
        })
        .filter(|count| *count != DirectoryCount::Untouched)
        .collect();
    proven.resize(charges, DirectoryCount::Untouched);
    proven
}

/// What reads as a wrong password costs what a wrong password costs, whatever the directory counted:
/// a name that can be tried for ever would be known to exist.
pub(super) fn as_shown(
    outcome: Outcome,
    asked: bool,
    mut proven: Vec<DirectoryCount>,
) -> Vec<DirectoryCount> {
    let nothing = |count: &DirectoryCount| *count == DirectoryCount::Untouched;
    if outcome == Outcome::Refused
        && asked
        && proven.iter().all(nothing)
        && let Some(first) = proven.first_mut()
    {
        *first = DirectoryCount::PerhapsOneMore;
    }
    proven
}

/// The part of a sign-in's time that is kept for writing its record: a group commit takes some
/// milliseconds, and a loaded disk a hundred.
const WRITE_SHARE_MAX: Duration = Duration::from_millis(500);

/// Until when agents may be asked, so that the record can still be written before `deadline`.
pub(super) fn ask_until(received: Instant, deadline: Instant) -> Instant {
    let whole = deadline.saturating_duration_since(received);
    deadline - WRITE_SHARE_MAX.min(whole / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: UserId = UserId::from_bytes([1; 16]);

    fn all() -> Vec<Verdict> {
        use {NotAsked as N, Obstacle as O, Unavailable as U, Verdict as V};
        let mut all = vec![V::Accepted, V::Wrong, V::Locked, V::Restricted, V::OtherObject];
        let obstacles = [
            O::PasswordExpired,
            O::MustChange,
            O::Disabled,
            O::AccountExpired,
            O::LogonHours,
            O::Workstation,
        ];
        all.extend(obstacles.map(V::RightBut));
        let unavailable = [
            U::TimedOut,
            U::ConnectionLost,
            U::DirectoryDeclined,
            U::DirectoryFault,
            U::ObjectUnknown,
        ];
        all.extend(unavailable.map(V::Unavailable));
        let not_asked = [
            N::Draining,
            N::Busy,
            N::NoController,
            N::RefusedInput,
            N::Late,
            N::UnknownDomain,
            N::NoEntry,
            N::SeveralEntries,
            N::OtherEntry,
        ];
        all.extend(not_asked.map(V::NotAsked));
        all
    }

    #[test]
    fn only_an_acceptance_signs_in() {
        for verdict in all() {
            let signed_in = after_verdict(verdict, USER, true).outcome == Outcome::SignedIn(USER);
            assert_eq!(signed_in, verdict == Verdict::Accepted, "{verdict:?}");
        }
    }

    #[test]
    fn what_is_no_verdict_never_reads_as_wrong() {
        for verdict in all() {
            let ending = after_verdict(verdict, USER, false);
            let says_wrong = ending.outcome == Outcome::Refused;
            let may_say_wrong = matches!(
                verdict,
                Verdict::Wrong
                    | Verdict::Restricted
                    | Verdict::OtherObject
                    | Verdict::Locked
                    | Verdict::NotAsked(NotAsked::RefusedInput | NotAsked::NoEntry | NotAsked::OtherEntry)
            );
            assert_eq!(says_wrong, may_say_wrong, "{verdict:?}");
        }
    }

    #[test]
    fn a_locked_account_is_told_only_where_the_tenant_wants_it_and_logged_always() {
        let told = after_verdict(Verdict::Locked, USER, true);
        let untold = after_verdict(Verdict::Locked, USER, false);
        assert_eq!((told.outcome, told.code), (Outcome::Locked, 50053));
        assert_eq!((untold.outcome, untold.code), (Outcome::Refused, 50053));
    }

    #[test]
    fn what_reads_as_wrong_costs_as_much() {
        use DirectoryCount as C;
        let refused = as_shown(Outcome::Refused, true, vec![C::Untouched]);
        assert_eq!(refused, [C::PerhapsOneMore]);
        assert_eq!(
            as_shown(Outcome::Refused, false, vec![C::Untouched]),
            [C::Untouched]
        );
        assert_eq!(
            as_shown(Outcome::Locked, true, vec![C::Untouched]),
            [C::Untouched]
        );
        assert_eq!(
            as_shown(Outcome::Refused, true, vec![C::PerhapsOneMore, C::Untouched])[1],
            C::Untouched
        );
    }

    #[test]
    fn each_charge_comes_to_what_its_attempts_prove() {
        use {DirectoryCount as C, Verdict as V};
        let lost = V::Unavailable(Unavailable::ConnectionLost);
        let declined = V::Unavailable(Unavailable::DirectoryDeclined);
        let not_asked = V::NotAsked(NotAsked::Busy);
        let check = |attempts: &[Option<Verdict>], verdict, charges, expected: &[DirectoryCount]| {
            let attempts: Vec<_> = attempts
                .iter()
                .map(|verdict| Attempt {
                    agent: postern_proto::ids::AgentId::from_bytes([1; 16]),
                    report: verdict.map(postern_proto::verdict::VerdictReport::bare),
                    total: Duration::ZERO,
                })
                .collect();
            assert_eq!(proven(&attempts, verdict, charges), expected, "{attempts:?}");
        };
        check(&[], not_asked, 1, &[C::Untouched]);
        check(&[], lost, 1, &[C::PerhapsOneMore]);
        check(&[Some(V::Wrong)], V::Wrong, 1, &[C::PerhapsOneMore]);
        check(
            &[Some(not_asked), Some(V::Wrong)],
            V::Wrong,
            1,
            &[C::PerhapsOneMore],
        );
        check(
            &[Some(declined), Some(V::Accepted)],
            V::Accepted,
            1,
            &[C::Cleared],
        );
        check(
            &[Some(lost), Some(V::Wrong)],
            V::Wrong,
            2,
            &[C::PerhapsOneMore; 2],
        );
        check(
            &[Some(lost), Some(V::Accepted)],
            V::Accepted,
            2,
            &[C::Cleared, C::Untouched],
        );
        check(
            &[Some(lost), Some(V::Locked)],
            V::Locked,
            2,
            &[C::PerhapsOneMore, C::Untouched],
        );
        check(&[Some(V::Wrong), None], V::Wrong, 2, &[C::PerhapsOneMore; 2]);
        check(
            &[Some(V::RightBut(Obstacle::Disabled)), None],
            V::RightBut(Obstacle::Disabled),
            2,
            &[C::Untouched; 2],
        );
        check(&[Some(lost), Some(lost)], lost, 2, &[C::PerhapsOneMore; 2]);
        check(&[Some(lost)], lost, 1, &[C::PerhapsOneMore]);
    }

    #[test]
    fn agents_have_all_the_time_but_what_the_record_needs() {
        let start = postern_kit::clock::monotonic();
        let asked = |ms| {
            let deadline = start + Duration::from_millis(ms);
            ask_until(start, deadline)
                .saturating_duration_since(start)
                .as_millis()
        };
        assert_eq!([asked(15_000), asked(1_000), asked(0)], [14_500, 900, 0]);
    }
}
