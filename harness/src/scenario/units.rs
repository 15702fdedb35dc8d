//! How quantities are written in a scenario file: with their unit, as people say them.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A quantity that is written as text.
pub trait Unit: Sized {
    /// Its name among the formats of the JSON Schema.
    const FORMAT: &'static str;
    /// What would be right, after "expected".
    const EXPECTED: &'static str;
    /// Some that are right.
    const EXAMPLES: &'static [&'static str];

    /// Reads it; `None` if it is not one.
    fn read(text: &str) -> Option<Self>;

    /// The text that is read as this very quantity.
    fn write(&self) -> String;
}

/// A quantity as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Written<T>(pub T);

impl<'de, T: Unit> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        T::read(&text)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(format_args!("expected {}", T::EXPECTED)))
    }
}

impl<T: Unit> Serialize for Written<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.write())
    }
}

impl<T: Unit> JsonSchema for Written<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::FORMAT.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": T::FORMAT, "examples": T::EXAMPLES })
    }
}

/// What stands for a format of the schema: what would be right, and whether `text` is.
pub(super) fn judge(format: &str, text: &str) -> Option<(&'static str, bool)> {
    fn of<T: Unit>(text: &str) -> (&'static str, bool) {
        (T::EXPECTED, T::read(text).is_some())
    }
    let judged = match format {
        Duration::FORMAT => of::<Duration>(text),
        Shift::FORMAT => of::<Shift>(text),
        Rate::FORMAT => of::<Rate>(text),
        Amount::FORMAT => of::<Amount>(text),
        Limit::FORMAT => of::<Limit>(text),
        _ => return None,
    };
    Some(judged)
}

/// Longest time that can be written: a year, so that no sum of a few of them overflows anything.
const TIME_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

impl Unit for Duration {
    const FORMAT: &'static str = "time";
    const EXPECTED: &'static str = "a time such as \"250ms\", \"10s\" or \"30 min\"";
    const EXAMPLES: &'static [&'static str] = &["250ms", "10s", "30 min", "1h"];

    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let time = match text {
            "0" => Self::ZERO,
            _ => humantime::parse_duration(text).ok()?,
        };
        (time <= TIME_MAX).then_some(time)
    }

    fn write(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

/// By how much a clock is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// How far.
    pub by: Duration,
    /// Into the past.
    pub back: bool,
}

impl Unit for Shift {
    const FORMAT: &'static str = "shift";
    const EXPECTED: &'static str = "a shift such as \"+90s\" or \"-5 min\"";
    const EXAMPLES: &'static [&'static str] = &["+90s", "-5 min"];

    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let (back, by) = match (text.strip_prefix('-'), text.strip_prefix('+')) {
            (Some(by), _) => (true, by),
            (None, Some(by)) => (false, by),
            (None, None) => return None,
        };
        let by = Duration::read(by)?;
        (!by.is_zero()).then_some(Self { by, back })
    }

    fn write(&self) -> String {
        let sign = if self.back { '-' } else { '+' };
        format!("{sign}{}", self.by.write())
    }
}

/// How often something happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Times a second; above 0.
    pub per_second: f64,
}

/// Highest rate that can be written: far above what one machine simulates or serves.
const RATE_MAX: f64 = 100_000.0;

impl Unit for Rate {
    const FORMAT: &'static str = "rate";
    const EXPECTED: &'static str = "a rate such as \"20/s\", \"6/min\" or \"30/h\", up to 100000/s";
    const EXAMPLES: &'static [&'static str] = &["20/s", "6/min", "30/h"];

    fn read(text: &str) -> Option<Self> {
        let (number, unit) = text.split_once('/')?;
        let number: f64 = number.trim().parse().ok()?;
        let seconds = match unit.trim() {
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let per_second = number / seconds;
        (per_second > 0.0 && per_second <= RATE_MAX).then_some(Self { per_second })
    }

    fn write(&self) -> String {
        format!("{}/s", self.per_second)
    }
}

/// An expectation of a number: of things, or as a share of all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amount {
    /// At least this.
    pub least: f64,
    /// At most this.
    pub most: f64,
    /// The bounds are shares of the whole from 0 to 1, not numbers.
    pub share: bool,
}

