//! Which rule hits a request. Pure: rules, time and draws come in, the decision goes out.
//!
//! Rules are asked in the order in which they were set. All delays add up; the first effect counts, and rules with
//! another one are then not asked at all, so that they count nothing.

use std::time::Duration;

use postern_kit::clock::Timestamp;

use super::rule::{Effect, Operation, Rule, RuleError};

/// Most rules at once: each is looked at for each request.
pub const RULES_MAX: usize = 256;

/// A request as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What is asked for.
    pub operation: Operation,
    /// The controller that was asked, in lower case.
    pub controller: &'a str,
    /// Whose it is, in lower case: a bind's typed name and the sAMAccountName that it means, otherwise that
    /// of the account that the connection is bound as.
    pub accounts: &'a [String],
}

/// What becomes of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// How much later it is answered.
    pub delay: Duration,
    /// What else.
    pub effect: Option<Effect>,
    /// What a garbled answer is garbled by.
    pub seed: u64,
}

/// A rule and how often it was in play.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleState {
    /// The rule.
    pub rule: Rule,
    /// When it was set, on the directory's clock.
    pub since: Timestamp,
    /// Requests that it was about.
    pub seen: u64,
    /// Requests that it hit.
    pub hits: u64,
}

/// All rules of a controller.
#[derive(Clone, Debug, Default)]
pub struct Rules(Vec<RuleState>);

impl Rules {
    /// Sets a rule at `now`, in the place of one with the same name.
    ///
    /// # Errors
    /// [`RuleError`]; then nothing has changed.
    pub fn set(&mut self, rule: Rule, now: Timestamp) -> Result<(), RuleError> {
        rule.check()?;
        let state = RuleState {
            rule,
            since: now,
            seen: 0,
            hits: 0,
        };
        match self.0.iter().position(|known| known.rule.name == state.rule.name) {
            Some(at) => self.0[at] = state,
            None if self.0.len() == RULES_MAX => return Err(RuleError::TooMany { max: RULES_MAX }),
            None => self.0.push(state),
        }
        Ok(())
    }

    /// Takes a rule away; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|state| state.rule.name != name);
        self.0.len() < before
    }

    /// All rules, in the order in which they are asked.
    pub fn all(&self) -> &[RuleState] {
        &self.0
    }

    /// Whether any rule wants to know whose a request is.
    pub fn ask_whose(&self) -> bool {
        self.0.iter().any(|state| !state.rule.accounts.is_empty())
    }

    /// What becomes of a request at `now`. `draw` gives numbers from 0 to 1, without 1; it is called only for rules
    /// that leave something to chance.
    pub fn decide(
        &mut self,
        request: &Request<'_>,
        now: Timestamp,
        draw: &mut dyn FnMut() -> f64,
    ) -> Decision {
        let mut decision = Decision::default();
        for state in &mut self.0 {
            let shadowed = decision.effect.is_some() && state.rule.effect.is_some();
            if shadowed || !state.concerns(request, now) || !state.takes(draw) {
                continue;
            }
            if let Some(delay) = &state.rule.delay {
                decision.delay += delay.sample(draw);
            }
            if decision.effect.is_none() {
                decision.effect.clone_from(&state.rule.effect);
            }
        }
        if decision.effect == Some(Effect::Garble) {
            decision.seed = (draw() * (1_u64 << 53) as f64) as u64;
        }
        decision
    }
}

impl RuleState {
    fn concerns(&self, request: &Request<'_>, now: Timestamp) -> bool {
        let rule = &self.rule;
        let operation = if rule.operations.is_empty() {
            request.operation != Operation::Connect
        } else {
            rule.operations.contains(&request.operation)
        };
        let from = self.since.plus(rule.after);
        operation
            && rule
                .controller
                .as_deref()
                .is_none_or(|host| host == request.controller)
            && (rule.accounts.is_empty() || rule.accounts.iter().any(|name| request.accounts.contains(name)))
            && from <= now
            && rule.lasting.is_none_or(|lasting| now < from.plus(lasting))
    }

    /// Counts a request that the rule is about; whether it hits it.
    fn takes(&mut self, draw: &mut dyn FnMut() -> f64) -> bool {
        let rule = &self.rule;
        let number = self.seen;
        self.seen += 1;
        let in_turn = number
            .checked_sub(rule.skip)
            .is_some_and(|number| number.is_multiple_of(rule.every));
        let left = rule.times.is_none_or(|times| self.hits < times);
        let hit = in_turn && left && (rule.chance >= 1.0 || draw() < rule.chance);
        self.hits += u64::from(hit);
        hit
    }
}

#[cfg(test)]
mod tests {
    use postern_kit::random::{SeededRandom, fraction};

    use super::super::delay::Delay;
    use super::*;

    const START: Timestamp = Timestamp::from_unix_ms(1_795_609_800_000);
    const SECOND: Duration = Duration::from_secs(1);

