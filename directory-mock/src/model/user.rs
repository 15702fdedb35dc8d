//! How a test describes a directory: the domain, its policy and its users. Times are given
//! relative to the moment at which the directory is opened.

use std::collections::BTreeMap;
use std::time::Duration;

use postern_kit::clock::Timestamp;
use uuid::Uuid;

use super::account::{Account, Counters, Password};
use super::domain::{Domain, DomainError};
use super::policy::{PasswordSettings, Policy};

/// A state that an account can be in. Several may hold at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountState {
    /// None of the others; clears them.
    Normal,
    /// 533.
    Disabled,
    /// 701: accountExpires was yesterday.
    AccountExpired,
    /// The account expires this long after the state is set.
    AccountExpiresIn(Duration),
    /// 532: the password is a day older than the policy allows.
    PasswordExpired,
    /// DONT_EXPIRE_PASSWORD: neither expired nor to be changed.
    PasswordNeverExpires,
    /// 773: pwdLastSet is 0.
    MustChange,
    /// 775: locked now, as by too many wrong passwords.
    Locked,
    /// 530: no hour is allowed.
    NoLogonHours,
    /// logonHours: 21 bytes, UTC, bit 0 of byte 0 is Sunday 00-01 h.
    LogonHours([u8; 21]),
    /// 531 unless the list has the domain controller's NetBIOS name.
    Workstations(Vec<String>),
    /// 52f: member of Protected Users.
    Protected,
    /// A policy of its own with lockoutThreshold 0: failures are not counted.
    NeverLocks,
}

impl AccountState {
    pub(crate) fn put_on(&self, account: &mut Account, policy: &Policy, now: Timestamp) {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        match self {
            Self::Normal => clear(account, now),
            Self::Disabled => account.disabled = true,
            Self::AccountExpired => account.account_expires = Some(now.minus(DAY)),
            Self::AccountExpiresIn(time) => account.account_expires = Some(now.plus(*time)),
            Self::PasswordExpired => {
                account.password_set = now.minus(policy.password_age_max).minus(DAY);
            }
            Self::PasswordNeverExpires => account.password_never_expires = true,
            Self::MustChange => account.must_change = true,
            Self::Locked => {
                account.counters.bad_pwd_count = policy.lockout_threshold;
                account.counters.bad_password_time = Some(now);
                account.counters.lockout_time = Some(now);
            }
            Self::NoLogonHours => account.logon_hours = Some([0; 21]),
            Self::LogonHours(hours) => account.logon_hours = Some(*hours),
            Self::Workstations(list) => account.workstations = list.clone(),
            Self::Protected => account.protected = true,
            Self::NeverLocks => account.never_locks = true,
        }
    }
}

fn clear(account: &mut Account, now: Timestamp) {
    account.unlock();
    account.password_set = now;
    account.disabled = false;
    account.account_expires = None;
    account.password_never_expires = false;
    account.must_change = false;
    account.logon_hours = None;
    account.workstations = Vec::new();
    account.protected = false;
    account.never_locks = false;
}

/// A user as a test describes one. Without more it has the name `sam@domain`, lies in `CN=Users`
/// and may sign in.
#[derive(Clone, Debug)]
pub struct User {
    sam: String,
    password: Password,
    upn: Option<Option<String>>,
    cn: Option<String>,
    container: String,
    display_name: Option<String>,
    guid: Option<Uuid>,
    states: Vec<AccountState>,
    previous: Vec<Password>,
    administrator: bool,
    extra: BTreeMap<String, Vec<Vec<u8>>>,
}

impl User {
    /// A user with this sAMAccountName. An empty password never binds.
    pub fn new(sam: &str, password: &str) -> Self {
        Self {
            sam: sam.to_owned(),
            password: Password::new(password),
            upn: None,
            cn: None,
            container: "CN=Users".to_owned(),
            display_name: None,
            guid: None,
            states: Vec::new(),
            previous: Vec::new(),
            administrator: false,
            extra: BTreeMap::new(),
        }
    }

