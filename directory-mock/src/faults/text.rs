//! Rules as configuration files and the control port write them: the same keys in TOML and in JSON.

use std::fmt;
use std::time::Duration;

use postern_kit::config::Fields;
use serde_json::{Map, Value, json};

use super::delay::Delay;
use super::rule::{Effect, Operation, Rule, RuleError};

const EFFECTS: &str = "refuse, hang, lose_answer, cut_answer, garble, slow_bytes, busy, unavailable, answer, \
                       referral, sub_code";
const DELAYS: &str = "delay_ms, or of `delay` either from_ms and to_ms, or mean_ms and most_ms, or median_ms, \
                      p99_ms and most_ms";

/// Reads a rule; what is wrong is told by its field.
pub(crate) fn read_rule(fields: &mut Fields<'_>) -> Option<Rule> {
    let name: Option<String> = fields.required("name", "a name by which the rule can be taken away");
    let operations: Option<Vec<String>> = fields.or("operations", Vec::new(), "a list of operations");
    let accounts: Option<Vec<String>> = fields.or("accounts", Vec::new(), "a list of account names");
    let controller: Option<Option<String>> = fields.optional("controller", "a host name such as \"dc2\"");
    let after = fields.or("after_s", 0_u64, "a number of seconds");
    let lasting: Option<Option<u64>> = fields.optional("for_s", "a number of seconds");
    let skip = fields.or("skip", 0_u64, "a number of requests");
    let every = fields.or("every", 1_u64, "a number from 1");
    let times: Option<Option<u64>> = fields.optional("times", "a number of requests");
    let chance = fields.optional("chance", "a probability from 0 to 1");
    let delay = read_delay(fields);
    let effect = read_effect(fields);
    let operations = operations.and_then(|names| read_operations(fields, &names));
    let mut rule = Rule::new(&name?)
        .on(&operations?)
        .after(Duration::from_secs(after?))
        .skip(skip?)
        .every(every?);
    rule = accounts?.iter().fold(rule, |rule, name| rule.account(name));
    rule.controller = controller?.map(|host: String| host.to_lowercase());
    rule.lasting = lasting?.map(Duration::from_secs);
    rule.times = times?;
    rule.chance = chance?.unwrap_or(rule.chance);
    rule.delay = delay?;
    rule.effect = effect?;
    match rule.check() {
        Ok(()) => Some(rule),
        Err(RuleError::Field { field, expected }) => {
            fields.mistake(field, format_args!("expected {expected}"));
            None
        }
        Err(error @ RuleError::TooMany { .. }) => {
            fields.mistake("name", error);
            None
        }
    }
}

fn read_operations(fields: &Fields<'_>, names: &[String]) -> Option<Vec<Operation>> {
    let named = |name: &String| {
        let mut all = Operation::ALL.into_iter();
        all.find(|operation| operation.name() == name)
    };
    let found = names.iter().map(named).collect::<Option<Vec<_>>>();
    if found.is_none() {
        let all = Operation::ALL.map(Operation::name).join(", ");
        fields.mistake("operations", format_args!("expected some of {all}"));
    }
    found
}

fn read_delay(fields: &mut Fields<'_>) -> Option<Option<Delay>> {
    let fixed: Option<Option<u64>> = fields.optional("delay_ms", "a number of milliseconds");
    let drawn = fields.table("delay", |delay| {
        let mut time = |name| -> Option<Option<Duration>> {
            let read: Option<Option<u64>> = delay.optional(name, "a number of milliseconds");
            read.map(|read| read.map(Duration::from_millis))
        };
        let (from, to) = (time("from_ms"), time("to_ms"));
        let (mean, median) = (time("mean_ms"), time("median_ms"));
        let (p99, most) = (time("p99_ms"), time("most_ms"));
        Some((from?, to?, mean?, median?, p99?, most?))
    });
    let delay = match (fixed?, drawn?) {
        (fixed, (None, None, None, None, None, None)) => {
            fixed.map(|ms| Delay::Fixed(Duration::from_millis(ms)))
        }
        (None, (Some(from), Some(to), None, None, None, None)) => Some(Delay::Uniform { from, to }),
        (None, (None, None, Some(mean), None, None, Some(most))) => Some(Delay::Exponential { mean, most }),
        (None, (None, None, None, Some(median), Some(p99), Some(most))) => {
            Some(Delay::LogNormal { median, p99, most })
        }
        _ => {
            fields.mistake("delay", format_args!("expected {DELAYS}"));
            return None;
        }
    };
    Some(delay)
}

