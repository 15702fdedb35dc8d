//! Results in pages (RFC 2696) and in order (RFC 2891).
//!
//! What is left of a paged search waits on its connection; a new search without its cookie forgets it.

use std::collections::VecDeque;

use ldap3_proto::control::{LdapControl, ServerSortRequet, ServerSortResult};
use ldap3_proto::proto::{LdapResultCode, LdapSearchRequest};

use super::entry::Entry;

/// Samba's answer to a cookie that it did not give.
pub(super) const FOREIGN_COOKIE: &str =
    "error in module dsdb_paged_results: Unwilling to perform during LDB_SEARCH (53)";

/// A paged search between two pages.
#[derive(Debug)]
pub(super) struct Paged {
    cookie: Vec<u8>,
    request: LdapSearchRequest,
    total: usize,
    rest: VecDeque<Entry>,
}

/// Why a page is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageError {
    /// No search of this connection has the cookie.
    Cookie,
    /// The cookie is of another search.
    Request,
}

/// One page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    pub(super) control: LdapControl,
}

/// Starts a paged search with all that it found.
pub(super) fn start(
    held: &mut Option<Paged>,
    number: u64,
    request: &LdapSearchRequest,
    found: Vec<Entry>,
    size: usize,
) -> Page {
    let mut paged = Paged {
        // Two bytes at first, as Samba's: the number in text with a NUL.
        cookie: format!("{number}\0").into_bytes(),
        request: request.clone(),
        total: found.len(),
        rest: found.into(),
    };
    let page = paged.next(size);
    *held = (!paged.rest.is_empty()).then_some(paged);
    page
}

/// The next page of the search that is held.
pub(super) fn go_on(
    held: &mut Option<Paged>,
    cookie: &[u8],
    request: &LdapSearchRequest,
    size: usize,
) -> Result<Page, PageError> {
    let mut paged = match held.take() {
        Some(paged) if paged.cookie == cookie => paged,
        other => {
            *held = other;
            return Err(PageError::Cookie);
        }
    };
    if paged.request != *request {
        *held = Some(paged);
        return Err(PageError::Request);
    }
    let page = paged.next(size);
    *held = (!paged.rest.is_empty()).then_some(paged);
    Ok(page)
}

impl Paged {
    fn next(&mut self, size: usize) -> Page {
        let count = size.min(self.rest.len());
        let entries = self.rest.drain(..count).collect();
        let last = self.rest.is_empty();
        let estimate = if last { 0 } else { self.total };
        Page {
            entries,
            control: LdapControl::SimplePagedResults {
                size: i64::try_from(estimate).unwrap_or(i64::MAX),
                cookie: if last { Vec::new() } else { self.cookie.clone() },
            },
        }
    }
}

/// Puts entries in the order that is asked for; those without the attribute come last.
pub(super) fn sort(found: &mut [Entry], keys: &[ServerSortRequet]) -> LdapControl {
    for key in keys.iter().rev() {
        let value = |entry: &Entry| {
            let value = entry.values(&key.attribute_name).first();
            value.map(|value| String::from_utf8_lossy(value).to_lowercase())
        };
        found.sort_by(|a, b| {
            let order = match (value(a), value(b)) {
                (Some(a), Some(b)) => a.cmp(&b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            };
            if key.reverse_order { order.reverse() } else { order }
        });
    }
    LdapControl::ServerSortResult {
        sort_result: ServerSortResult {
            result_code: LdapResultCode::Success,
            attribute_type: None,
        },
    }
}
