//! What is wrong with a scenario file: every mistake with its place, its field, what would be right,
//! and where it can be guessed, what was meant.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where, in bytes of the text.
    pub at: Range<usize>,
    /// Which field, such as `fault[2].between[0]`; empty where there is none.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
    /// What was probably meant, or may be.
    pub help: Option<String>,
}

/// All mistakes of a file, in the order of their places.
#[derive(Clone, Debug)]
pub struct Mistakes {
    file: String,
    text: String,
    all: Vec<Mistake>,
}

impl Mistakes {
    pub(crate) fn new(file: &str, text: &str, mut all: Vec<Mistake>) -> Self {
        for mistake in &mut all {
            mistake.at = inside(text, &mistake.at);
        }
        all.sort_by(|a, b| (a.at.start, &a.field).cmp(&(b.at.start, &b.field)));
        all.dedup();
        Self {
            file: file.to_owned(),
            text: text.to_owned(),
            all,
        }
    }

    /// All of them.
    pub fn all(&self) -> &[Mistake] {
        &self.all
    }

    /// Line and column of a mistake, both from 1, in characters.
    pub fn position(&self, mistake: &Mistake) -> (usize, usize) {
        let before = self.text.get(..mistake.at.start).unwrap_or_default();
        let line = before.rsplit_once('\n').map_or(before, |(_, line)| line);
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }

    /// For a terminal: each mistake with its line of the file, in colours if `styled`.
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let renderer = renderer.decor_style(DecorStyle::Unicode);
        let mut shown = String::new();
        for mistake in &self.all {
            let mark = AnnotationKind::Primary.span(mistake.at.clone());
            let mark = match &mistake.help {
                Some(help) => mark.label(help.as_str()),
                None => mark,
            };
            let snippet = Snippet::source(self.text.as_str()).path(self.file.as_str());
            let title = titled(mistake);
            let report = [Level::ERROR
                .primary_title(title.as_str())
                .element(snippet.annotation(mark))];
            shown.push_str(&renderer.render(&report));
            shown.push_str("\n\n");
        }
        shown
    }
}

fn titled(mistake: &Mistake) -> String {
    match mistake.field.as_str() {
        "" => mistake.problem.clone(),
        field => format!("{field}: {}", mistake.problem),
    }
}

/// The nearest range of whole characters that lies inside the text and on one line, so that it can be shown.
fn inside(text: &str, at: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(at.start.min(text.len()));
    let end = text.ceil_char_boundary(at.end.clamp(start, text.len()));
    let marked = text.get(start..end).unwrap_or_default();
    let line = marked.lines().next().unwrap_or_default().trim_end().len();
    start..start + line
}

/// One line per mistake: `file:line:column: field: problem (help)`.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.all.iter().enumerate() {
            let (line, column) = self.position(mistake);
            let end = if at == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{line}:{column}: {}", self.file, titled(mistake))?;
            if let Some(help) = &mistake.help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// The one of `known` that was probably meant by `written`, as a question; else, if they are few, all
/// of them.
pub(crate) fn meant<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<_> = known.into_iter().collect();
    near(written, &known).or_else(|| {
        let few = !known.is_empty() && known.len() <= LISTED_MAX;
        few.then(|| format!("known here: {}", known.join(", ")))
    })
}

/// The one of `known` that was probably meant by `written`, as a question.
pub(crate) fn near(written: &str, known: &[&str]) -> Option<String> {
    let lower = written.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&lower, name);
    // A third of its letters may be wrong; a part of it may be missing.
    let is_near = |name: &&&str| {
        let part = name.len() > 3 && lower.len() > 3 && (name.contains(&lower) || lower.contains(**name));
        part || distance(name) <= (written.chars().count() / 3).max(1)
    };
    let found = known.iter().filter(is_near).min_by_key(|name| distance(name));
    found.map(|name| format!("did you mean `{name}`?"))
}

/// Names that are listed at most; more would hide the mistake.
const LISTED_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_guessed_where_it_can_be() {
        let known = ["agent1", "cloud", "dc1"];
        assert_eq!(meant("agnet1", known).unwrap(), "did you mean `agent1`?");
        assert_eq!(meant("Cloud", known).unwrap(), "did you mean `cloud`?");
        assert_eq!(meant("printer", known).unwrap(), "known here: agent1, cloud, dc1");
        assert_eq!(meant("x", []), None);
    }

    #[test]
    fn positions_count_lines_and_characters_and_stay_inside() {
        let mistake = |at| Mistake {
            at,
            field: "title".to_owned(),
            problem: "expected a text".to_owned(),
            help: None,
        };
        let text = "a = 1\nü = \"ä\" # x\n";
        let mistakes = Mistakes::new(
            "f.toml",
            text,
            vec![mistake(11..13), mistake(500..900), mistake(7..8)],
        );
        let places: Vec<_> = mistakes.all().iter().map(|one| mistakes.position(one)).collect();
        assert_eq!(places, [(2, 1), (2, 5), (3, 1)]);
        assert!(
            mistakes
                .to_string()
                .starts_with("f.toml:2:1: title: expected a text\n")
        );
        assert!(mistakes.render(false).contains("f.toml:2:5"));
    }
}