    /// userPrincipalName, on any suffix.
    #[must_use]
    pub fn upn(mut self, upn: &str) -> Self {
        self.upn = Some(Some(upn.to_owned()));
        self
    }

    /// No userPrincipalName at all.
    #[must_use]
    pub fn without_upn(mut self) -> Self {
        self.upn = Some(None);
        self
    }

    /// The name in the distinguished name, if it is not the sAMAccountName.
    #[must_use]
    pub fn cn(mut self, cn: &str) -> Self {
        self.cn = Some(cn.to_owned());
        self
    }

    /// Where it lies below the domain, for example `OU=Staff`.
    #[must_use]
    pub fn container(mut self, container: &str) -> Self {
        container.clone_into(&mut self.container);
        self
    }

    /// displayName.
    #[must_use]
    pub fn display_name(mut self, name: &str) -> Self {
        self.display_name = Some(name.to_owned());
        self
    }

    /// objectGUID; otherwise it follows from domain, name and order.
    #[must_use]
    pub fn guid(mut self, guid: Uuid) -> Self {
        self.guid = Some(guid);
        self
    }

    /// Adds a state.
    #[must_use]
    pub fn state(mut self, state: AccountState) -> Self {
        self.states.push(state);
        self
    }

    /// The password that was in force until the directory was opened. Called again: the one before.
    #[must_use]
    pub fn previous_password(mut self, password: &str) -> Self {
        self.previous.push(Password::new(password));
        self
    }

    /// Member of Domain Admins: may write whatever can be written.
    #[must_use]
    pub fn administrator(mut self) -> Self {
        self.administrator = true;
        self
    }

    /// Another attribute; called again with the same name it has more values.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        let values = self.extra.entry(name.to_owned()).or_default();
        values.push(value.as_bytes().to_vec());
        self
    }

    /// The account at `now`, the `rid`-th of a domain.
    pub(crate) fn account(self, domain: &str, rid: u32, policy: &Policy, now: Timestamp) -> Account {
        let guid = self.guid.unwrap_or_else(|| made_guid(domain, &self.sam, rid));
        let mut previous = self.previous;
        previous.truncate(policy.previous_kept());
        let mut account = Account {
            guid,
            rid,
            upn: self
                .upn
                .unwrap_or_else(|| Some([self.sam.as_str(), "@", domain].concat())),
            cn: self.cn.unwrap_or_else(|| self.sam.clone()),
            sam: self.sam,
            container: self.container,
            display_name: self.display_name,
            extra: self.extra,
            control_rest: 0,
            password: self.password,
            previous,
            created: now,
            password_set: now,
            must_change: false,
            password_never_expires: false,
            disabled: false,
            account_expires: None,
            logon_hours: None,
            workstations: Vec::new(),
            protected: false,
            administrator: self.administrator,
            never_locks: false,
            counters: Counters::default(),
        };
        for state in &self.states {
            state.put_on(&mut account, policy, now);
        }
        account
    }
}

