//! After how many failures a directory locks an account, as it says so itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ldap3::Scope;

use super::link::{Failed, Link};
use super::whom::Search;
use crate::config::DirectoryKind;

/// First values of an entry's attributes, by lower-case names.
pub(super) type Texts = BTreeMap<String, String>;

/// A rule by which accounts are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// Failures that lock an account; 0: none ever do.
    pub threshold: u32,
    /// Time without a failure after which the count starts anew; `None`: never.
    pub window: Option<Duration>,
    /// How long an account stays locked; `None`: until an administrator unlocks it.
    pub duration: Option<Duration>,
}

/// Where the rules of Active Directory for single users and groups lie, under the domain.
const FINE_GRAINED: &str = "CN=Password Settings Container,CN=System";

/// Reads all rules that this connection's identity may read, the one that holds for most users first.
pub(super) async fn read(
    link: &mut Link,
    kind: DirectoryKind,
    until: Instant,
) -> Result<Vec<Lockout>, Failed> {
    let contexts = ["defaultNamingContext", "namingContexts"];
    let root = link.texts(&Search::entry(""), &contexts, until).await?;
    let base = root.first().and_then(|root| {
        let names = contexts.map(str::to_ascii_lowercase);
        names.iter().find_map(|name| root.get(name).cloned())
    });
    let Some(base) = base else { return Ok(Vec::new()) };
    match kind {
        DirectoryKind::ActiveDirectory => {
            let found = link.texts(&Search::entry(&base), &DOMAIN, until).await?;
            let mut all: Vec<_> = found
                .iter()
                .filter_map(|texts| active_directory(texts, &DOMAIN))
                .collect();
            let settings = Search {
                base: format!("{FINE_GRAINED},{base}"),
                scope: Scope::OneLevel,
                filter: "(objectClass=msDS-PasswordSettings)".to_owned(),
            };
            // Only administrators may read them, unless they let others.
            let found = link.texts(&settings, &SETTINGS, until).await.unwrap_or_default();
            all.extend(
                found
                    .iter()
                    .filter_map(|texts| active_directory(texts, &SETTINGS)),
            );
            Ok(all)
        }
        DirectoryKind::Ldap => {
            let policies = Search {
                base,
                scope: Scope::Subtree,
                filter: "(objectClass=pwdPolicy)".to_owned(),
            };
            let found = link.texts(&policies, &POLICY, until).await?;
            Ok(found.iter().filter_map(policy).collect())
        }
    }
}

/// The one that locks first, if any locks.
pub fn strictest(all: &[Lockout]) -> Option<Lockout> {
    let locking = all.iter().filter(|rule| rule.threshold > 0);
    locking.min_by_key(|rule| rule.threshold).copied()
}

/// Threshold, window and duration: of the domain, and of fine-grained settings.
const DOMAIN: [&str; 3] = ["lockoutThreshold", "lockOutObservationWindow", "lockoutDuration"];
const SETTINGS: [&str; 3] = [
    "msDS-LockoutThreshold",
    "msDS-LockoutObservationWindow",
    "msDS-LockoutDuration",
];

fn active_directory(texts: &Texts, [threshold, window, duration]: &[&str; 3]) -> Option<Lockout> {
    let number = |name: &str| texts.get(&name.to_ascii_lowercase())?.parse::<i64>().ok();
    // Negative hundreds of nanoseconds; the least number, and 0, are for ever.
    let time = |name| match number(name)? {
        0 | i64::MIN => Some(None),
        ticks => Some(Some(Duration::from_micros(ticks.unsigned_abs() / 10))),
    };
    Some(Lockout {
        threshold: u32::try_from(number(threshold)?).ok()?,
        window: time(window)?,
        duration: time(duration)?,
    })
}

/// Of draft-behera-ldap-password-policy.
const POLICY: [&str; 4] = [
    "pwdLockout",
    "pwdMaxFailure",
    "pwdFailureCountInterval",
    "pwdLockoutDuration",
];

fn policy(texts: &Texts) -> Option<Lockout> {
    let [locks, threshold, window, duration] = POLICY.map(|name| texts.get(&name.to_ascii_lowercase()));
    let seconds = |text: Option<&String>| {
        let seconds = text.map_or(Ok(0), |text| text.parse()).ok()?;
        Some((seconds > 0).then(|| Duration::from_secs(seconds)))
    };
    let threshold = threshold.map_or(Ok(0), |text| text.parse()).ok()?;
    Some(Lockout {
        threshold: if locks.is_some_and(|locks| locks == "TRUE") {
            threshold
        } else {
            0
        },
        window: seconds(window)?,
        duration: seconds(duration)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(all: &[(&str, &str)]) -> Texts {
        let all = all
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned()));
        all.collect()
    }

    const HALF_AN_HOUR: Option<Duration> = Some(Duration::from_secs(1800));

    #[test]
    fn a_domain_says_when_it_locks() {
        let read = |threshold, window, duration| {
            let values = [threshold, window, duration];
            let all: Vec<_> = DOMAIN.into_iter().zip(values).collect();
            active_directory(&texts(&all), &DOMAIN)
        };
        let rule = |threshold, window, duration| {
            Some(Lockout {
                threshold,
                window,
                duration,
            })
        };
        let half = "-18000000000";
        assert_eq!(read("10", half, half), rule(10, HALF_AN_HOUR, HALF_AN_HOUR));
        assert_eq!(read("0", half, half), rule(0, HALF_AN_HOUR, HALF_AN_HOUR));
        assert_eq!(
            read("3", half, "-9223372036854775808"),
            rule(3, HALF_AN_HOUR, None)
        );
        assert_eq!(read("3", half, "0"), rule(3, HALF_AN_HOUR, None));
        assert_eq!(read("x", half, half), None);
        assert_eq!(
            active_directory(&texts(&[("lockoutThreshold", "3")]), &DOMAIN),
            None
        );
    }

    #[test]
    fn a_policy_entry_says_when_it_locks() {
        let read = |all: &[(&str, &str)]| policy(&texts(all)).unwrap();
        let locks = read(&[
            ("pwdLockout", "TRUE"),
            ("pwdMaxFailure", "5"),
            ("pwdFailureCountInterval", "1800"),
            ("pwdLockoutDuration", "0"),
        ]);
        assert_eq!(
            (locks.threshold, locks.window, locks.duration),
            (5, HALF_AN_HOUR, None)
        );
        assert_eq!(
            read(&[("pwdMaxFailure", "5")]).threshold,
            0,
            "it counts and does not lock"
        );
        assert_eq!(read(&[("pwdLockout", "TRUE")]).threshold, 0);
        assert_eq!(policy(&texts(&[("pwdMaxFailure", "many")])), None);
    }

    #[test]
    fn the_rule_that_locks_first_is_the_strictest() {
        let rule = |threshold| Lockout {
            threshold,
            window: None,
            duration: None,
        };
        assert_eq!(strictest(&[rule(10), rule(0), rule(3)]), Some(rule(3)));
        assert_eq!(strictest(&[rule(0)]), None);
        assert_eq!(strictest(&[]), None);
    }
}
