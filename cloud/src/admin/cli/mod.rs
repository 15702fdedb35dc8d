//! `postern-cloud admin`: the command line over the administration socket. Tables for people, JSON
//! lines for programmes.

mod agent;
mod import;
mod output;
mod tenant;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use postern_proto::wire::admin as wire;
use postern_proto::wire::admin::admin_client::AdminClient;
use tonic::transport::Channel;

use self::agent::AgentCommand;
use self::import::{ImportError, Source};
use self::output::Output;
use self::tenant::TenantCommand;
use super::socket;
use crate::trust::TOKEN_LIFETIME;

/// Entries that one call lists; the server gives at most so many.
const PAGE: u32 = 1000;

/// Records that `sign-in list` shows unless told otherwise: a screen. And the most that it can.
const SIGN_INS_DEFAULT: u32 = 50;
const SIGN_INS_MAX: i64 = PAGE as i64;

/// Why an administration command did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// There is no word of the socket.
    #[error(
        "--socket: missing; give it, or POSTERN_ADMIN_SOCKET: `admin.socket` of the cloud's configuration"
    )]
    NoSocket,
    /// Nobody serves the socket.
    #[error("cannot connect to {socket} (does the cloud run, and may this user administer it?)")]
    Connect {
        /// Which socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The cloud refuses, in its words.
    #[error("{0}")]
    Refused(String),
    /// The file cannot be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Something that cannot be undone needs to be said twice.
    #[error("--yes: missing; this deletes the tenant with its domains, users, clients, tokens and agents")]
    NotConfirmed,
    /// A file cannot be made.
    #[error("{file} cannot be made")]
    File {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
}

/// Its message is the whole of it: there is no cause to look for.
impl From<tonic::Status> for AdminError {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(match status.message() {
            "" => status.code().to_string(),
            message => message.to_owned(),
        })
    }
}

/// What `admin` takes.
#[derive(Debug, Args)]
pub struct AdminArgs {
    /// The cloud's administration socket; required.
    #[arg(long, global = true, env = "POSTERN_ADMIN_SOCKET")]
    socket: Option<PathBuf>,
    /// Prints JSON, one object a line, instead of a table.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Organisations.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// The domains of their users' names.
    #[command(subcommand)]
    Domain(DomainCommand),
    /// Who may sign in.
    #[command(subcommand)]
    User(UserCommand),
    /// Programmes that may call SignIn.
    #[command(subcommand)]
    Client(ClientCommand),
    /// Enrolment tokens, which make agents.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Agents and whether they are connected.
    #[command(subcommand, alias = "agents")]
    Agent(AgentCommand),
    /// The sign-in log.
    #[command(subcommand)]
    SignIn(SignInCommand),
    /// How the cloud is doing, and which connections it had to close.
    Status,
}

#[derive(Debug, Args)]
struct InTenant {
    /// The tenant's name.
    #[arg(long)]
    tenant: String,
}

