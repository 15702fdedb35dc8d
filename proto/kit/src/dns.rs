//! Where a service is, as the domain name system says, behind one seam: which hosts offer it (SRV records,
//! RFC 2782) and their addresses. Plain DNS over UDP, and over TCP for what is too long for that.
//!
//! Answers are not authenticated. Whoever connects to what they name must make sure who answers there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};

/// Longest wait for one answer. A name server of the same site answers in milliseconds; one that has to ask
/// others, in seconds.
pub const LOOKUP_WAIT_MAX: Duration = Duration::from_secs(5);

/// Longest wait for one name server, after which it is asked again or another one is: two tries fit.
const SERVER_WAIT_MAX: Duration = Duration::from_secs(2);

/// One host that offers a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// Its name, in lower case and without the final dot.
    pub host: String,
    /// Where it listens.
    pub port: u16,
    /// Hosts of a lower number are tried first.
    pub priority: u16,
    /// Its share among hosts of the same priority.
    pub weight: u16,
}

/// Who offers a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services {
    /// The hosts, in no order. None if there is no such name, or if it says that nobody does.
    pub found: Vec<Service>,
    /// For how long that holds, as the records say; zero without any.
    pub ttl: Duration,
}

/// Why nothing was learned.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The name cannot be asked for.
    #[error("{name}: expected a DNS name")]
    Name {
        /// What was given.
        name: String,
        /// What is wrong with it.
        source: ProtoError,
    },
    /// It is not known whom to ask.
    #[error("cannot tell which name servers to ask")]
    NoServers(#[source] NetError),
    /// No name server answered, or none knows.
    #[error("name servers do not answer for {name}")]
    NotAnswered {
        /// What was asked.
        name: String,
        /// How it failed.
        source: NetError,
    },
    /// No answer in time.
    #[error("no answer for {name} within {} s", LOOKUP_WAIT_MAX.as_secs())]
    TimedOut {
        /// What was asked.
        name: String,
    },
}

/// The domain name system.
#[async_trait]
pub trait Dns: fmt::Debug + Send + Sync {
    /// Who offers the service `name`, such as `_ldap._tcp.example.com`, as one of `servers` says, or one of the
    /// system's if there are none. Nobody offering it is an answer, not an error.
    ///
    /// # Errors
    /// [`LookupError`], within [`LOOKUP_WAIT_MAX`].
    ///
    /// # Cancellation
    /// Safe to drop.
    async fn services(&self, name: &str, servers: &[SocketAddr]) -> Result<Services, LookupError>;

    /// The addresses of `host`, IPv4 first, as one of `servers` says. The system's own servers are not asked here:
    /// connecting to a name does that.
    ///
    /// # Errors
    /// [`LookupError`], within [`LOOKUP_WAIT_MAX`].
    ///
    /// # Cancellation
    /// Safe to drop.
    async fn addresses(&self, host: &str, servers: &[SocketAddr]) -> Result<Vec<IpAddr>, LookupError>;
}

/// The system's resolver configuration and real name servers.
#[derive(Clone, Copy, Debug)]
pub struct SystemDns;

#[async_trait]
impl Dns for SystemDns {
    async fn services(&self, name: &str, servers: &[SocketAddr]) -> Result<Services, LookupError> {
        let answer = lookup(name, RecordType::SRV, servers).await?;
        let records = answer.iter().flat_map(Lookup::answers);
        let mut services = Services::default();
        let mut ttl = None;
        for record in records {
            if let RData::SRV(srv) = &record.data {
                let least = ttl.get_or_insert(record.ttl);
                *least = record.ttl.min(*least);
                // "." says that the service is decidedly not offered.
                if !srv.target.is_root() {
                    services.found.push(Service {
                        host: host_name(&srv.target),
                        port: srv.port,
                        priority: srv.priority,
                        weight: srv.weight,
                    });
                }
            }
        }
        services.ttl = Duration::from_secs(ttl.unwrap_or_default().into());
        Ok(services)
    }

