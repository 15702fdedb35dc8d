//! What commands print: each thing is a list of named values, shown as a table or as JSON.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use postern_kit::clock::Timestamp;
use postern_proto::wire::admin as wire;
use serde_json::{Map, Value, json};

/// Named values in the order in which they are shown.
type Fields = Vec<(&'static str, Value)>;

/// Something that can be listed.
pub(super) trait Shown {
    /// Its values. A value that is no text, number or flag is in JSON only.
    fn fields(&self) -> Fields;
}

/// Where to, and in which form.
pub(super) struct Output<'a> {
    out: &'a mut (dyn Write + Send),
    json: bool,
}

impl<'a> Output<'a> {
    pub(super) fn new(out: &'a mut (dyn Write + Send), json: bool) -> Self {
        Self { out, json }
    }

    /// A single thing, a value a line.
    pub(super) fn one(&mut self, shown: &impl Shown) -> io::Result<()> {
        if self.json {
            return self.all(std::slice::from_ref(shown));
        }
        for (name, value) in shown.fields() {
            if let Some(text) = text(&value) {
                writeln!(self.out, "{name:<24} {text}")?;
            }
        }
        Ok(())
    }

    /// A list.
    pub(super) fn all(&mut self, all: &[impl Shown]) -> io::Result<()> {
        if self.json {
            for shown in all {
                let object: Map<_, _> = shown
                    .fields()
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect();
                writeln!(self.out, "{}", Value::Object(object))?;
            }
            return Ok(());
        }
        if all.is_empty() {
            return writeln!(self.out, "none");
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        for (at, shown) in all.iter().enumerate() {
            let cells: Vec<_> = shown
                .fields()
                .into_iter()
                .filter_map(|(name, value)| text(&value).map(|text| (name, text)))
                .collect();
            if at == 0 {
                table.set_header(cells.iter().map(|(name, _)| *name));
            }
            table.add_row(cells.into_iter().map(|(_, text)| text));
        }
        writeln!(self.out, "{}", table.trim_fmt())
    }

    /// A list that is part of the thing before it, which has it already in JSON.
    pub(super) fn below(&mut self, all: &[impl Shown]) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        writeln!(self.out)?;
        self.all(all)
    }

    pub(super) fn deleted(&mut self, what: &'static str, which: &str) -> io::Result<()> {
        self.one(&Deleted(what, which))
    }

    pub(super) fn imported(&mut self, imported: wire::ImportUsersResponse) -> io::Result<()> {
        self.one(&imported)
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("-".to_owned()),
        Value::Bool(flag) => Some(if *flag { "yes" } else { "no" }.to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(items) if items.iter().all(Value::is_string) => Some(
            items
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(", "),
        ),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// RFC 3339; nothing for a time that was not.
fn time(unix_ms: i64) -> Value {
    match unix_ms {
        0 => Value::Null,
        ms => Value::from(Timestamp::from_unix_ms(ms).to_string()),
    }
}

fn or_none(text: &str) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        Value::from(text)
    }
}

struct Deleted<'a>(&'static str, &'a str);

impl Shown for Deleted<'_> {
    fn fields(&self) -> Fields {
        vec![("deleted", json!(self.0)), (self.0, json!(self.1))]
    }
}

impl Shown for wire::ImportUsersResponse {
    fn fields(&self) -> Fields {
        vec![("created", json!(self.created)), ("updated", json!(self.updated))]
    }
}

impl Shown for wire::Tenant {
    fn fields(&self) -> Fields {
        vec![
            ("name", json!(self.name)),
            ("id", json!(self.id)),
            ("created", time(self.created_unix_ms)),
            ("tell_locked", json!(self.tell_locked)),
            ("alternate_id_attribute", or_none(&self.alternate_id_attribute)),
        ]
    }
}

impl Shown for wire::Domain {
    fn fields(&self) -> Fields {
        vec![("name", json!(self.name)), ("tenant", json!(self.tenant))]
    }
}

impl Shown for wire::User {
    fn fields(&self) -> Fields {
        vec![
            ("username", json!(self.username)),
            ("alternate_id", or_none(&self.alternate_id)),
            ("object_id", json!(self.object_id)),
            ("on_premises_name", json!(self.on_premises_name)),
            ("domain", json!(self.domain)),
            ("id", json!(self.id)),
        ]
    }
}

impl Shown for wire::Client {
    fn fields(&self) -> Fields {
        vec![
            ("name", json!(self.name)),
            ("id", json!(self.id)),
            ("created", time(self.created_unix_ms)),
        ]
    }
}

impl Shown for wire::CreateClientResponse {
    fn fields(&self) -> Fields {
        let mut fields = self.client.as_ref().map(Shown::fields).unwrap_or_default();
        fields.push(("secret", json!(self.secret)));
        fields
    }
}

impl Shown for wire::Token {
    fn fields(&self) -> Fields {
        vec![
            ("id", json!(self.id)),
            ("domains", json!(self.domains)),
            ("created", time(self.created_unix_ms)),
            ("expires", time(self.expires_unix_ms)),
            ("used_by_agent", or_none(&self.used_by_agent)),
        ]
    }
}

