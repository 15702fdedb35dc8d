//! What several parts of a networked system need alike, whatever that system is for:
//! the seams to the outside world (clock, randomness, network, names, disk, tasks), TLS configurations,
//! secrets, configuration files and logs. No product word appears in this crate.

pub mod backoff;
pub mod clock;
pub mod config;
pub mod dial;
pub mod digest;
pub mod disk;
pub mod dns;
pub mod keys;
pub mod net;
pub mod process;
pub mod random;
pub mod secret;
pub mod serve;
pub mod tasks;
pub mod telemetry;
pub mod tls;
pub mod traffic;
pub mod vault;

use std::sync::Arc;

/// Everything through which a part touches the world outside its own memory.
///
/// Production takes [`Seams::real`]; tests and the simulation replace single members.
#[derive(Clone, Debug)]
pub struct Seams {
    /// Wall-clock time. Waiting is measured with [`clock::monotonic`] instead.
    pub clock: Arc<dyn clock::Clock>,
    /// Random bytes for keys, nonces, ids and jitter.
    pub random: Arc<dyn random::Random>,
    /// Listening and connecting.
    pub net: Arc<dyn net::Net>,
    /// Who offers a service.
    pub dns: Arc<dyn dns::Dns>,
    /// Small private files.
    pub disk: Arc<dyn disk::Disk>,
    /// Where background tasks are started.
    pub tasks: tasks::Tasks,
}

impl Seams {
    /// The operating system's clock, randomness, sockets, name servers and files.
    pub fn real() -> Self {
        Self {
            clock: Arc::new(clock::SystemClock),
            random: Arc::new(random::SystemRandom),
            net: Arc::new(net::Sockets),
            dns: Arc::new(dns::SystemDns),
            disk: Arc::new(disk::Files),
            tasks: tasks::Tasks::new(),
        }
    }
}
