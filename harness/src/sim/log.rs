//! The log of a simulated run, with simulated time.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::watch::ears;

/// The time since the simulation began, on a host.
pub(super) fn elapsed() -> Option<Duration> {
    let on_a_host = tokio::runtime::Handle::try_current().is_ok();
    on_a_host.then(turmoil::sim_elapsed).flatten()
}

struct Stamp;

impl FormatTime for Stamp {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        match elapsed() {
            Some(at) => write!(w, "{:>10.3}", at.as_secs_f64()),
            None => write!(w, "{:>10}", "-"),
        }
    }
}

/// Logs to standard error: seconds since the simulation began, host, line.
///
/// # Errors
/// If `filter` is not valid.
pub fn log_to_terminal(filter: &str) -> Result<(), ParseError> {
    // The host's name is in a span of the simulator.
    let filter = EnvFilter::builder().parse(format!("{filter},turmoil=info"))?;
    let shown = tracing_subscriber::fmt::layer()
        .with_timer(Stamp)
        .with_target(false)
        .with_writer(std::io::stderr)
        .with_filter(filter);
    // Another log in this process is a test's business.
    let _ = tracing_subscriber::registry().with(shown).with(ears()).try_init();
    Ok(())
}

/// A line of a host's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Since the simulation began.
    pub at: Duration,
    /// The host; empty for what is said outside of all.
    pub host: String,
    /// How grave it is.
    pub level: Level,
    /// The message, and its fields.
    pub text: String,
}

/// Most lines that are kept: a log that nobody reads any more, and some hundred megabytes.
const LINES_MAX: usize = 1_000_000;

#[derive(Debug, Default)]
struct Kept {
    lines: Vec<LogLine>,
    dropped: u64,
    /// When the last line on a host was: what is said outside of all was said then.
    last: Duration,
}

/// The log of all hosts, kept in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog(Arc<Mutex<Kept>>);

impl MemoryLog {
    /// All lines up to now, in the order in which they were said.
    pub fn lines(&self) -> Vec<LogLine> {
        self.lock().lines.clone()
    }

    /// How many were not kept, because there were too many.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs to memory: every line with its host and its simulated time.
///
/// # Errors
/// If `filter` is not valid.
pub fn log_to_memory(filter: &str) -> Result<MemoryLog, ParseError> {
    let log = MemoryLog::default();
    // The host's name is in a span of the simulator, of whose own lines nobody wants to hear.
    let filter = EnvFilter::builder().parse(format!("{filter},turmoil::sim=info"))?;
    // Another log in this process is a test's business.
    let _ = tracing_subscriber::registry()
        .with(log.clone().with_filter(filter))
        .with(ears())
        .try_init();
    Ok(log)
}

/// The host that a span of the simulator is on.
struct Host(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for MemoryLog {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        note_host(attributes, id, &context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        let host = host_of(event, &context);
        let mut kept = self.lock();
        kept.last = elapsed().unwrap_or(kept.last);
        if kept.lines.len() >= LINES_MAX {
            kept.dropped += 1;
            return;
        }
        let line = LogLine {
            at: kept.last,
            host: host.unwrap_or_default(),
            level: *event.metadata().level(),
            text: format!("{}{}", words.message, words.fields),
        };
        kept.lines.push(line);
    }
}

/// Notes on a span of the simulator which host it is on.
pub(super) fn note_host<S: Subscriber + for<'a> LookupSpan<'a>>(
    attributes: &Attributes<'_>,
    id: &Id,
    context: &Context<'_, S>,
) {
    let mut name = Words::default();
    attributes.record(&mut name);
    if let (Some(span), Some(host)) = (context.span(id), name.host) {
        // Two that look at one log note it twice.
        span.extensions_mut().replace(Host(host));
    }
}

/// The host that something was said on.
pub(super) fn host_of<S: Subscriber + for<'a> LookupSpan<'a>>(
    event: &Event<'_>,
    context: &Context<'_, S>,
) -> Option<String> {
    let spans = context.event_scope(event).into_iter().flatten();
    spans
        .into_iter()
        .find_map(|span| span.extensions().get::<Host>().map(|host| host.0.clone()))
}

/// The fields of a line or of a span.
#[derive(Default)]
pub(super) struct Words {
    pub(super) message: String,
    pub(super) fields: String,
    /// What is said of an error.
    pub(super) error: String,
    /// What the simulator calls a host.
    host: Option<String>,
}

impl Words {
    /// The value of a field that has no spaces in it.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut words = self.fields.split(' ');
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "name" {
            self.host = Some(value.to_owned());
        }
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A text takes any amount of writing.
        if field.name() == "error" {
            let _ = write!(self.error, "{value:?}");
        }
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
