//! Figures and foreign text, as readers of all reports and messages see them: one way to say a time, everywhere.

use std::time::Duration;

/// `3,600`
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `3,600 sign-ins`, `1 sign-in`
pub(crate) fn counted(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", count(number))
}

/// `0.4 ms`, `12 ms`, `1.25 s`, `42 s`, `3 min`, `1 h 5 min`: three digits or so, as people say it.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    // As it is shown: 59.99 s are a minute.
    let whole = duration.saturating_add(Duration::from_millis(500)).as_secs();
    if duration.is_zero() {
        "0 ms".to_owned()
    } else if seconds < 0.009_95 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 0.999_5 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds < 9.995 {
        format!("{seconds:.2} s")
    } else if seconds < 59.95 {
        format!("{} s", trimmed(seconds, 1))
    } else if whole < 3600 {
        parts(whole / 60, "min", whole % 60, "s")
    } else {
        parts(whole / 3600, "h", whole % 3600 / 60, "min")
    }
}

fn parts(great: u64, great_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{great} {great_unit}"),
        small => format!("{great} {great_unit} {small} {small_unit}"),
    }
}

/// As [`duration`], for an axis: `1 s`, `10 ms`.
pub(crate) fn tick(length: Duration) -> String {
    let text = duration(length);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') && !unit.contains(' ') => {
            let number = number.trim_end_matches('0').trim_end_matches('.');
            format!("{number} {unit}")
        }
        _ => text,
    }
}

/// A time on the run's clock, in seconds with milliseconds: `32.045`.
pub(crate) fn moment(at: Duration) -> String {
    format!("{:.3}", at.as_secs_f64())
}

/// A number with so many decimals at most.
pub(crate) fn trimmed(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

/// A number with three digits that matter, or four; a dash for what is none.
pub(crate) fn number(number: f64) -> String {
    if !number.is_finite() {
        return "–".to_owned();
    }
    let size = number.abs();
    match size {
        _ if size != 0.0 && size < 0.001 => format!("{number:.2e}"),
        _ if size < 1.0 => trimmed(number, 3),
        _ if size < 10.0 => trimmed(number, 2),
        _ if size < 100.0 => trimmed(number, 2),
        _ => format!("{number:.0}"),
    }
}

/// All of them together; as long as there is, if that is longer.
pub(crate) fn sum(durations: impl Iterator<Item = Duration>) -> Duration {
    durations.fold(Duration::ZERO, Duration::saturating_add)
}

/// `99.4%`; a dash of nothing. Only all of them are 100%, and only none are 0%.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let percent = part as f64 * 100.0 / whole as f64;
    match part {
        0 => "0%".to_owned(),
        _ if part == whole => "100%".to_owned(),
        _ => format!("{}%", trimmed(percent.clamp(0.01, 99.99), 2)),
    }
}

/// One line of foreign text for a terminal: control characters are shown, not obeyed. So are those that turn
/// the direction of writing around.
pub(crate) fn line(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for char in text.trim().chars() {
        match char {
            '\n' | '\t' | '\r' => clean.push(' '),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {
                clean.extend(char.escape_unicode());
            }
            _ if char.is_control() => clean.extend(char.escape_default()),
            _ => clean.push(char),
        }
    }
    clean
}

/// At most so many characters, with an ellipsis where something is missing.
pub(crate) fn short(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        for (us, text) in [
            (0, "0 ms"),
            (400, "0.4 ms"),
            (12_300, "12 ms"),
            (999_400, "999 ms"),
            (999_900, "1.00 s"),
            (4_321_000, "4.32 s"),
            (42_000_000, "42 s"),
            (59_990_000, "1 min"),
            (60_000_000, "1 min"),
            (185_000_000, "3 min 5 s"),
            (3_900_000_000, "1 h 5 min"),
        ] {
            assert_eq!(duration(Duration::from_micros(us)), text, "{us} us");
        }
    }

    #[test]
    fn an_axis_has_no_needless_zeros() {
        for (ms, text) in [
            (1, "1 ms"),
            (100, "100 ms"),
            (1000, "1 s"),
            (2500, "2.5 s"),
            (60_000, "1 min"),
        ] {
            assert_eq!(tick(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn shares_do_not_round_away_what_failed() {
        assert_eq!(share(1, 1_000_000), "0.01%");
        assert_eq!(share(999_999, 1_000_000), "99.99%");
        assert_eq!(share(3, 3), "100%");
        assert_eq!(share(0, 3), "0%");
        assert_eq!(share(0, 0), "–");
    }

    #[test]
    fn numbers_have_the_digits_that_matter() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0001, "-1.00e-4"),
            (0.1234, "0.123"),
            (2.5, "2.5"),
            (1234.5, "1234"),
            (f64::NAN, "–"),
            (f64::INFINITY, "–"),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(123), "123");
    }

    #[test]
    fn a_terminal_obeys_no_foreign_text() {
        assert_eq!(line("a\u{1b}[2Jb\u{202e}c\nd"), "a\\u{1b}[2Jb\\u{202e}c d");
    }
}
