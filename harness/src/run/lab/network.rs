//! The lab's network: a link for each two hosts of which one calls the other, and what is wrong with it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use postern_kit::Seams;

use crate::lab::{Link, LinkState, Way};

/// All links, by who calls and who is called.
#[derive(Debug, Default)]
pub(super) struct Network(BTreeMap<(String, String), Troubled>);

/// A link and its troubles.
#[derive(Debug)]
struct Troubled {
    link: Link,
    there: Troubles,
    back: Troubles,
}

/// How many troubles one way of a link has: it works again when the last of them is over.
#[derive(Clone, Copy, Debug, Default)]
struct Troubles {
    swallows: u32,
    forgets: u32,
}

/// A trouble of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// What is sent arrives after the end.
    Swallows,
    /// What is sent is lost, and its connection with it.
    Forgets,
}

/// Whether a trouble begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is there from now on.
    Begins,
    /// It is over.
    Ends,
}

impl Troubles {
    fn turn(&mut self, trouble: Trouble, turn: Turn) {
        let count = match trouble {
            Trouble::Swallows => &mut self.swallows,
            Trouble::Forgets => &mut self.forgets,
        };
        *count = match turn {
            Turn::Begins => *count + 1,
            Turn::Ends => count.saturating_sub(1),
        };
    }

    fn state(self) -> LinkState {
        match (self.forgets, self.swallows) {
            (0, 0) => LinkState::Passes,
            (0, _) => LinkState::Swallows,
            _ => LinkState::Forgets,
        }
    }
}

impl Troubled {
    fn turn(&mut self, ways: &[Way], trouble: Trouble, turn: Turn) {
        for way in ways {
            let troubles = match way {
                Way::There => &mut self.there,
                Way::Back => &mut self.back,
            };
            troubles.turn(trouble, turn);
            self.link.set_way(*way, troubles.state());
        }
    }
}

const BOTH: [Way; 2] = [Way::There, Way::Back];

impl Network {
    /// Makes a link; where its caller finds the other from now on.
    ///
    /// # Errors
    /// No port can be opened.
    pub(super) async fn link(
        &mut self,
        caller: &str,
        called: &str,
        target: SocketAddr,
        seams: &Seams,
    ) -> io::Result<SocketAddr> {
        let link = Link::start(target, seams).await?;
        let addr = link.addr();
        let troubled = Troubled {
            link,
            there: Troubles::default(),
            back: Troubles::default(),
        };
        self.0.insert((caller.to_owned(), called.to_owned()), troubled);
        Ok(addr)
    }

    /// Where a caller finds a host, if it calls it.
    pub(super) fn addr(&self, caller: &str, called: &str) -> Option<SocketAddr> {
        let found = self.0.get(&(caller.to_owned(), called.to_owned()));
        found.map(|troubled| troubled.link.addr())
    }

    /// The ends of all links, who calls first.
    pub(super) fn ends(&self) -> impl Iterator<Item = [String; 2]> {
        let ends = self.0.keys();
        ends.map(|(caller, called)| [caller.clone(), called.clone()])
    }

    /// By the port at which it is called: which host is called there.
    pub(super) fn by_port(&self) -> impl Iterator<Item = (u16, &str)> {
        let links = self.0.iter();
        links.map(|((_, called), troubled)| (troubled.link.addr().port(), called.as_str()))
    }

    /// How long messages take on each link, by its ends.
    pub(super) fn delay_each(&self, latency: impl Fn(&[String; 2]) -> Duration) {
        for ((caller, called), troubled) in &self.0 {
            troubled
                .link
                .set_delay(latency(&[caller.clone(), called.clone()]));
        }
    }

    /// How long messages between two hosts take.
    pub(super) fn delay(&self, a: &str, b: &str, latency: Duration) {
        for ((caller, called), troubled) in &self.0 {
            if [a, b] == [caller, called] || [b, a] == [caller, called] {
                troubled.link.set_delay(latency);
            }
        }
    }

    /// Everything between two hosts, or only what the first sends.
    pub(super) fn between(&mut self, [a, b]: [&str; 2], one_way: bool, trouble: Trouble, turn: Turn) {
        for ((caller, called), troubled) in &mut self.0 {
            let ways: &[Way] = match (one_way, [a, b] == [caller, called], [b, a] == [caller, called]) {
                (true, true, _) => &[Way::There],
                (true, _, true) => &[Way::Back],
                (false, true, _) | (false, _, true) => &BOTH,
                _ => continue,
            };
            troubled.turn(ways, trouble, turn);
        }
    }

    /// Everything between a host and all others.
    pub(super) fn around(&mut self, host: &str, trouble: Trouble, turn: Turn) {
        for ((caller, called), troubled) in &mut self.0 {
            if caller == host || called == host {
                troubled.turn(&BOTH, trouble, turn);
            }
        }
    }

    /// Everything passes, at once.
    pub(super) fn heal(&self) {
        for troubled in self.0.values() {
            troubled.link.set(LinkState::Passes);
            troubled.link.set_delay(Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_works_again_when_its_last_trouble_is_over() {
        let mut troubles = Troubles::default();
        let mut seen = Vec::new();
        for (trouble, turn) in [
            (Trouble::Swallows, Turn::Begins),
            (Trouble::Forgets, Turn::Begins),
            (Trouble::Swallows, Turn::Begins),
            (Trouble::Forgets, Turn::Ends),
            (Trouble::Swallows, Turn::Ends),
            (Trouble::Swallows, Turn::Ends),
            (Trouble::Swallows, Turn::Ends),
        ] {
            troubles.turn(trouble, turn);
            seen.push(troubles.state());
        }
        use LinkState::{Forgets, Passes, Swallows};
        assert_eq!(
            seen,
            [Swallows, Forgets, Forgets, Swallows, Swallows, Passes, Passes]
        );
    }
}