#[derive(Debug, Subcommand)]
enum DomainCommand {
    /// Gives a domain to a tenant.
    Create {
        #[command(flatten)]
        of: InTenant,
        /// Such as corp.example.com.
        name: String,
    },
    /// Lists a tenant's domains.
    List(InTenant),
    /// Takes a domain from a tenant.
    Delete {
        #[command(flatten)]
        of: InTenant,
        /// The domain.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Makes a user record.
    Create {
        #[command(flatten)]
        of: InTenant,
        /// What the user types: name@domain.
        username: String,
        /// The directory object: objectGUID or entryUUID.
        #[arg(long)]
        object_id: String,
        /// What the directory calls the user, if that is not the username.
        #[arg(long)]
        on_premises_name: Option<String>,
        /// The domain whose directory owns the user, if that is not the username's.
        #[arg(long)]
        domain: Option<String>,
        /// What the user may type instead of the username, if the tenant has an attribute for it.
        #[arg(long)]
        alternate_id: Option<String>,
    },
    /// Makes or updates records from a file; they are found by their object_id.
    Import {
        #[command(flatten)]
        of: InTenant,
        /// CSV with a header or JSON lines, by its name's end; fields username, object_id and, if they
        /// differ from the username, on_premises_name, domain and alternate_id.
        file: PathBuf,
    },
    /// Lists a tenant's users.
    List(InTenant),
    /// Deletes a user record.
    Delete {
        #[command(flatten)]
        of: InTenant,
        /// The user's name.
        username: String,
    },
}

#[derive(Debug, Subcommand)]
enum ClientCommand {
    /// Registers a programme and prints its secret, this once.
    Create {
        #[command(flatten)]
        of: InTenant,
        /// What people call it.
        name: String,
    },
    /// Lists a tenant's clients.
    List(InTenant),
    /// Deletes a client.
    Delete {
        #[command(flatten)]
        of: InTenant,
        /// Its id.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Makes a token for one agent and prints it, this once.
    Create {
        #[command(flatten)]
        of: InTenant,
        /// A domain that the agent is to serve; may be repeated.
        #[arg(long, required = true)]
        domain: Vec<String>,
        /// How long it can be used, such as 30m or 2days: 1 minute to 7 days.
        #[arg(long, default_value = "1h", value_parser = token_lifetime)]
        expires: Duration,
        /// Writes the token to this file, which must not exist, instead of showing it.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Lists a tenant's tokens.
    List(InTenant),
    /// Deletes a token. An agent made with it stays.
    Delete {
        #[command(flatten)]
        of: InTenant,
        /// Its id.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
enum SignInCommand {
    /// Lists sign-ins, newest first.
    List {
        /// Of this tenant only; without it also those to tenants that do not exist.
        #[arg(long)]
        tenant: Option<String>,
        /// Of this user only.
        #[arg(long)]
        username: Option<String>,
        /// At most so many, 1 to 1,000.
        #[arg(long, default_value_t = SIGN_INS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=SIGN_INS_MAX))]
        limit: u32,
    },
}

/// Checked here, where the option has its name.
fn token_lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if TOKEN_LIFETIME.contains(&lifetime) {
        Ok(lifetime)
    } else {
        Err("expected 1 minute to 7 days".to_owned())
    }
}

/// Runs a command and writes what it says to `out`.
///
/// # Errors
/// [`AdminError`] says what was refused, and which field is at fault.
///
/// # Cancellation
/// What was sent is done as a whole or not at all.
pub async fn run(args: AdminArgs, out: &mut (dyn Write + Send)) -> Result<(), AdminError> {
    let socket = args.socket.ok_or(AdminError::NoSocket)?;
    let client = match socket::connect(&socket).await {
        Ok(client) => client,
        Err(source) => return Err(AdminError::Connect { socket, source }),
    };
    let mut session = Session {
        client,
        out: Output::new(out, args.json),
    };
    match args.command {
        Command::Tenant(command) => session.tenant(command).await,
        Command::Domain(command) => session.domain(command).await,
        Command::User(command) => session.user(command).await,
        Command::Client(command) => session.client(command).await,
        Command::Token(command) => session.token(command).await,
        Command::Agent(command) => session.agent(command).await,
        Command::SignIn(SignInCommand::List {
            tenant,
            username,
            limit,
        }) => {
            let (tenant, username) = (tenant.unwrap_or_default(), username.unwrap_or_default());
            session.sign_ins(tenant, username, limit).await
        }
        Command::Status => session.status().await,
    }
}

/// A new file for its owner alone.
fn token_file(path: &Path) -> Result<File, AdminError> {
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    opened.map_err(|source| AdminError::File {
        file: path.to_owned(),
        source,
    })
}

struct Session<'a> {
    client: AdminClient<Channel>,
    out: Output<'a>,
}

type Done = Result<(), AdminError>;

impl Session<'_> {
    async fn domain(&mut self, command: DomainCommand) -> Done {
        match command {
            DomainCommand::Create {
                of: InTenant { tenant },
                name,
            } => {
                let request = wire::CreateDomainRequest { tenant, name };
                let made = self.client.create_domain(request).await?.into_inner();
                Ok(self.out.one(&made)?)
            }
            DomainCommand::List(InTenant { tenant }) => {
                let all = self
                    .client
                    .list_domains(wire::ListDomainsRequest { tenant })
                    .await?;
                Ok(self.out.all(&all.into_inner().domains)?)
            }
            DomainCommand::Delete {
                of: InTenant { tenant },
                name,
            } => {
                let request = wire::DeleteDomainRequest {
                    tenant,
                    name: name.clone(),
                };
                self.client.delete_domain(request).await?;
                Ok(self.out.deleted("domain", &name)?)
            }
        }
    }

    async fn user(&mut self, command: UserCommand) -> Done {
        match command {
            UserCommand::Create {
                of: InTenant { tenant },
                username,
                object_id,
                on_premises_name,
                domain,
                alternate_id,
            } => {
                let user = wire::NewUser {
                    username,
                    object_id,
                    on_premises_name: on_premises_name.unwrap_or_default(),
                    domain: domain.unwrap_or_default(),
                    alternate_id: alternate_id.unwrap_or_default(),
                };
                let request = wire::CreateUserRequest {
                    tenant,
                    user: Some(user),
                };
                let made = self.client.create_user(request).await?.into_inner();
                Ok(self.out.one(&made)?)
            }
            UserCommand::Import {
                of: InTenant { tenant },
                file,
            } => {
                let imported = Source::read(&file)?.send(&mut self.client, &tenant).await?;
                Ok(self.out.imported(imported)?)
            }
            UserCommand::List(InTenant { tenant }) => self.users(tenant).await,
            UserCommand::Delete {
                of: InTenant { tenant },
                username,
            } => {
                let request = wire::DeleteUserRequest {
                    tenant,
                    username: username.clone(),
                };
                self.client.delete_user(request).await?;
                Ok(self.out.deleted("user", &username)?)
            }
        }
    }

    /// All pages.
    async fn users(&mut self, tenant: String) -> Done {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let request = wire::ListUsersRequest {
                tenant: tenant.clone(),
                after: after.clone(),
                limit: PAGE,
            };
            let page = self.client.list_users(request).await?.into_inner().users;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.username);
            all.extend(page);
        }
        Ok(self.out.all(&all)?)
    }

