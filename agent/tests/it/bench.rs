//! One directory, simulated or real, with the agent's way to it: what every test starts from.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postern_agent::directory::Question;
use postern_agent::forests::{Forest, Forests};
use postern_agent::{
    BindName, Controllers, DirectoryKind, ForestConfig, HostPort, ServiceAccount, Timeouts, Trust,
};
use postern_directory_mock::{AccountState, Directory, Flavour, Server, ServerOptions, User};
use postern_kit::Seams;
use postern_kit::clock::monotonic;
use postern_kit::net::LdapProtection;
use postern_kit::random::Random;
use postern_kit::tls::Certificate;
use postern_proto::ids::ObjectId;
use postern_proto::names::OnPremisesName;
use postern_proto::password::Password;
use postern_proto::verdict::{Obstacle, Verdict, VerdictReport};

use crate::network::{Names, Relay};
use crate::real::{Kind, Real};

/// Longer than anything takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const DOMAIN: &str = "corp.example.test";
pub(crate) const PASSWORD: &str = "Fixture-Passw0rd-1";
pub(crate) const UTF8_PASSWORD: &str = "Pässwörd-密码-🔑-1";
/// Wrong passwords until an account is locked.
pub(crate) const THRESHOLD: u32 = 3;

/// Waits for `what`, with a bound.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE * 2, what).await.unwrap()
}

/// Which directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Simulated(Flavour),
    Samba,
    OpenLdap,
}

/// How users are named in a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Guid,
    Upn,
    Dn,
    Template,
    Search,
}

/// A directory and a way to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arm {
    pub(crate) directory: Which,
    pub(crate) protection: LdapProtection,
    pub(crate) form: Form,
}

/// A user as the cloud knows one.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) object: ObjectId,
    pub(crate) name: OnPremisesName,
}

