//! One domain: accounts and the indexes that find them by each of their names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use postern_kit::clock::Timestamp;
use uuid::Uuid;

use super::account::Account;
use super::changes::{Changes, differing, differing_policy, place_guid};
use super::controllers::Controllers;
use super::membership::{Group, StoredSettings};
use super::names::{self, BindName, escape_rdn, normal_dn};
use super::neighbours::Neighbours;
use super::policy::Policy;
use super::tree::Tree;
use super::user::{AccountState, User};

/// The first RID that AD gives to accounts of its own making.
const RID_FIRST: u32 = 1103;

/// Why an account cannot be added or changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DomainError {
    /// Another account has this name.
    #[error("{attribute} {value:?} is already in use")]
    InUse {
        /// Which attribute.
        attribute: &'static str,
        /// Its value.
        value: String,
    },
    /// The container is not a path of `CN=` or `OU=` parts.
    #[error("container {0:?} is not a name such as OU=Staff")]
    Container(String),
    /// There is no such account.
    #[error("no account {0}")]
    Unknown(Uuid),
    /// There is no account or group of this name.
    #[error("no account or group {0:?}")]
    NoSuchName(String),
    /// The precedence of password settings starts at 1.
    #[error("precedence of password settings {0:?} is 0; expected 1 or more")]
    Precedence(String),
}

/// A domain and its accounts.
#[derive(Clone, Debug)]
pub struct Domain {
    dns_name: String,
    netbios_name: String,
    host: String,
    base_dn: String,
    sid: String,
    policy: Policy,
    /// Boxed, because a tree has room for half as many again as it holds.
    pub(super) accounts: BTreeMap<Uuid, Box<Account>>,
    pub(super) groups: BTreeMap<Uuid, Group>,
    pub(super) settings: Vec<StoredSettings>,
    pub(super) controllers: Controllers,
    /// Beside the domain's own name, in lower case.
    upn_suffixes: BTreeSet<String>,
    neighbours: Neighbours,
    /// Of accounts and groups.
    pub(super) by_sam: HashMap<String, Uuid>,
    by_upn: HashMap<String, Uuid>,
    /// Of accounts and groups, normalised.
    pub(super) by_dn: HashMap<String, Uuid>,
    pub(super) by_rid: HashMap<u32, Uuid>,
    /// Containers with the number of accounts in each.
    containers: BTreeMap<String, usize>,
    pub(super) rid_next: u32,
    pub(super) tree: Tree,
    pub(super) changes: Changes,
}

impl Domain {
    /// An empty domain.
    pub fn new(dns_name: &str, netbios_name: &str, host: &str, policy: Policy) -> Self {
        let base_dn = dns_name
            .split('.')
            .map(|label| format!("DC={label}"))
            .collect::<Vec<_>>()
            .join(",");
        let digest = postern_kit::digest::sha256(dns_name.as_bytes());
        let part =
            |at: usize| u32::from_be_bytes([digest[at], digest[at + 1], digest[at + 2], digest[at + 3]]);
        Self {
            neighbours: Neighbours::none(&dns_name.to_lowercase(), netbios_name, &base_dn),
            dns_name: dns_name.to_lowercase(),
            netbios_name: netbios_name.to_owned(),
            host: host.to_owned(),
            base_dn,
            sid: format!("S-1-5-21-{}-{}-{}", part(0), part(4), part(8)),
            policy,
            accounts: BTreeMap::new(),
            groups: BTreeMap::new(),
            settings: Vec::new(),
            controllers: Controllers::default(),
            upn_suffixes: BTreeSet::new(),
            by_sam: HashMap::new(),
            by_upn: HashMap::new(),
            by_dn: HashMap::new(),
            by_rid: HashMap::new(),
            containers: BTreeMap::new(),
            rid_next: RID_FIRST,
            tree: Tree::default(),
            changes: Changes::default(),
        }
    }

    /// `corp.example.test`.
    pub fn dns_name(&self) -> &str {
        &self.dns_name
    }