/// An objectGUID that follows from domain, name and RID, so that a description always makes the same one.
pub(super) fn made_guid(domain: &str, sam: &str, rid: u32) -> Uuid {
    let text = format!("{domain}/{}/{rid}", sam.to_lowercase());
    let digest = postern_kit::digest::sha256(text.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Users in the order of their description. A population is shared, not described user by user: it may be large.
#[derive(Clone, Debug)]
enum People {
    One(Box<User>),
    Population(crate::Population),
}

/// The description of a domain, opened by [`Server::start`](crate::Server::start) or
/// [`DirectoryHandle::open`](crate::DirectoryHandle::open).
#[derive(Clone, Debug)]
pub struct Directory {
    pub(crate) dns_name: String,
    pub(crate) netbios_name: String,
    pub(crate) host: String,
    pub(crate) policy: Policy,
    people: Vec<People>,
    /// Names, containers and members.
    groups: Vec<(String, String, Vec<String>)>,
    settings: Vec<PasswordSettings>,
    pub(crate) upn_suffixes: Vec<String>,
}

impl Directory {
    /// A domain with its DNS and NetBIOS names, such as `corp.example.test` and `CORP`.
    pub fn builder(dns_name: &str, netbios_name: &str) -> DirectoryBuilder {
        DirectoryBuilder(Self {
            dns_name: dns_name.to_lowercase(),
            netbios_name: netbios_name.to_owned(),
            host: "dc1".to_owned(),
            policy: Policy::default(),
            people: Vec::new(),
            groups: Vec::new(),
            settings: Vec::new(),
            upn_suffixes: Vec::new(),
        })
    }

    /// The domain without accounts.
    pub(super) fn empty(&self) -> Domain {
        Domain::new(&self.dns_name, &self.netbios_name, &self.host, self.policy)
    }

    /// The domain with its accounts, as they are at `now`.
    ///
    /// # Errors
    /// [`DomainError`] if two users or groups have a name in common, or a member is missing.
    pub fn domain(&self, now: Timestamp) -> Result<Domain, DomainError> {
        let mut domain = self.empty();
        for people in &self.people {
            match people {
                People::One(user) => {
                    domain.add(user.as_ref().clone(), now)?;
                }
                People::Population(population) => {
                    for person in population.people() {
                        domain.add(person.user(&self.dns_name), now)?;
                    }
                }
            }
        }
        for (group, container, _) in &self.groups {
            domain.add_group(group, container, now)?;
        }
        for (group, _, members) in &self.groups {
            for member in members {
                domain.add_member(group, member)?;
            }
        }
        for settings in &self.settings {
            domain.add_settings(settings)?;
        }
        for suffix in &self.upn_suffixes {
            domain.add_upn_suffix(suffix);
        }
        domain.forget_changes();
        Ok(domain)
    }
}

/// Describes a [`Directory`].
#[derive(Clone, Debug)]
pub struct DirectoryBuilder(Directory);

impl DirectoryBuilder {
    /// The whole policy.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.0.policy = policy;
        self
    }

    /// The lockout part of the policy.
    #[must_use]
    pub fn lockout(mut self, threshold: u32, window: Duration, duration: Duration) -> Self {
        self.0.policy.lockout_threshold = threshold;
        self.0.policy.lockout_window = window;
        self.0.policy.lockout_duration = duration;
        self
    }

    /// maxPwdAge; zero never expires.
    #[must_use]
    pub fn password_age_max(mut self, age: Duration) -> Self {
        self.0.policy.password_age_max = age;
        self
    }

    /// How long the previous password still binds; zero turns it off.
    #[must_use]
    pub fn old_password_allowed(mut self, time: Duration) -> Self {
        self.0.policy.old_password_allowed = time;
        self
    }

    /// The host name of the (first) domain controller, `dc1` by default.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.0.host);
        self
    }

    /// Adds a group with its members, users and other groups, by sAMAccountName.
    #[must_use]
    pub fn group(mut self, sam: &str, container: &str, members: &[&str]) -> Self {
        let members = members.iter().map(|&member| member.to_owned()).collect();
        self.0
            .groups
            .push((sam.to_owned(), container.to_owned(), members));
        self
    }

    /// Adds fine-grained password settings.
    #[must_use]
    pub fn password_settings(mut self, settings: PasswordSettings) -> Self {
        self.0.settings.push(settings);
        self
    }

    /// Adds a suffix for userPrincipalNames, beside the domain's own name.
    #[must_use]
    pub fn upn_suffix(mut self, suffix: &str) -> Self {
        self.0.upn_suffixes.push(suffix.to_owned());
        self
    }

    /// Adds a user.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.0.people.push(People::One(Box::new(user)));
        self
    }

    /// Adds users.
    #[must_use]
    pub fn users(mut self, users: impl IntoIterator<Item = User>) -> Self {
        let users = users.into_iter().map(|user| People::One(Box::new(user)));
        self.0.people.extend(users);
        self
    }

    /// Adds a seeded population.
    #[must_use]
    pub fn population(mut self, population: &crate::Population) -> Self {
        self.0.people.push(People::Population(population.clone()));
        self
    }

    /// The description.
    pub fn build(self) -> Directory {
        self.0
    }
}
