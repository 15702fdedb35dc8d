//! Which suffixes the names of a forest's users may have, as Active Directory lists them: the DNS names of the
//! forest's domains, and those that administrators have added.

use std::collections::BTreeSet;
use std::time::Instant;

use ldap3::result::Result;
use ldap3::{Ldap, Scope, SearchEntry};
use postern_proto::names::DomainName;

use super::{Failed, Link, SEARCH_ITEMS_MAX, guarded};

/// The container that lists the forest's domains, and each entry of it that is one: only domains have a NetBIOS name.
const FILTER: &str = "(|(objectClass=crossRefContainer)(&(objectClass=crossRef)(nETBIOSName=*)))";

impl Link {
    /// The suffixes that the forest lists; none if it is no Active Directory or shows nothing. The connection
    /// must be bound.
    pub(in crate::directory) async fn suffixes(
        &mut self,
        until: Instant,
    ) -> std::result::Result<BTreeSet<DomainName>, Failed> {
        let configuration = guarded(configuration(&mut self.ldap), until).await?;
        let Some(configuration) = configuration else {
            return Ok(BTreeSet::new());
        };
        guarded(listed(&mut self.ldap, &configuration), until)
            .await?
            .ok_or(Failed::Endless)
    }
}

/// The DN of the forest's configuration, which all its controllers have.
async fn configuration(ldap: &mut Ldap) -> Result<Option<String>> {
    const NAME: &str = "configurationNamingContext";
    let (found, _) = ldap
        .search("", Scope::Base, "(objectClass=*)", [NAME])
        .await?
        .success()?;
    let root = found.into_iter().next().map(SearchEntry::construct);
    Ok(root.and_then(|mut root| root.attrs.remove(NAME)?.pop()))
}

/// `None` for a list without end.
async fn listed(ldap: &mut Ldap, configuration: &str) -> Result<Option<BTreeSet<DomainName>>> {
    let base = format!("CN=Partitions,{configuration}");
    let attributes = ["dnsRoot", "uPNSuffixes"];
    let mut stream = ldap
        .streaming_search(&base, Scope::Subtree, FILTER, attributes)
        .await?;
    let mut suffixes = BTreeSet::new();
    for _ in 0..SEARCH_ITEMS_MAX {
        match stream.next().await? {
            Some(item) if item.is_ref() || item.is_intermediate() => {}
            Some(item) => {
                let values = SearchEntry::construct(item).attrs.into_values().flatten();
                // Whatever is no DNS name is nobody's suffix here.
                suffixes.extend(values.filter_map(|value| value.parse::<DomainName>().ok()));
            }
            None => {
                stream.finish().await.success()?;
                return Ok(Some(suffixes));
            }
        }
    }
    Ok(None)
}