    /// `CORP`.
    pub fn netbios_name(&self) -> &str {
        &self.netbios_name
    }

    /// The host name of the first domain controller, the PDC emulator, without the domain.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `DC=corp,DC=example,DC=test`.
    pub fn base_dn(&self) -> &str {
        &self.base_dn
    }

    /// The domain's SID.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The suffixes for userPrincipalNames that were added beside the domain's own name.
    pub fn upn_suffixes(&self) -> impl Iterator<Item = &str> {
        self.upn_suffixes.iter().map(String::as_str)
    }

    /// Adds a suffix for userPrincipalNames. A bind does not need it: what an account has counts.
    pub fn add_upn_suffix(&mut self, suffix: &str) {
        self.upn_suffixes.insert(suffix.to_lowercase());
    }

    /// What lies around it.
    pub(crate) fn neighbours(&self) -> &Neighbours {
        &self.neighbours
    }

    pub(crate) fn set_neighbours(&mut self, neighbours: Neighbours) {
        self.neighbours = neighbours;
    }

    /// The base of the forest's root domain, below which its configuration lies.
    pub(crate) fn root_dn(&self) -> &str {
        self.neighbours.root().map_or(&self.base_dn, |root| &root.base_dn)
    }

    /// Replaces the domain's SID, unless other domains know it.
    pub(crate) fn set_sid(&mut self, sid: &str) {
        if self.neighbours.root().is_none() {
            sid.clone_into(&mut self.sid);
        }
    }

    /// Replaces the policy.
    pub fn set_policy(&mut self, policy: Policy) {
        let domain = place_guid(&self.base_dn);
        self.changes
            .changed(domain, differing_policy(&self.policy, &policy));
        self.policy = policy;
    }