/// A user in a state: verdict and sub-code for the right password, and for a wrong one.
pub(crate) type State = (&'static str, (Verdict, u32), (Verdict, u32));

/// A directory, a relay before it, and the agent's forest behind that.
pub(crate) struct Bench {
    pub(crate) arm: Arm,
    pub(crate) relay: Relay,
    forests: Forests,
    target: Target,
    /// Where the service account's password lies.
    secrets: tempfile::TempDir,
}

enum Target {
    Simulated(Box<Server>),
    Real(Box<Real>),
}

impl Bench {
    /// `None` if it is a real directory that is not there.
    pub(crate) async fn open(arm: Arm) -> Option<Self> {
        let target = match arm.directory {
            Which::Simulated(flavour) => {
                let options = ServerOptions {
                    flavour,
                    ..ServerOptions::default()
                };
                Target::Simulated(Box::new(server(options).await))
            }
            Which::Samba => Target::Real(Box::new(Real::samba().await?)),
            Which::OpenLdap => Target::Real(Box::new(Real::open_ldap().await?)),
        };
        let relay = Relay::to(target.addr(arm.protection)).await;
        let secrets = tempfile::tempdir().unwrap();
        std::fs::write(secrets.path().join(SECRET), format!("{PASSWORD}\n")).unwrap();
        let way = target.way(arm, &relay, secrets.path());
        Some(Self {
            arm,
            relay,
            forests: way.open(),
            target,
            secrets,
        })
    }

    /// The simulated directory.
    pub(crate) fn server(&self) -> Option<&Server> {
        match &self.target {
            Target::Simulated(server) => Some(server),
            Target::Real(_) => None,
        }
    }

    /// How the agent gets there, to be changed.
    pub(crate) fn way(&self) -> Way {
        self.target.way(self.arm, &self.relay, self.secrets.path())
    }

    /// Connections that one question takes.
    pub(crate) fn connections(&self) -> u64 {
        if self.arm.form == Form::Search { 2 } else { 1 }
    }

    /// Puts another password into the service account's file.
    pub(crate) fn write_secret(&self, password: &str) {
        std::fs::write(self.secrets.path().join(SECRET), password).unwrap();
    }

    pub(crate) fn is_active_directory(&self) -> bool {
        self.arm.directory != Which::OpenLdap
    }

    /// A fixture user, without failures.
    pub(crate) async fn person(&self, user: &str) -> Person {
        let object = match &self.target {
            Target::Simulated(server) => {
                let guid = server.directory().guid_of(user).unwrap();
                server.directory().unlock(guid).unwrap();
                ObjectId::from_bytes(guid.into_bytes())
            }
            Target::Real(real) => {
                real.forgive(user).await;
                real.object(user).await
            }
        };
        Person {
            object,
            name: self.name(user),
        }
    }

    /// What the directory calls a user, existing or not.
    pub(crate) fn name(&self, user: &str) -> OnPremisesName {
        let name = match (self.arm.form, &self.target) {
            (Form::Guid | Form::Upn | Form::Template | Form::Search, _) => format!("{user}@{DOMAIN}"),
            (Form::Dn, Target::Simulated(_)) => format!("CN={user},OU=Fixture,{BASE}"),
            (Form::Dn, Target::Real(real)) => real.dn(user),
        };
        name.parse().unwrap()
    }

    /// How many failures of a user the directory has counted since [`Bench::person`].
    pub(crate) async fn failures(&self, user: &str) -> u64 {
        match &self.target {
            Target::Simulated(server) => {
                let guid = server.directory().guid_of(user).unwrap();
                let account = server.directory().account(guid).unwrap();
                account.counters.bad_pwd_count.into()
            }
            Target::Real(real) => real.failures(user).await,
        }
    }

    /// Every state of rule 7 that an account of this directory can be in by itself.
    pub(crate) fn states(&self) -> Vec<State> {
        use {Obstacle as O, Verdict as V};
        if !self.is_active_directory() {
            return vec![
                ("alice", (V::Accepted, 0), (V::Wrong, 0)),
                ("mustchange", (V::RightBut(O::MustChange), 0), (V::Wrong, 0)),
                ("pwexpired", (V::RightBut(O::PasswordExpired), 0), (V::Wrong, 0)),
                ("pwgrace", (V::RightBut(O::PasswordExpired), 0), (V::Wrong, 0)),
            ];
        }
        let wrong = (V::Wrong, 0x52e);
        vec![
            ("alice", (V::Accepted, 0), wrong),
            ("u.willexpire", (V::Accepted, 0), wrong),
            ("u.oldneverexpires", (V::Accepted, 0), wrong),
            ("u.pwexpired", (V::RightBut(O::PasswordExpired), 0x532), wrong),
            ("u.mustchange", (V::RightBut(O::MustChange), 0x773), wrong),
            ("u.disabled", (V::RightBut(O::Disabled), 0x533), wrong),
            ("u.disabledexpired", (V::RightBut(O::Disabled), 0x533), wrong),
            ("u.acctexpired", (V::RightBut(O::AccountExpired), 0x701), wrong),
            ("u.logonhours", (V::RightBut(O::LogonHours), 0x530), wrong),
            ("u.workstations", (V::RightBut(O::Workstation), 0x531), wrong),
            ("u.protected", (V::Restricted, 0x52f), (V::Restricted, 0x52f)),
        ]
    }

    pub(crate) fn forest(&self) -> &Forest {
        &self.forests.all()[0]
    }

    pub(crate) async fn ask(&self, who: &Person, password: &str) -> VerdictReport {
        ask(self.forest(), who, password, PATIENCE).await
    }
}

/// Asks a forest and waits for the report.
pub(crate) async fn ask(forest: &Forest, who: &Person, password: &str, within: Duration) -> VerdictReport {
    let now = monotonic();
    soon(forest.check(question(who, password), now, now + within)).await
}

pub(crate) fn question(who: &Person, password: &str) -> Question {
    Question {
        object: who.object,
        name: who.name.clone(),
        password: Password::new(password.to_owned()).unwrap(),
    }
}

pub(crate) const BASE: &str = "DC=corp,DC=example,DC=test";

/// File of the service account's password.
const SECRET: &str = "service-account";

/// The name that leads to the relay.
const CONTROLLER: &str = "dc1.corp.example.test";

impl Target {
    fn addr(&self, protection: LdapProtection) -> SocketAddr {
        match (self, protection) {
            (Self::Simulated(server), LdapProtection::Ldaps) => server.ldaps_addr().unwrap(),
            (Self::Simulated(server), LdapProtection::StartTls) => server.ldap_addr().unwrap(),
            (Self::Real(real), LdapProtection::Ldaps) => real.ldaps,
            (Self::Real(real), LdapProtection::StartTls) => real.ldap,
        }
    }

    fn way(&self, arm: Arm, relay: &Relay, secrets: &Path) -> Way {
        let (host, roots, base, kind) = match self {
            Self::Simulated(server) => (
                CONTROLLER.to_owned(),
                vec![server.ca_der().unwrap().clone()],
                BASE.to_owned(),
                DirectoryKind::ActiveDirectory,
            ),
            Self::Real(real) => (
                real.host.clone(),
                real.roots.clone(),
                real.base.clone(),
                match real.kind {
                    Kind::Samba => DirectoryKind::ActiveDirectory,
                    Kind::OpenLdap => DirectoryKind::Ldap,
                },
            ),
        };
        let (reader, template, filter) = match kind {
            DirectoryKind::ActiveDirectory => (
                format!("CN=svc.reader,OU=Fixture,{base}"),
                format!("CN={{local}},OU=Fixture,{base}"),
                "(sAMAccountName={local})",
            ),
            DirectoryKind::Ldap => (
                format!("uid=svc,ou=fixture,{base}"),
                format!("uid={{local}},ou=fixture,{base}"),
                "(uid={local})",
            ),
        };
        Way {
            controllers: vec![(host, relay.addr())],
            protection: arm.protection,
            bind_name: match arm.form {
                Form::Guid => BindName::Guid,
                Form::Upn => BindName::Upn { base },
                Form::Dn => BindName::Dn,
                Form::Template => BindName::Template(template.parse().unwrap()),
                Form::Search => BindName::Search {
                    base,
                    filter: filter.parse().unwrap(),
                },
            },
            service_account: (arm.form == Form::Search).then(|| ServiceAccount {
                name: reader.parse().unwrap(),
                password_file: secrets.join(SECRET),
            }),
            kind,
            roots,
            ..Way::default()
        }
    }
}

/// How the agent gets to the controllers of a forest. By default as it is configured by default,
/// but with more patience.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// Host names with where they are.
    pub(crate) controllers: Vec<(String, SocketAddr)>,
    pub(crate) protection: LdapProtection,
    pub(crate) bind_name: BindName,
    pub(crate) service_account: Option<ServiceAccount>,
    pub(crate) kind: DirectoryKind,
    pub(crate) roots: Vec<Certificate>,
    pub(crate) connect: Duration,
    pub(crate) random: Arc<dyn Random>,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            controllers: Vec::new(),
            protection: LdapProtection::Ldaps,
            bind_name: BindName::Guid,
            service_account: None,
            kind: DirectoryKind::ActiveDirectory,
            roots: Vec::new(),
            connect: PATIENCE,
            random: Seams::real().random,
        }
    }
}