impl Shown for wire::CreateTokenResponse {
    fn fields(&self) -> Fields {
        let mut fields = self.token.as_ref().map(Shown::fields).unwrap_or_default();
        fields.retain(|(name, _)| *name != "used_by_agent");
        fields.push(("token", json!(self.text)));
        fields
    }
}

impl Shown for wire::Agent {
    fn fields(&self) -> Fields {
        vec![
            ("id", json!(self.id)),
            ("name", or_none(&self.name)),
            ("host_name", json!(self.host_name)),
            ("connected", json!(self.connected)),
            ("drained", json!(self.drained)),
            ("revoked", time(self.revoked_unix_ms)),
            ("in_flight", json!(self.in_flight)),
            ("domains", json!(self.domains)),
            ("version", json!(self.version)),
            ("last_seen", time(self.last_seen_unix_ms)),
            ("certificate_expires", time(self.certificate_expires_unix_ms)),
            // Long, and needed only by those who ask for it.
            (
                "details",
                json!({ "fingerprint": self.fingerprint, "enrolled": time(self.enrolled_unix_ms) }),
            ),
        ]
    }
}

/// An agent with what is too long for a table.
pub(super) struct WholeAgent(pub(super) wire::Agent);

impl Shown for WholeAgent {
    fn fields(&self) -> Fields {
        let mut fields = self.0.fields();
        fields.retain(|(name, _)| *name != "details");
        fields.push(("tenant", json!(self.0.tenant)));
        fields.push(("enrolled", time(self.0.enrolled_unix_ms)));
        fields.push(("fingerprint", json!(self.0.fingerprint)));
        fields
    }
}

impl Shown for wire::SignInRecord {
    fn fields(&self) -> Fields {
        let attempts: Vec<_> = self.attempts.iter().map(attempt).collect();
        let asked: Vec<_> = self.attempts.iter().map(asked).collect();
        vec![
            ("at", time(self.at_unix_ms)),
            ("username", or_none(&self.username)),
            ("outcome", json!(self.outcome)),
            ("code", json!(self.code)),
            ("by", json!(self.channel)),
            ("from", json!(self.source_address)),
            ("ms", json!(self.total_us.div_ceil(1000))),
            ("asked", json!(asked)),
            ("request_id", json!(self.request_id)),
            (
                "details",
                json!({
                    "tenant": self.tenant,
                    "user_id": or_none(&self.user_id),
                    "client_id": or_none(&self.client_id),
                    "total_us": self.total_us,
                    "attempts": attempts,
                }),
            ),
        ]
    }
}

impl Shown for wire::Status {
    fn fields(&self) -> Fields {
        let named = |listener: &wire::ListenerStatus| {
            let fields = listener.fields().into_iter();
            Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect())
        };
        vec![
            ("version", json!(self.version)),
            ("replica_id", json!(self.replica_id)),
            ("started", time(self.started_unix_ms)),
            ("sign_ins_under_way", json!(self.sign_ins_under_way)),
            ("sign_ins_shed", json!(self.sign_ins_shed)),
            (
                "listeners",
                Value::Array(self.listeners.iter().map(named).collect()),
            ),
        ]
    }
}

impl Shown for wire::ListenerStatus {
    fn fields(&self) -> Fields {
        vec![
            ("listener", json!(self.name)),
            ("open", json!(self.open)),
            ("accepted", json!(self.accepted)),
            ("above_limit", json!(self.above_limit)),
            ("anonymous_above_limit", json!(self.anonymous_above_limit)),
            ("no_handshake", json!(self.no_handshake)),
            ("slow_handshake", json!(self.slow_handshake)),
            ("unreadable", json!(self.unreadable)),
            ("silent", json!(self.silent)),
            ("overdue", json!(self.overdue)),
            ("made_room", json!(self.made_room)),
        ]
    }
}

/// An attempt in a few words: which agent, which controller it asked, and what came of it.
fn asked(attempt: &wire::Attempt) -> String {
    let agent = attempt.agent_id.get(..8).unwrap_or(&attempt.agent_id);
    let at = if attempt.controller.is_empty() { "" } else { "@" };
    let controller = &attempt.controller;
    let reason = if attempt.reason.is_empty() { "" } else { ":" };
    format!(
        "{agent}{at}{controller} {}{reason}{}",
        attempt.verdict, attempt.reason
    )
}

fn attempt(attempt: &wire::Attempt) -> Value {
    json!({
        "agent_id": attempt.agent_id,
        "controller": or_none(&attempt.controller),
        "verdict": attempt.verdict,
        "reason": or_none(&attempt.reason),
        "total_us": attempt.total_us,
        "agent_wait_us": attempt.agent_wait_us,
        "bind_us": attempt.bind_us,
        "ldap_result": attempt.ldap_result,
        "sub_code": format!("{:x}", attempt.sub_code),
    })
}