    /// All accounts, by objectGUID.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values().map(Box::as_ref)
    }

    /// The containers that hold accounts, such as `CN=Users`.
    pub fn containers(&self) -> impl Iterator<Item = &str> {
        self.containers.keys().map(String::as_str)
    }

    /// One account.
    pub fn account(&self, guid: Uuid) -> Option<&Account> {
        self.accounts.get(&guid).map(Box::as_ref)
    }

    /// The distinguished name of an account.
    pub fn dn(&self, account: &Account) -> String {
        let place = self.full_name(&account.container);
        format!("CN={},{place}", escape_rdn(&account.cn))
    }

    /// The account that a bind name means.
    pub fn resolve(&self, name: &str) -> Option<&Account> {
        let guid = match names::read(name)? {
            BindName::Guid(guid) => guid,
            BindName::Sid { domain, rid } if domain.eq_ignore_ascii_case(&self.sid) => {
                *self.by_rid.get(&rid)?
            }
            BindName::Sid { .. } => return None,
            BindName::Dn(dn) => *self.by_dn.get(&dn)?,
            BindName::Nt { domain, sam } if domain == self.netbios_name.to_lowercase() => {
                *self.by_sam.get(&sam)?
            }
            BindName::Nt { .. } => return None,
            BindName::Upn(upn) => *self.by_upn.get(&upn).or_else(|| self.implicit_upn(&upn))?,
            BindName::Canonical { domain, parts } => *self.canonical(&domain, &parts)?,
        };
        self.account(guid)
    }

    /// The account with this sAMAccountName.
    pub fn by_sam(&self, sam: &str) -> Option<&Account> {
        self.account(*self.by_sam.get(&sam.to_lowercase())?)
    }

    /// The account with this userPrincipalName.
    pub fn by_upn(&self, upn: &str) -> Option<&Account> {
        self.account(*self.by_upn.get(&upn.to_lowercase())?)
    }

    /// The account with this distinguished name, normalised or not.
    pub fn by_dn(&self, dn: &str) -> Option<&Account> {
        self.account(*self.by_dn.get(&normal_dn(dn)?)?)
    }

    /// `sam@dns.domain` and `sam@NETBIOS` work whatever the userPrincipalName is.
    fn implicit_upn(&self, upn: &str) -> Option<&Uuid> {
        let (sam, suffix) = upn.rsplit_once('@')?;
        let own = suffix == self.dns_name || suffix == self.netbios_name.to_lowercase();
        if own { self.by_sam.get(sam) } else { None }
    }

    fn canonical(&self, domain: &str, parts: &[String]) -> Option<&Uuid> {
        if domain != self.dns_name {
            return None;
        }
        let (leaf, containers) = parts.split_last()?;
        // The path does not say whether a container is an OU or a CN.
        self.accounts
            .values()
            .find(|account| {
                account.cn.to_lowercase() == *leaf && container_names(&account.container) == containers
            })
            .map(|account| &account.guid)
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`DomainError`] if one of its names is in use or its container is not one.
    pub fn add(&mut self, user: User, now: Timestamp) -> Result<Uuid, DomainError> {
        let account = user.account(&self.dns_name, self.rid_next, &self.policy, now);
        let guid = account.guid;
        if self.accounts.contains_key(&guid) {
            return Err(in_use("objectGUID", &guid.to_string()));
        }
        self.insert(account)?;
        self.changes.created(guid);
        self.rid_next += 1;
        Ok(guid)
    }

    pub(super) fn take_rid(&mut self) -> u32 {
        let rid = self.rid_next;
        self.rid_next += 1;
        rid
    }

    /// Removes an account, also from its groups.
    ///
    /// # Errors
    /// [`DomainError::Unknown`].
    pub fn remove(&mut self, guid: Uuid) -> Result<Account, DomainError> {
        let account = self.take(guid)?;
        self.clear_local(guid);
        self.changes.forgotten(guid);
        self.leave_groups(guid);
        Ok(account)
    }

    fn take(&mut self, guid: Uuid) -> Result<Account, DomainError> {
        let account = self.accounts.remove(&guid).ok_or(DomainError::Unknown(guid))?;
        self.by_sam.remove(&account.sam.to_lowercase());
        if let Some(upn) = &account.upn {
            self.by_upn.remove(&upn.to_lowercase());
        }
        if let Some(dn) = normal_dn(&self.dn(&account)) {
            self.by_dn.remove(&dn);
        }
        self.by_rid.remove(&account.rid);
        self.leave(&account.container);
        Ok(*account)
    }

    fn leave_groups(&mut self, member: Uuid) {
        for (guid, group) in &mut self.groups {
            if group.members.remove(&member) {
                self.changes.changed(*guid, ["member"]);
            }
        }
    }

    fn leave(&mut self, container: &str) {
        if let Some(count) = self.containers.get_mut(container) {
            *count -= 1;
            if *count == 0 {
                self.containers.remove(container);
            }
        }
    }

    /// Changes an account; its objectGUID stays.
    ///
    /// # Errors
    /// [`DomainError`] as for [`Domain::add`]; then nothing has changed.
    pub fn update(&mut self, guid: Uuid, change: impl FnOnce(&mut Account)) -> Result<(), DomainError> {
        let before = self.take(guid)?;
        let mut after = before.clone();
        change(&mut after);
        after.guid = guid;
        after.rid = before.rid;
        let changed = differing(&before, &after);
        if let Err(error) = self.insert(after) {
            self.insert(before)?;
            return Err(error);
        }
        self.changes.changed(guid, changed.iter().map(String::as_str));
        Ok(())
    }

    /// Puts an account into a state.
    ///
    /// # Errors
    /// [`DomainError::Unknown`].
    pub fn set_state(&mut self, guid: Uuid, state: &AccountState, now: Timestamp) -> Result<(), DomainError> {
        let policy = self.policy_of(self.account(guid).ok_or(DomainError::Unknown(guid))?);
        if *state == AccountState::Normal {
            self.clear_local(guid);
        }
        self.update(guid, |account| state.put_on(account, &policy, now))
    }

    /// Ends a lockout, as an administrator's `lockoutTime: 0` does.
    ///
    /// # Errors
    /// [`DomainError::Unknown`].
    pub fn unlock(&mut self, guid: Uuid) -> Result<(), DomainError> {
        let account = self.accounts.get_mut(&guid).ok_or(DomainError::Unknown(guid))?;
        let was_locked = account.counters.lockout_time.is_some();
        account.unlock();
        self.clear_local(guid);
        self.changes.changed(guid, was_locked.then_some("lockoutTime"));
        Ok(())
    }

    /// Sets a password at the controller `host`, whatever the policy thinks of it.
    ///
    /// # Errors
    /// [`DomainError::Unknown`].
    pub fn set_password(
        &mut self,
        host: &str,
        guid: Uuid,
        new: &str,
        now: Timestamp,
    ) -> Result<(), DomainError> {
        let policy = self.policy_of(self.account(guid).ok_or(DomainError::Unknown(guid))?);
        self.keep_old(host, guid);
        if let Some(account) = self.accounts.get_mut(&guid) {
            account.set_password(new, &policy, now);
            self.changes.password_set(guid);
        }
        Ok(())
    }

    /// What a bind changes; no name is touched, so no index is.
    pub(crate) fn count(
        &mut self,
        host: &str,
        guid: Uuid,
        counters: Option<super::Counters>,
        local: Option<super::LocalCounters>,
    ) {
        if let (Some(account), Some(counters)) = (self.accounts.get_mut(&guid), counters) {
            self.changes.counted(account, &counters);
            account.counters = counters;
        }
        if let Some(local) = local {
            self.set_local(host, guid, local);
        }
    }

    pub(super) fn insert(&mut self, account: Account) -> Result<(), DomainError> {
        let (sam, dn) = self.free_names(&account.sam, &self.dn(&account), &account.container)?;
        let upn = account.upn.as_deref().map(str::to_lowercase);
        if let Some(upn) = &upn
            && self.by_upn.contains_key(upn)
        {
            return Err(in_use("userPrincipalName", upn));
        }
        let guid = account.guid;
        self.by_sam.insert(sam, guid);
        if let Some(upn) = upn {
            self.by_upn.insert(upn, guid);
        }
        self.by_dn.insert(dn, guid);
        self.by_rid.insert(account.rid, guid);
        *self.containers.entry(account.container.clone()).or_default() += 1;
        self.accounts.insert(guid, Box::new(account));
        Ok(())
    }

    pub(super) fn insert_group(&mut self, group: Group) -> Result<Uuid, DomainError> {
        let (sam, dn) = self.free_names(&group.sam, &self.group_dn(&group), &group.container)?;
        let guid = group.guid;
        self.by_sam.insert(sam, guid);
        self.by_dn.insert(dn, guid);
        *self.containers.entry(group.container.clone()).or_default() += 1;
        self.groups.insert(guid, group);
        Ok(guid)
    }

    /// Takes a group away, also from the groups and settings that name it.
    pub(super) fn remove_group(&mut self, guid: Uuid) -> Option<Group> {
        let group = self.take_group(guid)?;
        self.leave_groups(guid);
        self.changes.forgotten(guid);
        Some(group)
    }

    pub(super) fn take_group(&mut self, guid: Uuid) -> Option<Group> {
        let group = self.groups.remove(&guid)?;
        self.by_sam.remove(&group.sam.to_lowercase());
        if let Some(dn) = normal_dn(&self.group_dn(&group)) {
            self.by_dn.remove(&dn);
        }
        self.leave(&group.container);
        Some(group)
    }

    /// The forms in which a sAMAccountName and a distinguished name are looked up, if both are free.
    fn free_names(&self, sam: &str, dn: &str, container: &str) -> Result<(String, String), DomainError> {
        let dn = normal_dn(dn).ok_or_else(|| DomainError::Container(container.to_owned()))?;
        let lower = sam.to_lowercase();
        if self.by_sam.contains_key(&lower) {
            return Err(in_use("sAMAccountName", sam));
        }
        if self.by_dn.contains_key(&dn) {
            return Err(in_use("distinguished name", &dn));
        }
        Ok((lower, dn))
    }
}