impl Amount {
    /// Whether `count` of `whole` is as expected. A share of nothing is as expected.
    pub fn holds(&self, count: u64, whole: u64) -> bool {
        let seen = match (self.share, whole) {
            (true, 0) => return true,
            // Exact up to 2^53, which no run reaches.
            (true, _) => count as f64 / whole as f64,
            (false, _) => count as f64,
        };
        self.least <= seen && seen <= self.most
    }

    /// Whether `count` of `whole` is too many; what neither holds nor exceeds is too few.
    pub fn is_exceeded(&self, count: u64, whole: u64) -> bool {
        let whole = if self.share { whole.max(1) } else { 1 };
        count as f64 / whole as f64 > self.most
    }

    /// Nothing satisfies it but nothing.
    pub fn is_none(&self) -> bool {
        self.most == 0.0
    }

    /// It is not satisfied by nothing.
    pub fn wants_some(&self) -> bool {
        self.least > 0.0
    }
}

impl Unit for Amount {
    const FORMAT: &'static str = "amount";
    const EXPECTED: &'static str =
        "an amount such as \"all\", \"none\", \">= 99%\", \"<= 5\", \"3\" or \"1..4\"";
    const EXAMPLES: &'static [&'static str] = &["all", "none", ">= 99%", "<= 5", "3", "1..4"];

    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let amount = match text {
            "all" => {
                return Some(Self {
                    least: 1.0,
                    most: 1.0,
                    share: true,
                });
            }
            "none" => {
                return Some(Self {
                    least: 0.0,
                    most: 0.0,
                    share: false,
                });
            }
            "some" => {
                return Some(Self {
                    least: 1.0,
                    most: f64::INFINITY,
                    share: false,
                });
            }
            _ => text,
        };
        let (least, most, share) = if let Some(least) = amount.strip_prefix(">=") {
            let (least, share) = number(least)?;
            (least, if share { 1.0 } else { f64::INFINITY }, share)
        } else if let Some(most) = amount.strip_prefix("<=") {
            let (most, share) = number(most)?;
            (0.0, most, share)
        } else if let Some((least, most)) = amount.split_once("..") {
            let ((least, least_share), (most, share)) = (number(least)?, number(most)?);
            (least_share == share && least <= most).then_some((least, most, share))?
        } else {
            let (exact, share) = number(amount)?;
            (exact, exact, share)
        };
        Some(Self { least, most, share })
    }

    fn write(&self) -> String {
        let shown = |value| shown(value, self.share);
        let highest = if self.share { 1.0 } else { f64::INFINITY };
        match (self.least, self.most, self.share) {
            (1.0, 1.0, true) => "all".to_owned(),
            (0.0, 0.0, false) => "none".to_owned(),
            (1.0, f64::INFINITY, false) => "some".to_owned(),
            (least, most, _) if least == most => shown(least),
            (least, most, _) if most == highest => format!(">= {}", shown(least)),
            (0.0, most, _) => format!("<= {}", shown(most)),
            (least, most, _) => format!("{}..{}", shown(least), shown(most)),
        }
    }
}

/// Most digits that a double needs.
const DIGITS_MAX: usize = 17;

/// The shortest text that [`number`] reads as this.
fn shown(value: f64, share: bool) -> String {
    if !share {
        return value.to_string();
    }
    let percent = |digits| format!("{:.digits$}%", value * 100.0);
    let exact = |text: &String| number(text) == Some((value, true));
    let short = (0..DIGITS_MAX).map(percent).find(exact);
    short.unwrap_or_else(|| percent(DIGITS_MAX))
}

/// A number from 0, or a percentage from 0 to 100 as a share.
fn number(text: &str) -> Option<(f64, bool)> {
    let text = text.trim();
    let plain = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        text.parse::<f64>().ok().filter(|_| digits)
    };
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent = plain(percent.trim())?;
            (percent <= 100.0).then_some((percent / 100.0, true))
        }
        None => Some((plain(text)?, false)),
    }
}

/// An expectation of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// At least this long.
    pub least: Duration,
    /// At most this long.
    pub most: Duration,
}

impl Limit {
    /// Whether `time` is as expected.
    pub fn holds(&self, time: Duration) -> bool {
        self.least <= time && time <= self.most
    }
}

