//! Fields of a scenario's file by their path, so that a command line or an experiment gives them other values: pure.
//!
//! ```text
//!   limits.budget                      a field
//!   tenant[0].controllers[1].latency   of the first tenant, of its second controller
//!   fault[death].for                   of the fault that is called so
//!   load[*].rate                       of every load
//! ```
//! A field that is not written yet is added; a table in a row must be there. Whether the field exists at all, and
//! whether its value is right, is said by [`parse`](super::parse) of what came of it.

use toml::{Table, Value};

use super::mistakes::meant;

/// A field that gets another value.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its path.
    pub path: String,
    /// Its value.
    pub value: Value,
}

impl Setting {
    /// Reads `path=value`, as it stands in a command line. What is no TOML value is a text.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn read(text: &str) -> Result<Self, String> {
        let (path, value) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}` has no value; expected one such as `limits.budget=3`"))?;
        steps(path.trim())?;
        let value = value.trim();
        let read = toml::from_str::<Table>(&format!("value = {value}"));
        let read = read.ok().and_then(|mut table| table.remove("value"));
        Ok(Self {
            path: path.trim().to_owned(),
            value: read.unwrap_or_else(|| Value::String(value.to_owned())),
        })
    }
}

/// `path=value`, as [`Setting::read`] reads it.
impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.value {
            // A text that would be read as something else needs its quotes.
            Value::String(text) if Self::read(&format!("x={text}")).is_ok_and(|read| read.value.is_str()) => {
                write!(f, "{}={text}", self.path)
            }
            value => write!(f, "{}={value}", self.path),
        }
    }
}

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step<'a> {
    Field(&'a str),
    At(usize),
    Called(&'a str),
    Each,
}

/// Deepest path: files are four deep.
const STEPS_MAX: usize = 16;

fn steps(path: &str) -> Result<Vec<Step<'_>>, String> {
    let wrong = || {
        format!(
            "`{path}` is no path; expected one such as `limits.budget`, `tenant[0].agents` or `fault[death].for`"
        )
    };
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (name, mut rest) = match part.find('[') {
            Some(end) => part.split_at(end),
            None => (part, ""),
        };
        if name.is_empty() || name.contains(']') {
            return Err(wrong());
        }
        steps.push(Step::Field(name));
        while !rest.is_empty() {
            let (which, more) =
                (rest.strip_prefix('[').and_then(|rest| rest.split_once(']'))).ok_or_else(wrong)?;
            steps.push(match which {
                "" => return Err(wrong()),
                "*" => Step::Each,
                which => which.parse().map_or(Step::Called(which), Step::At),
            });
            rest = more;
        }
    }
    match steps.len() > STEPS_MAX {
        true => Err(wrong()),
        false => Ok(steps),
    }
}

/// Gives a field of a scenario's file another value. All paths that it had, with numbers for names: as mistakes
/// call them.
///
/// # Errors
/// What is wrong with the path, and what would be right.
pub fn set(file: &mut Table, setting: &Setting) -> Result<Vec<String>, String> {
    let steps = steps(&setting.path)?;
    let mut done = Vec::new();
    let [Step::Field(first), rest @ ..] = steps.as_slice() else {
        return Err(format!("`{}` is no path", setting.path));
    };
    field(file, first, rest, "", &setting.value, &mut done)?;
    Ok(done)
}

fn field(
    table: &mut Table,
    name: &str,
    rest: &[Step<'_>],
    at: &str,
    value: &Value,
    done: &mut Vec<String>,
) -> Result<(), String> {
    let path = if at.is_empty() {
        name.to_owned()
    } else {
        format!("{at}.{name}")
    };
    if rest.is_empty() {
        table.insert(name.to_owned(), value.clone());
        done.push(path);
        return Ok(());
    }
    if matches!(rest, [Step::Field(_), ..]) {
        let inner = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
        return within(inner, rest, &path, value, done);
    }
    match table.get_mut(name) {
        Some(inner) => within(inner, rest, &path, value, done),
        None => Err(format!(
            "`{path}`: the scenario's file has none; expected a table in a row that is there"
        )),
    }
}

fn within(
    inner: &mut Value,
    rest: &[Step<'_>],
    path: &str,
    value: &Value,
    done: &mut Vec<String>,
) -> Result<(), String> {
    let [step, rest @ ..] = rest else {
        *inner = value.clone();
        done.push(path.to_owned());
        return Ok(());
    };
    match (step, inner) {
        (Step::Field(name), Value::Table(table)) => field(table, name, rest, path, value, done),
        (Step::Field(_), other) => Err(format!("`{path}` is {} here, not a table", seen(other))),
        (Step::At(_) | Step::Called(_) | Step::Each, Value::Array(items)) => {
            for place in places(items, step, path)? {
                let path = format!("{path}[{place}]");
                if let Some(item) = items.get_mut(place) {
                    within(item, rest, &path, value, done)?;
                }
            }
            Ok(())
        }
        (Step::At(_) | Step::Called(_) | Step::Each, other) => Err(format!(
            "`{path}` is {} here; to reach into it, write one table for each in the file",
            seen(other)
        )),
    }
}

/// Which of some tables in a row are meant.
fn places(items: &[Value], step: &Step<'_>, path: &str) -> Result<Vec<usize>, String> {
    match step {
        Step::Each | Step::Field(_) => Ok((0..items.len()).collect()),
        Step::At(place) if *place < items.len() => Ok(vec![*place]),
        Step::At(place) => Err(format!(
            "`{path}[{place}]` is not there; expected a number from 0 to {}",
            items.len().saturating_sub(1)
        )),
        Step::Called(name) => {
            let called = |item: &Value| item.get("name").and_then(Value::as_str).map(str::to_owned);
            let found = items
                .iter()
                .position(|item| called(item).as_deref() == Some(name));
            found.map(|place| vec![place]).ok_or_else(|| {
                let known: Vec<_> = items.iter().filter_map(called).collect();
                let help = meant(name, known.iter().map(String::as_str));
                let help = help.map_or_else(String::new, |help| format!(" ({help})"));
                format!("`{path}[{name}]`: none is called so{help}")
            })
        }
    }
}

fn seen(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        other => format!("`{other}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "title = 't'\n[[tenant]]\nname = 'contoso'\nagents = 2\ncontrollers = [{}, {}]\n\
                        [[load]]\nrate = '1/s'\n[[load]]\nrate = '2/s'\n[[fault]]\nname = 'death'\nat = '1s'\n";

    /// The paths that were set and what they are now; or what is wrong.
    fn check(setting: &str, expected: Result<&[&str], &str>) {
        let mut file: Table = toml::from_str(FILE).unwrap();
        let setting = Setting::read(setting).unwrap();
        let done = set(&mut file, &setting);
        match expected {
            Ok(paths) => {
                assert_eq!(done.unwrap(), paths);
                for path in paths {
                    let reached = path.split(['.', '[', ']']).filter(|step| !step.is_empty());
                    let inner = |at: Value, step: &str| match at {
                        Value::Array(items) => items.get(step.parse::<usize>().ok()?).cloned(),
                        other => other.get(step).cloned(),
                    };
                    let mut steps = reached;
                    let value = steps.try_fold(Value::Table(file.clone()), inner);
                    assert_eq!(value, Some(setting.value.clone()), "{path}");
                }
            }
            Err(problem) => assert_eq!(done.unwrap_err(), problem),
        }
    }

    #[test]
    fn any_field_is_reached_by_its_path() {
        check("duration=5 min", Ok(&["duration"]));
        check("limits.budget = 3", Ok(&["limits.budget"]));
        check("tenant[0].agents=7", Ok(&["tenant[0].agents"]));
        check(
            "tenant[contoso].controllers[1].latency=9ms",
            Ok(&["tenant[0].controllers[1].latency"]),
        );
        check("load[*].rate=9/s", Ok(&["load[0].rate", "load[1].rate"]));
        check("fault[death].for=3s", Ok(&["fault[0].for"]));
    }

    #[test]
    fn a_path_that_leads_nowhere_is_said_with_what_is_there() {
        check(
            "tenant[1].agents=7",
            Err("`tenant[1]` is not there; expected a number from 0 to 0"),
        );
        check(
            "fault[deth].for=3s",
            Err("`fault[deth]`: none is called so (did you mean `death`?)"),
        );
        check(
            "tenant[0].agents[0].controllers=1",
            Err("`tenant[0].agents` is `2` here; to reach into it, write one table for each in the file"),
        );
        check("title.x=3", Err("`title` is `\"t\"` here, not a table"));
        check(
            "link[0].latency=1s",
            Err("`link`: the scenario's file has none; expected a table in a row that is there"),
        );
    }

    #[test]
    fn what_is_no_path_or_has_no_value_is_refused() {
        for bad in ["=3", "a..b=1", "a[]=1", "a[0=1", "a]=1", "[0]=1"] {
            assert!(
                Setting::read(bad).unwrap_err().contains("expected one such as"),
                "{bad}"
            );
        }
        assert!(
            Setting::read("limits.budget")
                .unwrap_err()
                .contains("has no value")
        );
    }

    #[test]
    fn settings_are_read_as_they_are_written() {
        for (text, value) in [
            ("a=3", Value::Integer(3)),
            ("a=true", Value::Boolean(true)),
            ("a=30s", Value::String("30s".to_owned())),
            ("a=\"3\"", Value::String("3".to_owned())),
            ("a=<= 5", Value::String("<= 5".to_owned())),
            ("a=[1, 2]", Value::Array(vec![1.into(), 2.into()])),
        ] {
            let setting = Setting::read(text).unwrap();
            assert_eq!((&setting.value, setting.to_string().as_str()), (&value, text));
        }
    }
}