fn in_use(attribute: &'static str, value: &str) -> DomainError {
    DomainError::InUse {
        attribute,
        value: value.to_owned(),
    }
}

/// `OU=Inner,OU=Outer` as `[outer, inner]`.
fn container_names(container: &str) -> Vec<String> {
    container
        .split(',')
        .rev()
        .filter_map(|part| part.split_once('='))
        .map(|(_, name)| name.trim().to_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain() -> (Domain, Uuid) {
        let mut domain = Domain::new("corp.example.test", "CORP", "dc1", Policy::default());
        let now = Timestamp::from_unix_ms(1_700_000_000_000);
        let alice = User::new("alice", "pw")
            .container("OU=Fixture")
            .display_name("Alice F");
        let alice = domain.add(alice, now).unwrap();
        domain
            .add(User::new("u.altupn", "pw").upn("alice@alt.example.test"), now)
            .unwrap();
        domain.add(User::new("u.noupn", "pw").without_upn(), now).unwrap();
        (domain, alice)
    }

    #[test]
    fn every_accepted_spelling_means_the_same_account() {
        let (domain, alice) = domain();
        let sid = format!("{}-{RID_FIRST}", domain.sid());
        for name in [
            "alice@corp.example.test",
            "ALICE@Corp.Example.TEST",
            "  alice@corp.example.test ",
            "alice@CORP",
            "CORP\\alice",
            "corp\\ALICE",
            "CN=alice,OU=Fixture,DC=corp,DC=example,DC=test",
            "cn = ALICE , ou=fixture, dc=corp,DC=example, dc=test",
            &format!("<GUID={alice}>"),
            &format!("<GUID={}>", hex::encode(alice.to_bytes_le())),
            &format!("<SID={sid}>"),
            &sid,
            "corp.example.test/Fixture/alice",
        ] {
            assert_eq!(domain.resolve(name).map(|a| a.guid), Some(alice), "{name}");
        }
        let sam = |name: &str| domain.resolve(name).map(|a| a.sam.as_str());
        assert_eq!(sam("alice@alt.example.test"), Some("u.altupn"));
        assert_eq!(sam("u.altupn@corp.example.test"), Some("u.altupn"));
        assert_eq!(sam("u.noupn@corp.example.test"), Some("u.noupn"));
    }

    #[test]
    fn every_other_spelling_means_nobody() {
        let (domain, alice) = domain();
        for name in [
            "",
            "alice",
            "Alice F",
            "corp.example.test\\alice",
            ".\\alice",
            "CORP/alice",
            "CORP\\\\alice",
            &format!("{{{alice}}}"),
            &alice.to_string(),
            "CORP\\alice@corp.example.test",
            "bob@alt.example.test",
            "alice@other.test",
            "S-1-5-21-1-2-3-1103",
            "CN=alice,OU=Other,DC=corp,DC=example,DC=test",
        ] {
            assert!(domain.resolve(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_renamed_account_keeps_its_guid_and_leaves_its_old_name_free() {
        let (mut domain, alice) = domain();
        domain
            .update(alice, |a| {
                a.sam = "anna".into();
                a.upn = Some("anna@corp.example.test".into());
                a.cn = "anna".into();
            })
            .unwrap();
        assert!(domain.resolve("alice@corp.example.test").is_none());
        assert_eq!(domain.resolve("CORP\\anna").map(|a| a.guid), Some(alice));
        let clash = domain.update(alice, |a| a.sam = "U.NOUPN".into());
        assert_eq!(clash, Err(in_use("sAMAccountName", "U.NOUPN")));
        assert_eq!(domain.resolve("CORP\\anna").map(|a| a.guid), Some(alice));
    }
}