impl Way {
    pub(crate) fn open(self) -> Forests {
        self.open_counted().0
    }

    /// The forest, and how often its controllers are dialled.
    pub(crate) fn open_counted(self) -> (Forests, Arc<Names>) {
        let names = Arc::new(Names::new(self.controllers.iter().cloned()));
        let controllers = self.controllers.iter().map(|(host, addr)| HostPort {
            host: host.clone(),
            port: addr.port(),
        });
        let config = ForestConfig {
            name: "corp".to_owned(),
            domains: vec![DOMAIN.parse().unwrap()],
            suffixes: Vec::new(),
            controllers: Controllers::Listed(controllers.collect()),
            protection: self.protection,
            bind_name: self.bind_name,
            service_account: self.service_account,
            kind: self.kind,
            trust: Trust::Certificates(self.roots),
        };
        let timeouts = Timeouts {
            connect: self.connect,
            probe: PATIENCE,
            ..Timeouts::default()
        };
        let seams = Seams {
            net: names.clone(),
            random: self.random,
            ..Seams::real()
        };
        (Forests::open(&[config], timeouts, &seams).unwrap(), names)
    }
}

/// A simulated directory with the fixture users.
pub(crate) async fn server(options: ServerOptions) -> Server {
    let seams = Seams::real();
    Server::start(directory(), options, &seams).await.unwrap()
}

/// The users that the scripts of the real directories make as well.
pub(crate) fn directory() -> Directory {
    use AccountState::{
        AccountExpired, AccountExpiresIn, Disabled, MustChange, NoLogonHours, PasswordExpired,
        PasswordNeverExpires, Protected, Workstations,
    };
    let user = |sam: &str, states: &[AccountState]| {
        let user = User::new(sam, PASSWORD).container("OU=Fixture");
        states.iter().cloned().fold(user, User::state)
    };
    let half_an_hour = Duration::from_secs(1800);
    let hours = Duration::from_secs(1_000_000);
    Directory::builder(DOMAIN, "CORP")
        .lockout(THRESHOLD, half_an_hour, half_an_hour)
        .upn_suffix("alt.example.test")
        .users([
            user("alice", &[]),
            user("bob", &[]),
            user("carol", &[]),
            user("u.disabled", &[Disabled]),
            user("u.acctexpired", &[AccountExpired]),
            user("u.willexpire", &[AccountExpiresIn(hours)]),
            user("u.pwexpired", &[PasswordExpired]),
            user("u.oldneverexpires", &[PasswordExpired, PasswordNeverExpires]),
            user("u.mustchange", &[MustChange]),
            user("u.logonhours", &[NoLogonHours]),
            user("u.workstations", &[Workstations(vec!["WS1".to_owned()])]),
            user("u.protected", &[Protected]),
            user("u.disabledexpired", &[Disabled, AccountExpired]),
            User::new("u.utf8", UTF8_PASSWORD).container("OU=Fixture"),
            user("svc.reader", &[PasswordNeverExpires]),
        ])
        .build()
}
