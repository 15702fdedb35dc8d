//! An administrator's folder with the programs in it: a directory and a cloud that run, and what it
//! takes to add agents.

use std::fs;
use std::net::SocketAddr;

use postern_harness::client::Browser;
use postern_kit::tls::{Certificate, certificates_from_pem};
use serde_json::Value;

use crate::process::{Ended, Program, Site, lines, logged};
use crate::world::{DOMAIN, TENANT, eventually};

pub(crate) const ADA: &str = "ada@corp.example.com";
/// Her password.
pub(crate) const PASSWORD: &str = "Difference-Engine-1";

pub(crate) const DIRECTORY: &str = r#"
    domain = "corp.example.com"
    netbios = "CORP"
    listen.ldaps = "127.0.0.1:0"
    tls.root = "controller-root.pem"
    [[users]]
    name = "ada"
    upn = "ada@corp.example.com"
    password = "Difference-Engine-1"
"#;

/// An administrator with a directory and a cloud that run.
pub(crate) struct Office {
    pub(crate) site: Site,
    pub(crate) directory: Program,
    /// What the directory printed at its start.
    table: String,
    pub(crate) cloud: Program,
    pub(crate) public: SocketAddr,
    pub(crate) agents: SocketAddr,
    pub(crate) page_root: Certificate,
}

impl Office {
    async fn open() -> Self {
        let site = Site::new();
        site.write("directory.toml", DIRECTORY);
        let mut directory =
            site.start("directory serve --config directory.toml --write-users users.csv --log-json");
        let table = |output: &str, _: &str| output.contains("ada@").then(|| output.to_owned());
        let table = directory.says("its users", table).await.unwrap();

        let page_root = prepare_cloud(&site).await;
        let mut cloud = site.start("cloud serve --config cloud.toml --log-json");
        let runs = cloud.logs("cloud runs").await.unwrap();
        let address = |name: &str| runs[name].as_str().unwrap().parse().unwrap();
        let (public, agents) = (address("public"), address("agents"));
        Self {
            site,
            directory,
            table,
            cloud,
            public,
            agents,
            page_root,
        }
    }

    /// A tenant with the directory's domain.
    pub(crate) async fn with_tenant() -> Self {
        let office = Self::open().await;
        office.admin(&format!("tenant create {TENANT}")).await;
        office
            .admin(&format!("domain create {DOMAIN} --tenant {TENANT}"))
            .await;
        office
    }

    pub(crate) async fn admin(&self, words: &str) -> Vec<Value> {
        let words = format!("cloud admin --socket admin.sock --json {words}");
        lines(&self.site.must(&words).await).collect()
    }

    pub(crate) async fn token(&self) -> String {
        let made = self
            .admin(&format!("token create --domain {DOMAIN} --tenant {TENANT}"))
            .await;
        made[0]["token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn enrol(&self, state: &str) -> String {
        format!(
            "agent enrol --cloud localhost:{} --state {state}",
            self.agents.port()
        )
    }

    /// What stands beside a user's name in the table that the directory prints.
    pub(crate) fn object_of(&self, name: &str) -> String {
        let mut rows = self
            .table
            .lines()
            .map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
        let row = rows.find(|row| row.get(1) == Some(&name));
        row.unwrap_or_else(|| panic!("{name} in {}", self.table))[3].to_owned()
    }

    /// A configuration for the agent whose identity is in `state`.
    pub(crate) fn configure_agent(&self, file: &str, state: &str) {
        let ldaps = self
            .table
            .lines()
            .find_map(|line| line.strip_prefix("ldaps://127.0.0.1:"))
            .unwrap();
        let text = format!(
            "state = '{state}'\n\
             cloud = 'localhost:{}'\n\
             [[forest]]\n\
             name = 'corp'\n\
             domains = ['{DOMAIN}']\n\
             controllers = ['localhost:{ldaps}']\n\
             trust = 'controller-root.pem'\n",
            self.agents.port()
        );
        self.site.write(file, &text);
    }

    pub(crate) async fn run_agent(&self, config: &str) -> Program {
        let mut agent = self
            .site
            .start(&format!("agent run --config {config} --log-json"));
        agent.logs("connected").await.unwrap();
        agent
    }

    pub(crate) async fn connected(&self, agents: usize) {
        eventually("agents are connected", async || {
            let listed = self.admin(&format!("agent list --tenant {TENANT}")).await;
            let connected = listed.iter().filter(|agent| agent["connected"] == true);
            (connected.count() == agents).then_some(())
        })
        .await;
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.public, vec![self.page_root.clone()]).unwrap()
    }

    /// Asks everybody to end, agents first, and sees that they say so.
    pub(crate) async fn close(mut self, agents: Vec<Program>) -> Site {
        let is_clean = |ended: Ended, last: &str| {
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            assert_eq!(logged(&ended.stderr, last).len(), 1, "{}", ended.stderr);
        };
        for mut agent in agents {
            is_clean(agent.terminate().await.unwrap(), "agent stopped");
        }
        is_clean(self.cloud.terminate().await.unwrap(), "cloud stopped");
        is_clean(self.directory.terminate().await.unwrap(), "stopping");
        self.site
    }
}

/// What an administrator does between `init` and `serve`: addresses, and a certificate for the page.
async fn prepare_cloud(site: &Site) -> Certificate {
    let said = site.must("cloud init --config cloud.toml").await;
    assert!(said.contains("postern cloud serve --config cloud.toml"), "{said}");
    let page = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    site.write("public.crt", &page.cert.pem());
    site.write("public.key", &page.signing_key.serialize_pem());
    let example = fs::read_to_string(site.path("cloud.toml")).unwrap();
    let own = example
        .replace("0.0.0.0:443", "127.0.0.1:0")
        .replace("0.0.0.0:8443", "127.0.0.1:0");
    site.write("cloud.toml", &own);
    certificates_from_pem(page.cert.pem().as_bytes())
        .unwrap()
        .remove(0)
}