    async fn addresses(&self, host: &str, servers: &[SocketAddr]) -> Result<Vec<IpAddr>, LookupError> {
        let (four, six) = tokio::join!(
            lookup(host, RecordType::A, servers),
            lookup(host, RecordType::AAAA, servers)
        );
        let found: Vec<IpAddr> = [&four, &six]
            .into_iter()
            .flatten()
            .flatten()
            .flat_map(Lookup::answers)
            .filter_map(|record| record.data.ip_addr())
            .collect();
        // One kind is enough; without any, why the first was not learned says more.
        if found.is_empty() {
            four?;
            six?;
        }
        Ok(found)
    }
}

/// Lower case, without the final dot.
fn host_name(name: &Name) -> String {
    name.to_lowercase().to_ascii().trim_end_matches('.').to_owned()
}

/// The records of one type, or none if there is no such name.
async fn lookup(name: &str, kind: RecordType, servers: &[SocketAddr]) -> Result<Option<Lookup>, LookupError> {
    let mut full = Name::from_ascii(name).map_err(|source| LookupError::Name {
        name: name.to_owned(),
        source,
    })?;
    // The system's search domains are not for this.
    full.set_fqdn(true);
    let resolver = resolver(servers).map_err(LookupError::NoServers)?;
    let name = || name.trim_end_matches('.').to_owned();
    match tokio::time::timeout(LOOKUP_WAIT_MAX, resolver.lookup(full, kind)).await {
        Err(_) => Err(LookupError::TimedOut { name: name() }),
        Ok(Ok(answer)) => Ok(Some(answer)),
        Ok(Err(error)) if error.is_no_records_found() => Ok(None),
        Ok(Err(source)) => Err(LookupError::NotAnswered { name: name(), source }),
    }
}

/// Made anew for each lookup, which are minutes apart: so a changed configuration of the system counts, and no
/// cache stretches what an answer says of its own life.
fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = servers.iter().map(|server| {
            let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            for connection in &mut connections {
                connection.port = server.port();
            }
            // Servers of one network may know different zones: one that has no such name is not the last word.
            NameServerConfig::new(server.ip(), false, connections.into())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        Resolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = SERVER_WAIT_MAX;
    options.attempts = 1;
    options.try_tcp_on_error = true;
    builder.build()
}

/// Names and addresses that a test or a simulation says.
#[derive(Debug, Default)]
pub struct ScriptedDns(Mutex<Script>);

#[derive(Debug, Default)]
struct Script {
    services: BTreeMap<String, Services>,
    addresses: BTreeMap<String, Vec<IpAddr>>,
    silent: bool,
    silent_about: BTreeSet<String>,
    asked: Vec<String>,
}

impl ScriptedDns {
    /// From now on `name` has these services, or none if `found` is empty.
    pub fn set(&self, name: &str, ttl: Duration, found: Vec<Service>) {
        let services = Services { found, ttl };
        self.script().services.insert(name.to_owned(), services);
    }

    /// From now on `host` has these addresses.
    pub fn set_addresses(&self, host: &str, addresses: Vec<IpAddr>) {
        self.script().addresses.insert(host.to_owned(), addresses);
    }

    /// Whether it answers nothing from now on.
    pub fn set_silent(&self, silent: bool) {
        self.script().silent = silent;
    }

    /// From now on it answers nothing for `name`.
    pub fn set_silent_about(&self, name: &str) {
        self.script().silent_about.insert(name.to_owned());
    }

    /// The names that were asked for since the last call, in order.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.script().asked)
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask<T>(&self, name: &str, answer: impl FnOnce(&Script) -> T) -> Result<T, LookupError> {
        let mut script = self.script();
        script.asked.push(name.to_owned());
        if script.silent || script.silent_about.contains(name) {
            return Err(LookupError::NotAnswered {
                name: name.to_owned(),
                source: NetError::from(io::Error::from(io::ErrorKind::ConnectionRefused)),
            });
        }
        Ok(answer(&script))
    }
}

#[async_trait]
impl Dns for ScriptedDns {
    async fn services(&self, name: &str, _: &[SocketAddr]) -> Result<Services, LookupError> {
        self.ask(name, |script| {
            script.services.get(name).cloned().unwrap_or_default()
        })
    }

    async fn addresses(&self, host: &str, _: &[SocketAddr]) -> Result<Vec<IpAddr>, LookupError> {
        self.ask(host, |script| {
            script.addresses.get(host).cloned().unwrap_or_default()
        })
    }
}