    async fn client(&mut self, command: ClientCommand) -> Done {
        match command {
            ClientCommand::Create {
                of: InTenant { tenant },
                name,
            } => {
                let request = wire::CreateClientRequest { tenant, name };
                let made = self.client.create_client(request).await?.into_inner();
                Ok(self.out.one(&made)?)
            }
            ClientCommand::List(InTenant { tenant }) => {
                let all = self
                    .client
                    .list_clients(wire::ListClientsRequest { tenant })
                    .await?;
                Ok(self.out.all(&all.into_inner().clients)?)
            }
            ClientCommand::Delete {
                of: InTenant { tenant },
                id,
            } => {
                let request = wire::DeleteClientRequest {
                    tenant,
                    id: id.clone(),
                };
                self.client.delete_client(request).await?;
                Ok(self.out.deleted("client", &id)?)
            }
        }
    }

    async fn token(&mut self, command: TokenCommand) -> Done {
        match command {
            TokenCommand::Create {
                of: InTenant { tenant },
                domain,
                expires,
                out,
            } => {
                // Before the token is made: it could not be shown again.
                let file = match out {
                    None => None,
                    Some(path) => Some((token_file(&path)?, path)),
                };
                let request = wire::CreateTokenRequest {
                    tenant,
                    domains: domain,
                    lifetime_s: expires.as_secs(),
                };
                let made = self.client.create_token(request).await;
                if let (Err(_), Some((_, path))) = (&made, &file) {
                    // It would stand in the way of the next try.
                    let _ = std::fs::remove_file(path);
                }
                let made = made?.into_inner();
                match file {
                    None => Ok(self.out.one(&made)?),
                    Some((mut file, _)) => {
                        writeln!(file, "{}", made.text)?;
                        Ok(self.out.one(&made.token.unwrap_or_default())?)
                    }
                }
            }
            TokenCommand::List(InTenant { tenant }) => {
                let all = self
                    .client
                    .list_tokens(wire::ListTokensRequest { tenant })
                    .await?;
                Ok(self.out.all(&all.into_inner().tokens)?)
            }
            TokenCommand::Delete {
                of: InTenant { tenant },
                id,
            } => {
                let request = wire::DeleteTokenRequest {
                    tenant,
                    id: id.clone(),
                };
                self.client.delete_token(request).await?;
                Ok(self.out.deleted("token", &id)?)
            }
        }
    }

    async fn status(&mut self) -> Done {
        let status = self.client.get_status(wire::GetStatusRequest {}).await?;
        let status = status.into_inner();
        self.out.one(&status)?;
        Ok(self.out.below(&status.listeners)?)
    }

    async fn sign_ins(&mut self, tenant: String, username: String, limit: u32) -> Done {
        let request = wire::ListSignInsRequest {
            tenant,
            username,
            limit,
        };
        let all = self.client.list_sign_ins(request).await?;
        Ok(self.out.all(&all.into_inner().records)?)
    }
}