    /// Binds of alice at dc1, one a second; which of them are hit.
    #[track_caller]
    fn check(rule: Rule, count: u64, expected: &[u64]) {
        let mut rules = Rules::default();
        rules.set(rule.effect(Effect::Hang), START).unwrap();
        let accounts = ["alice@corp".to_owned(), "alice".to_owned()];
        let request = Request {
            operation: Operation::Bind,
            controller: "dc1",
            accounts: &accounts,
        };
        let mut no_draw = || panic!("nothing is left to chance");
        let hit = |at: &u64| {
            let now = START.plus(SECOND * u32::try_from(*at).unwrap());
            rules.decide(&request, now, &mut no_draw).effect == Some(Effect::Hang)
        };
        let hits: Vec<_> = (0..count).filter(hit).collect();
        assert_eq!(hits, expected);
        assert_eq!(rules.all()[0].hits, hits.len() as u64);
    }

    #[test]
    fn rules_go_by_operation_account_controller_time_and_count() {
        let rule = || Rule::new("r");
        check(rule(), 3, &[0, 1, 2]);
        check(rule().on(&[Operation::Search, Operation::Bind]), 2, &[0, 1]);
        check(rule().on(&[Operation::Search]), 2, &[]);
        check(rule().on(&[Operation::Connect]), 2, &[]);
        check(rule().account("ALICE"), 2, &[0, 1]);
        check(rule().account("alice@corp").account("bob"), 2, &[0, 1]);
        check(rule().account("bob"), 2, &[]);
        check(rule().controller("DC1"), 1, &[0]);
        check(rule().controller("dc2"), 2, &[]);
        check(rule().after(SECOND * 2), 4, &[2, 3]);
        check(rule().after(SECOND).lasting(SECOND * 2), 5, &[1, 2]);
        check(rule().skip(1).every(3), 8, &[1, 4, 7]);
        check(rule().skip(1).every(3).times(2), 20, &[1, 4]);
        check(rule().times(0), 3, &[]);
        check(rule().chance(1.0), 1, &[0]);
    }

    fn decide(rules: &mut Rules, draw: &mut dyn FnMut() -> f64) -> Decision {
        let request = Request {
            operation: Operation::Search,
            controller: "dc1",
            accounts: &[],
        };
        rules.decide(&request, START, draw)
    }

    #[test]
    fn delays_add_up_and_the_first_effect_counts() {
        let mut rules = Rules::default();
        let slow = |name, by| Rule::new(name).delay(Delay::Fixed(SECOND * by));
        for rule in [
            slow("one", 1),
            Rule::new("busy").effect(Effect::busy()).times(1),
            slow("two", 2).effect(Effect::Hang),
            slow("four", 4),
        ] {
            rules.set(rule, START).unwrap();
        }
        let first = decide(&mut rules, &mut || 0.5);
        assert_eq!((first.delay, first.effect), (SECOND * 5, Some(Effect::busy())));
        let second = decide(&mut rules, &mut || 0.5);
        assert_eq!((second.delay, second.effect), (SECOND * 7, Some(Effect::Hang)));
        let hits: Vec<_> = rules.all().iter().map(|state| state.hits).collect();
        assert_eq!(hits, [2, 1, 1, 2]);
    }

    #[test]
    fn chance_repeats_with_its_seed() {
        let hits = |seed| {
            let mut rules = Rules::default();
            rules
                .set(Rule::new("r").chance(0.3).effect(Effect::Garble), START)
                .unwrap();
            let random = SeededRandom::new(seed);
            let all: Vec<_> = (0..1000)
                .map(|_| decide(&mut rules, &mut || fraction(&random)))
                .collect();
            (all, rules.all()[0].hits)
        };
        let (all, count) = hits(1);
        assert_eq!((&all, count), (&hits(1).0, hits(1).1));
        assert_ne!(all, hits(2).0);
        assert!((250..350).contains(&count), "{count} of 1,000 at 0.3");
        let seeds: std::collections::BTreeSet<_> = all.iter().map(|decision| decision.seed).collect();
        assert_eq!(
            seeds.len() as u64,
            count + 1,
            "each garbled answer is garbled differently"
        );
    }

    #[test]
    fn rules_are_replaced_by_name_and_bounded() {
        let mut rules = Rules::default();
        for at in 0..RULES_MAX {
            let rule = Rule::new(&format!("r{at}")).effect(Effect::Hang);
            rules.set(rule, START).unwrap();
        }
        let busy = |name| Rule::new(name).effect(Effect::busy());
        assert_eq!(
            rules.set(busy("one more"), START),
            Err(RuleError::TooMany { max: RULES_MAX })
        );
        assert_eq!(rules.set(busy("r0"), START), Ok(()));
        assert_eq!(
            decide(&mut rules, &mut || 0.0).effect,
            Some(Effect::busy()),
            "it keeps its place"
        );
        assert!(rules.remove("r0") && !rules.remove("r0"));
        assert_eq!(decide(&mut rules, &mut || 0.0).effect, Some(Effect::Hang));
    }
}