impl Unit for Limit {
    const FORMAT: &'static str = "limit";
    const EXPECTED: &'static str = "a limit such as \"<= 300ms\", \">= 250ms\" or \"250ms..1s\"";
    const EXAMPLES: &'static [&'static str] = &["<= 300ms", ">= 250ms", "250ms..1s"];

    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(least) = text.strip_prefix(">=") {
            return Some(Self {
                least: Duration::read(least)?,
                most: Duration::MAX,
            });
        }
        if let Some(most) = text.strip_prefix("<=") {
            return Some(Self {
                least: Duration::ZERO,
                most: Duration::read(most)?,
            });
        }
        let (least, most) = text.split_once("..")?;
        let (least, most) = (Duration::read(least)?, Duration::read(most)?);
        (least <= most).then_some(Self { least, most })
    }

    fn write(&self) -> String {
        match (self.least, self.most) {
            (least, Duration::MAX) => format!(">= {}", least.write()),
            (Duration::ZERO, most) => format!("<= {}", most.write()),
            (least, most) => format!("{}..{}", least.write(), most.write()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, expected) in [
            ("250ms", Some(ms(250))),
            (" 30 min ", Some(ms(1_800_000))),
            ("1h 30m", Some(ms(5_400_000))),
            ("0", Some(ms(0))),
            ("10", None),
            ("-3s", None),
            ("ten seconds", None),
            ("400 days", None),
        ] {
            assert_eq!(Duration::read(text), expected, "{text}");
        }
        assert_eq!(
            Shift::read("-5 min"),
            Some(Shift {
                by: ms(300_000),
                back: true
            })
        );
        assert_eq!((Shift::read("5 min"), Shift::read("+0")), (None, None));
    }

    #[test]
    fn rates_have_a_unit_and_are_above_nothing() {
        let read = |text| Rate::read(text).map(|rate| rate.per_second);
        assert_eq!(
            (read("20/s"), read("6 / min"), read("36/h")),
            (Some(20.0), Some(0.1), Some(0.01))
        );
        for wrong in ["20", "0/s", "-1/s", "1e9/s", "NaN/s", "20/day", "inf/s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn amounts_hold_what_they_say() {
        let holds = |text: &str, count, whole| Amount::read(text).unwrap().holds(count, whole);
        for (text, inside, outside) in [
            ("all", (10, 10), (9, 10)),
            ("none", (0, 10), (1, 10)),
            ("some", (1, 10), (0, 10)),
            (">= 99%", (99, 100), (98, 100)),
            ("<= 5", (5, 100), (6, 100)),
            ("3", (3, 100), (4, 100)),
            ("1..4", (4, 9), (5, 9)),
            ("10%..20%", (15, 100), (21, 100)),
        ] {
            assert!(holds(text, inside.0, inside.1), "{text}");
            assert!(!holds(text, outside.0, outside.1), "{text}");
        }
        assert!(holds("all", 0, 0), "of nobody all are");
        for wrong in ["", "101%", "-1", "4..1", "1..4%", "about 3", "> 5", "inf"] {
            assert_eq!(Amount::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        fn check<T: Unit + PartialEq + std::fmt::Debug>(texts: &[&str]) {
            for text in texts {
                let value = T::read(text).unwrap_or_else(|| panic!("{text}"));
                let written = value.write();
                assert_eq!(T::read(&written), Some(value), "{text} as {written}");
            }
        }
        check::<Duration>(&["0", "1h 2m 3s 4ms 5us 6ns", "400ms", "365 days"]);
        check::<Shift>(&["+90s", "-5 min"]);
        check::<Rate>(&["20/s", "7/min", "1/h", "0.1/s", "33.3/s"]);
        check::<Amount>(&[
            "all",
            "none",
            "some",
            ">= 99%",
            "<= 29%",
            "<= 0%",
            ">= 99.9%",
            "33.3%..57%",
            "3",
            "1..4",
            ">= 5",
            "<= 0.5",
            "100%",
            "0%",
        ]);
        check::<Limit>(&[">= 250ms", "<= 1s", "250ms..1s", ">= 0"]);
        assert_eq!(Amount::read(" >=  99 %").unwrap().write(), ">= 99%");
    }

    #[test]
    fn limits_hold_what_they_say() {
        let limit = Limit::read("250ms..1s").unwrap();
        assert!(limit.holds(ms(250)) && limit.holds(ms(1000)));
        assert!(!limit.holds(ms(249)) && !limit.holds(ms(1001)));
        assert!(Limit::read(">= 250ms").unwrap().holds(Duration::MAX));
        for wrong in ["250ms", "1s..250ms", "< 1s", ""] {
            assert_eq!(Limit::read(wrong), None, "{wrong}");
        }
    }
}