fn read_effect(fields: &mut Fields<'_>) -> Option<Option<Effect>> {
    let name: Option<Option<String>> = fields.optional("effect", &format!("one of {EFFECTS}"));
    let code: Option<Option<u32>> = fields.optional("code", "a result code such as 80");
    let message: Option<Option<String>> = fields.optional("message", "a text");
    let carried_out: Option<Option<bool>> = fields.optional("carried_out", "true or false");
    let referral: Option<Vec<String>> = fields.or("referral", Vec::new(), "a list of URLs");
    let sub_code: Option<Option<String>> = fields.optional("sub_code", "hexadecimal digits such as \"51f\"");
    let bytes: Option<Option<usize>> = fields.optional("bytes", "a number of bytes, from 1");
    let pause: Option<Option<u64>> = fields.optional("pause_ms", "a number of milliseconds");
    let (code, message, carried_out) = (code?, message?, carried_out?);
    let (referral, sub_code, bytes, pause) = (referral?, sub_code?, bytes?, pause?);
    let Some(name) = name? else {
        return Some(None);
    };
    let text = message.unwrap_or_default();
    let missing = |field: &str, expected: &str| {
        fields.mistake(field, format_args!("missing; expected {expected}"));
        None
    };
    let effect = match name.as_str() {
        "refuse" => Effect::Refuse,
        "hang" => Effect::Hang,
        "lose_answer" => Effect::LoseAnswer,
        "cut_answer" => Effect::CutAnswer,
        "garble" => Effect::Garble,
        "slow_bytes" => Effect::SlowBytes {
            bytes: bytes.unwrap_or(1),
            pause: match pause {
                Some(pause) => Duration::from_millis(pause),
                None => return missing("pause_ms", "a number of milliseconds"),
            },
        },
        "busy" => Effect::busy(),
        "unavailable" => Effect::unavailable(),
        "answer" => match code {
            Some(code) if carried_out == Some(true) => Effect::lie(code, &text),
            Some(code) => Effect::answer(code, &text),
            None => return missing("code", "a result code such as 80"),
        },
        "referral" => {
            let urls: Vec<&str> = referral.iter().map(String::as_str).collect();
            Effect::referral(&urls)
        }
        "sub_code" => match sub_code.as_deref().map(|hex| u32::from_str_radix(hex, 16)) {
            Some(Ok(code)) => Effect::SubCode(code),
            Some(Err(_)) | None => {
                fields.mistake("sub_code", "expected hexadecimal digits such as \"51f\"");
                return None;
            }
        },
        _ => {
            fields.mistake("effect", format_args!("expected one of {EFFECTS}"));
            return None;
        }
    };
    Some(Some(effect))
}

/// As JSON, with the keys of configuration files.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Value::Object(described(self)))
    }
}

/// A rule with the keys that [`read_rule`] reads.
pub(crate) fn described(rule: &Rule) -> Map<String, Value> {
    let mut keys = Map::new();
    let mut put = |name: &str, value: Value| keys.insert(name.to_owned(), value);
    put("name", json!(rule.name));
    if !rule.operations.is_empty() {
        let names: Vec<_> = rule.operations.iter().map(|operation| operation.name()).collect();
        put("operations", json!(names));
    }
    if !rule.accounts.is_empty() {
        put("accounts", json!(rule.accounts));
    }
    if let Some(host) = &rule.controller {
        put("controller", json!(host));
    }
    put("after_s", json!(rule.after.as_secs()));
    if let Some(lasting) = rule.lasting {
        put("for_s", json!(lasting.as_secs()));
    }
    put("skip", json!(rule.skip));
    put("every", json!(rule.every));
    if let Some(times) = rule.times {
        put("times", json!(times));
    }
    put("chance", json!(rule.chance));
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match rule.delay {
        Some(Delay::Fixed(time)) => put("delay_ms", json!(ms(time))),
        Some(Delay::Uniform { from, to }) => put("delay", json!({"from_ms": ms(from), "to_ms": ms(to)})),
        Some(Delay::Exponential { mean, most }) => {
            put("delay", json!({"mean_ms": ms(mean), "most_ms": ms(most)}))
        }
        Some(Delay::LogNormal { median, p99, most }) => put(
            "delay",
            json!({"median_ms": ms(median), "p99_ms": ms(p99), "most_ms": ms(most)}),
        ),
        None => None,
    };
    if let Some(effect) = &rule.effect {
        for (name, value) in effect_keys(effect) {
            put(name, value);
        }
    }
    keys
}

