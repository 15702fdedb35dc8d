//! The network between agent and directory, in the test's hands: names lead where the test says,
//! and a relay counts connections, cuts them, or lets them fall silent as a firewall does that
//! has forgotten them. So the same can be done to a real directory as to the simulated one.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use postern_kit::Seams;
use postern_kit::net::{BoxedIo, LdapLink, LdapProtection, Listener, Net, Sockets};
use postern_kit::tls::ClientTls;
use tokio::sync::watch;

/// Real sockets, but each host is where the test says.
#[derive(Debug)]
pub(crate) struct Names {
    hosts: BTreeMap<String, SocketAddr>,
    dials: Mutex<BTreeMap<String, u64>>,
}

impl Names {
    pub(crate) fn new(hosts: impl IntoIterator<Item = (String, SocketAddr)>) -> Self {
        Self {
            hosts: hosts.into_iter().collect(),
            dials: Mutex::default(),
        }
    }

    /// How often a host was dialled.
    pub(crate) fn dials(&self, host: &str) -> u64 {
        self.dials.lock().unwrap().get(host).copied().unwrap_or(0)
    }
}

#[async_trait]
impl Net for Names {
    async fn listen(&self, addr: SocketAddr) -> io::Result<Box<dyn Listener>> {
        Sockets.listen(addr).await
    }

    async fn connect(&self, _: &str, _: u16) -> io::Result<BoxedIo> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn connect_ldap(
        &self,
        host: &str,
        port: u16,
        protection: LdapProtection,
        tls: Arc<ClientTls>,
    ) -> io::Result<LdapLink> {
        *self.dials.lock().unwrap().entry(host.to_owned()).or_default() += 1;
        let addr = self.hosts.get(host).ok_or(io::ErrorKind::NotFound)?;
        let ip = addr.ip().to_string();
        let link = Sockets.connect_ldap(&ip, addr.port(), protection, tls).await?;
        let scheme = if link.start_tls { "ldap" } else { "ldaps" };
        Ok(LdapLink {
            url: format!("{scheme}://{host}:{port}"),
            ..link
        })
    }
}

/// How many connections go through a relay.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) open: u64,
    pub(crate) opened: u64,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Cut,
    Silence,
}

/// Carries bytes between the agent and a directory.
pub(crate) struct Relay {
    addr: SocketAddr,
    orders: watch::Sender<Order>,
    counts: Arc<watch::Sender<Counts>>,
}

impl Relay {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut listener = Sockets.listen(any).await.unwrap();
        let relay = Self {
            addr: listener.local_addr().unwrap(),
            // Nobody has subscribed yet, so that this reaches nobody.
            orders: watch::Sender::new(Order::Cut),
            counts: Arc::default(),
        };
        let (tasks, orders, counts) = (
            Seams::real().tasks,
            relay.orders.subscribe(),
            relay.counts.clone(),
        );
        tasks.clone().spawn("relay", async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut orders = orders.clone();
                // Orders that were given before do not concern it.
                orders.mark_unchanged();
                let open = Open::new(counts.clone());
                tasks.spawn("relayed connection", async move {
                    carry(client, target, orders).await;
                    drop(open);
                });
            }
        });
        relay
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until `reached` holds; tests put a time-out around it.
    pub(crate) async fn wait_until(&self, reached: impl Fn(&Counts) -> bool) {
        self.counts
            .subscribe()
            .wait_for(|counts| reached(counts))
            .await
            .unwrap();
    }

    /// Closes all connections that are open now.
    pub(crate) fn cut(&self) {
        self.orders.send_replace(Order::Cut);
    }

    /// Nothing more comes through on the connections that are open now.
    pub(crate) fn silence(&self) {
        self.orders.send_replace(Order::Silence);
    }
}

async fn carry(mut client: BoxedIo, target: SocketAddr, mut orders: watch::Receiver<Order>) {
    let Ok(mut server) = Sockets.connect(&target.ip().to_string(), target.port()).await else {
        return;
    };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
        _ = orders.changed() => {}
    }
    let order = *orders.borrow_and_update();
    match order {
        Order::Cut => {}
        Order::Silence => {
            let mut nowhere = tokio::io::sink();
            tokio::select! {
                // Ends when the client does.
                _ = tokio::io::copy(&mut client, &mut nowhere) => {}
                _ = orders.changed() => {}
            }
        }
    }
}

/// Counted until dropped.
struct Open(Arc<watch::Sender<Counts>>);

impl Open {
    fn new(counts: Arc<watch::Sender<Counts>>) -> Self {
        counts.send_modify(|counts| {
            counts.open += 1;
            counts.opened += 1;
        });
        Self(counts)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|counts| counts.open -= 1);
    }
}
