//! `postern-directory-mock control`: asks and steers a directory that runs, through its control port.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use postern_kit::Seams;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Failed;
use crate::control::{self, Client};

/// What `control` takes.
#[derive(Debug, Args)]
pub(super) struct ControlArgs {
    /// Where the control port listens, as `serve` printed it.
    #[arg(long, env = "POSTERN_DIRECTORY_CONTROL")]
    address: SocketAddr,
    /// The file with its token.
    #[arg(long, env = "POSTERN_DIRECTORY_TOKEN_FILE")]
    token_file: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Controllers, users, connections and time.
    Status,
    /// Shows or moves the directory's clock.
    Clock {
        /// Moves it forward, such as 31m.
        #[arg(long, value_parser = humantime::parse_duration, conflicts_with = "set")]
        forward: Option<Duration>,
        /// Moves it to a time, such as 2026-11-25T12:00:00Z.
        #[arg(long)]
        set: Option<String>,
    },
    /// Troubles.
    #[command(subcommand)]
    Faults(Faults),
    /// One user.
    User {
        /// sAMAccountName.
        name: String,
        #[command(subcommand)]
        action: User,
    },
    /// How often users were bound, where, and with which outcome.
    Journal {
        /// Of the user with this sAMAccountName.
        #[arg(long)]
        account: Option<String>,
        /// Under this name, as it was typed.
        #[arg(long)]
        name: Option<String>,
        /// At this controller.
        #[arg(long)]
        controller: Option<String>,
        /// With this outcome, such as "refused 52e".
        #[arg(long)]
        outcome: Option<String>,
        /// How many binds are shown, the newest.
        #[arg(long, default_value_t = 20)]
        last: usize,
        /// Forgets everything instead.
        #[arg(long)]
        clear: bool,
    },
    /// Writes the directory as LDIF.
    Export {
        /// With the users' passwords, as `unicodePwd`.
        #[arg(long)]
        with_passwords: bool,
    },
    /// Takes in users and groups from LDIF on standard input.
    Import,
    /// Closes all connections, with a notice of disconnection.
    Disconnect {
        /// Only those without a request under way.
        #[arg(long)]
        idle_only: bool,
        /// Without a word.
        #[arg(long)]
        no_notice: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Faults {
    /// Shows all rules, and how often each was in play.
    List,
    /// Sets a rule, with the keys of the configuration file in JSON.
    Set {
        /// The rule, or `-` for standard input.
        rule: String,
    },
    /// Takes a rule away.
    Remove {
        /// Its name.
        name: String,
    },
    /// Takes all rules away.
    Clear,
    /// Draws chance from a seed from now on.
    Seed {
        /// The seed.
        seed: u64,
    },
}

#[derive(Debug, Subcommand)]
enum User {
    /// Shows the user.
    Show,
    /// Adds it; the password is read from standard input.
    Add,
    /// Deletes it.
    Delete,
    /// Locks it, as too many wrong passwords do.
    Lock,
    /// Ends a lockout.
    Unlock,
    /// Disables it.
    Disable,
    /// Enables it.
    Enable,
    /// Puts it into a state of the configuration file, such as `must_change`; `normal` takes all away.
    State {
        /// Which.
        state: String,
    },
    /// Resets its password, which is read from standard input.
    Password,
    /// Gives it another name.
    Rename {
        /// The new sAMAccountName.
        to: String,
        /// The new userPrincipalName; without it the user has none.
        #[arg(long)]
        upn: Option<String>,
    },
}

/// Runs one command and prints the answer.
pub(super) async fn run(args: ControlArgs) -> Result<(), Failed> {
    let seams = Seams::real();
    let token = control::token_in(&args.token_file, &seams)?;
    let client = Client::new(args.address, token, seams);
    let mut out = std::io::stdout();
    match &args.command {
        Command::Export { with_passwords } => {
            let path = format!("/ldif?passwords={with_passwords}");
            let text = Zeroizing::new(client.text("GET", &path, String::new()).await?);
            out.write_all(text.as_bytes())?;
            return Ok(());
        }
        Command::Import => {
            let text = client.text("POST", "/ldif", input()?.to_string()).await?;
            out.write_all(text.as_bytes())?;
            return Ok(());
        }
        Command::Status
        | Command::Clock { .. }
        | Command::Faults(_)
        | Command::User { .. }
        | Command::Journal { .. }
        | Command::Disconnect { .. } => {}
    }
    let (method, path, body) = request(args.command)?;
    let answer = client.call(method, &path, body.as_ref()).await?;
    // A closed standard output is no failure.
    let _ = writeln!(out, "{answer:#}");
    Ok(())
}

type Request = (&'static str, String, Option<Value>);

fn request(command: Command) -> Result<Request, Failed> {
    Ok(match command {
        Command::Status => ("GET", "/".to_owned(), None),
        Command::Export { .. } => ("GET", "/ldif".to_owned(), None),
        Command::Import => ("POST", "/ldif".to_owned(), None),
        Command::Clock {
            forward: None,
            set: None,
        } => ("GET", "/clock".to_owned(), None),
        Command::Clock {
            forward: Some(by), ..
        } => {
            let body = json!({ "forward_s": by.as_secs() });
            ("POST", "/clock".to_owned(), Some(body))
        }
        Command::Clock { set, .. } => ("POST", "/clock".to_owned(), Some(json!({ "set": set }))),
        Command::Faults(faults) => of_faults(faults)?,
        Command::User { name, action } => of_user(&name, action)?,
        Command::Journal { clear: true, .. } => ("DELETE", "/journal".to_owned(), None),
        Command::Journal {
            account,
            name,
            controller,
            outcome,
            last,
            clear: false,
        } => {
            let mut path = format!("/journal?last={last}");
            for (key, value) in [
                ("account", account),
                ("name", name),
                ("controller", controller),
                ("outcome", outcome),
            ] {
                if let Some(value) = value {
                    path.push_str(&format!("&{key}={}", escaped(&value)));
                }
            }
            ("GET", path, None)
        }
        Command::Disconnect { idle_only, no_notice } => {
            let body = json!({ "idle_only": idle_only, "notice": !no_notice });
            ("POST", "/connections/close".to_owned(), Some(body))
        }
    })
}

fn of_faults(faults: Faults) -> Result<Request, Failed> {
    Ok(match faults {
        Faults::List => ("GET", "/faults".to_owned(), None),
        Faults::Set { rule } => {
            let text = if rule == "-" { input()?.to_string() } else { rule };
            let rule =
                serde_json::from_str(&text).map_err(|error| format!("rule: expected JSON: {error}"))?;
            ("PUT", "/faults".to_owned(), Some(rule))
        }
        Faults::Remove { name } => ("DELETE", format!("/faults/{}", escaped(&name)), None),
        Faults::Clear => ("DELETE", "/faults".to_owned(), None),
        Faults::Seed { seed } => ("POST", "/fault-seed".to_owned(), Some(json!({ "seed": seed }))),
    })
}

fn of_user(name: &str, action: User) -> Result<Request, Failed> {
    let user = format!("/users/{}", escaped(name));
    let (action, body) = match action {
        User::Show => return Ok(("GET", user, None)),
        User::Delete => return Ok(("DELETE", user, None)),
        User::Add => {
            let body = json!({ "name": name, "password": input()?.as_str() });
            return Ok(("POST", "/users".to_owned(), Some(body)));
        }
        User::Lock => ("lock", json!({})),
        User::Unlock => ("unlock", json!({})),
        User::Disable => ("disable", json!({})),
        User::Enable => ("enable", json!({})),
        User::State { state } => ("state", json!({ "state": state })),
        User::Password => ("password", json!({ "password": input()?.as_str() })),
        User::Rename { to, upn: Some(upn) } => ("rename", json!({ "name": to, "upn": upn })),
        User::Rename { to, upn: None } => ("rename", json!({ "name": to })),
    };
    Ok(("POST", format!("{user}/{action}"), Some(body)))
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Standard input without the end of its last line.
fn input() -> Result<Zeroizing<String>, Failed> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().read_to_string(&mut text)?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ControlArgs,
    }

    #[track_caller]
    fn check(line: &str, method: &str, path: &str, body: Option<Value>) {
        let always = "control --address 127.0.0.1:1 --token-file t";
        let words = always.split(' ').chain(line.split(' '));
        let request = request(Line::parse_from(words).args.command).unwrap();
        assert_eq!(request, (method_of(method), path.to_owned(), body), "{line}");
    }

    fn method_of(name: &str) -> &'static str {
        let known = ["GET", "PUT", "POST", "DELETE"].into_iter();
        known.into_iter().find(|known| *known == name).unwrap()
    }

    #[test]
    fn commands_become_requests() {
        check("status", "GET", "/", None);
        check("clock", "GET", "/clock", None);
        check(
            "clock --forward 31m",
            "POST",
            "/clock",
            Some(json!({ "forward_s": 1860 })),
        );
        check(
            "clock --set 2026-11-25T12:00:00Z",
            "POST",
            "/clock",
            Some(json!({ "set": "2026-11-25T12:00:00Z" })),
        );
        let rule = r#"{"name":"r","effect":"hang"}"#;
        let body = Some(json!({ "name": "r", "effect": "hang" }));
        check(&format!("faults set {rule}"), "PUT", "/faults", body);
        check("faults remove a.b", "DELETE", "/faults/a%2Eb", None);
        check("user a.b unlock", "POST", "/users/a%2Eb/unlock", Some(json!({})));
        check(
            "user alice rename anna --upn anna@x",
            "POST",
            "/users/alice/rename",
            Some(json!({ "name": "anna", "upn": "anna@x" })),
        );
        check("user alice delete", "DELETE", "/users/alice", None);
        check(
            "journal --account alice --outcome accepted",
            "GET",
            "/journal?last=20&account=alice&outcome=accepted",
            None,
        );
        check("journal --clear", "DELETE", "/journal", None);
        check(
            "disconnect --no-notice",
            "POST",
            "/connections/close",
            Some(json!({ "idle_only": false, "notice": false })),
        );
    }
}
