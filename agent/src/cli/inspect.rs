//! `check-directory`: what an administrator is told of a directory and a user in it.

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use postern_kit::Seams;
use postern_proto::ids::ObjectId;
use postern_proto::names::{DomainName, OnPremisesName, Username};
use postern_proto::password::{PASSWORD_BYTES_MAX, Password};
use zeroize::Zeroizing;

use super::{ConfigArgs, Failed, read, text};
use crate::directory::{Finding, Inspected, Mark};
use crate::forests::Forests;

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The user's on-premises name: what the directory calls the user.
    #[arg(long)]
    user: OnPremisesName,
    /// The domain whose directory owns the user, if it is not the one in the name.
    #[arg(long)]
    domain: Option<DomainName>,
    /// The object_id of the user's record; with it the bind is the one of a sign-in.
    #[arg(long)]
    object: Option<ObjectId>,
    /// File that holds the user's password, to have it judged; - reads it from standard input. It is
    /// shown to one controller once, and a wrong one counts as the user's failure.
    #[arg(long)]
    password_file: Option<PathBuf>,
}

/// Looks at every controller of the user's forest and writes what it found to `out`.
pub(super) async fn inspect(
    args: InspectArgs,
    seams: &Seams,
    out: &mut (dyn Write + Send),
) -> Result<(), Failed> {
    let config = read(&args.config, seams)?;
    let domain = match args.domain {
        Some(domain) => domain,
        None => args
            .user
            .as_str()
            .parse()
            .map(|name: Username| name.domain())
            .map_err(|_| "--domain: missing; the user's name has no domain")?,
    };
    let password = args
        .password_file
        .map(|file| password(&file, seams))
        .transpose()?;
    let forests = Forests::open(&config.forests, config.timeouts, seams)?;
    forests.find().await;
    let forest = forests.of(&domain, &args.user)?;
    let mut asked = Inspected::new(args.user, args.object, password);
    writeln!(out, "{} in forest {}", asked.name(), forest.name())?;
    let all = forest.inspect(&mut asked).await;
    if all.is_empty() {
        return Err("no domain controller was found; the log says what was asked".into());
    }
    let mut failed = 0;
    for (controller, findings) in &all {
        writeln!(out, "\n{controller}")?;
        for finding in findings {
            show(finding, out)?;
        }
        failed += usize::from(findings.iter().any(|finding| finding.mark == Mark::Bad));
    }
    match failed {
        0 => Ok(()),
        _ => Err(format!(
            "users cannot sign in at {failed} of {} domain controllers",
            all.len()
        )
        .into()),
    }
}

fn show(finding: &Finding, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
    let mark = match finding.mark {
        Mark::Good => "ok",
        Mark::Bad => "FAILS",
        Mark::Note => "note",
    };
    writeln!(out, "  {mark:<6} {:<16} {}", finding.step, finding.text)?;
    match finding.advice {
        Some(advice) => writeln!(out, "  {:<6} {:<16} -> {advice}", "", ""),
        None => Ok(()),
    }
}

/// Without the line end after it.
fn password(file: &Path, seams: &Seams) -> Result<Password, Failed> {
    let mut text = if file == Path::new("-") {
        let mut typed = Zeroizing::new(String::with_capacity(PASSWORD_BYTES_MAX + 3));
        let longest = PASSWORD_BYTES_MAX as u64 + 3;
        std::io::stdin().lock().take(longest).read_to_string(&mut typed)?;
        typed
    } else {
        text(file, seams)?
    };
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    Password::new(std::mem::take(&mut *text)).map_err(|error| format!("--password-file: {error}").into())
}