fn effect_keys(effect: &Effect) -> Vec<(&'static str, Value)> {
    let name = |name: &str| vec![("effect", json!(name))];
    match effect {
        Effect::Refuse => name("refuse"),
        Effect::Hang => name("hang"),
        Effect::LoseAnswer => name("lose_answer"),
        Effect::CutAnswer => name("cut_answer"),
        Effect::Garble => name("garble"),
        Effect::SlowBytes { bytes, pause } => vec![
            ("effect", json!("slow_bytes")),
            ("bytes", json!(bytes)),
            (
                "pause_ms",
                json!(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
            ),
        ],
        Effect::SubCode(code) => vec![
            ("effect", json!("sub_code")),
            ("sub_code", json!(format!("{code:x}"))),
        ],
        Effect::Answer { referral, .. } if !referral.is_empty() => {
            vec![("effect", json!("referral")), ("referral", json!(referral))]
        }
        Effect::Answer {
            code,
            message,
            carried_out,
            ..
        } => vec![
            ("effect", json!("answer")),
            ("code", json!(code)),
            ("message", json!(message)),
            ("carried_out", json!(carried_out)),
        ],
    }
}

#[cfg(test)]
mod tests {
    use postern_kit::config::parse;

    use super::*;

    fn read(text: &str) -> Result<Rule, Vec<String>> {
        parse(text, read_rule).map_err(|errors| errors.mistakes().to_vec())
    }

    #[test]
    fn a_rule_is_read_with_all_its_keys_and_written_back() {
        let text = "name = 'r'\noperations = ['bind', 'modify_dn']\naccounts = ['alice']\ncontroller = 'DC2'\n\
                    after_s = 5\nfor_s = 60\nskip = 1\nevery = 2\ntimes = 3\nchance = 0.5\n\
                    delay = { median_ms = 20, p99_ms = 400, most_ms = 5000 }\n\
                    effect = 'answer'\ncode = 80\nmessage = 'no'\ncarried_out = true";
        let rule = read(text).unwrap();
        let expected = Rule::new("r")
            .on(&[Operation::Bind, Operation::ModifyDn])
            .account("alice")
            .controller("dc2")
            .after(Duration::from_secs(5))
            .lasting(Duration::from_secs(60))
            .skip(1)
            .every(2)
            .times(3)
            .chance(0.5)
            .delay(Delay::LogNormal {
                median: Duration::from_millis(20),
                p99: Duration::from_millis(400),
                most: Duration::from_secs(5),
            })
            .effect(Effect::lie(80, "no"));
        assert_eq!(rule, expected);
        let ms = Duration::from_millis;
        let effects = [
            Effect::Refuse,
            Effect::Hang,
            Effect::LoseAnswer,
            Effect::CutAnswer,
            Effect::Garble,
            Effect::busy(),
            Effect::unavailable(),
            Effect::referral(&["ldap://a", "ldap://b"]),
            Effect::lie(0, ""),
            Effect::SubCode(0x51f),
            Effect::SlowBytes {
                bytes: 3,
                pause: ms(20),
            },
        ];
        let delays = [
            Delay::Fixed(ms(3)),
            Delay::Uniform {
                from: ms(1),
                to: ms(2),
            },
            Delay::Exponential {
                mean: ms(1),
                most: ms(2),
            },
        ];
        let with = |effect| Rule::new("e").on(&[Operation::Bind]).effect(effect);
        let rules = effects.into_iter().map(with);
        let rules = rules.chain(delays.map(|delay| Rule::new("d").delay(delay)));
        for rule in rules.chain([expected]) {
            let text = toml::to_string(&described(&rule)).unwrap();
            assert_eq!(read(&text), Ok(rule), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        for (text, field) in [
            ("effect = 'hang'", "name"),
            ("name = 'r'", "effect"),
            ("name = 'r'\neffect = 'explode'", "effect"),
            ("name = 'r'\neffect = 'answer'", "code"),
            ("name = 'r'\neffect = 'slow_bytes'", "pause_ms"),
            ("name = 'r'\neffect = 'sub_code'\nsub_code = 'xyz'", "sub_code"),
            ("name = 'r'\neffect = 'referral'", "referral"),
            ("name = 'r'\noperations = ['fly']\neffect = 'hang'", "operations"),
            ("name = 'r'\ndelay_ms = 1\ndelay.from_ms = 1", "delay"),
            ("name = 'r'\ndelay.mean_ms = 1", "delay"),
            ("name = 'r'\ndelay = { from_ms = 2, to_ms = 1 }", "delay"),
            ("name = 'r'\neffect = 'hang'\nchance = 2.0", "chance"),
            ("name = 'r'\neffect = 'hang'\ncolour = 'red'", "colour"),
        ] {
            let mistakes = read(text).unwrap_err();
            let fields: Vec<_> = mistakes.iter().filter_map(|m| m.split(':').next()).collect();
            assert_eq!(fields, [field], "{text}: {mistakes:?}");
        }
    }
}
