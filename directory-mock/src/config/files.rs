//! What the configuration says of other files: LDIF, and the token of the control port.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use postern_kit::config::Fields;
use zeroize::Zeroizing;

use super::{Config, Further, TlsFiles};
use crate::ldif::{ImportOptions, Record};
use crate::model::{Directory, Flavour, Password};
use crate::server::IDLE_LIMIT;

/// Users and groups of the first domain in a file of their own.
#[derive(Clone, Debug)]
pub struct LdifFile {
    /// The file.
    pub file: PathBuf,
    /// How its entries are taken in.
    pub options: ImportOptions,
}

/// The control port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlFiles {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The file with its token; made if there is none.
    pub token_file: PathBuf,
}

/// What is served where there is only LDIF: the domain of its first entry, at any free ports of the loopback address.
/// `None` if that entry lies in no domain.
pub fn of_ldif(records: &[Record], ldif: LdifFile) -> Option<Config> {
    let dn = &records.first()?.dn;
    let parts = dn.split(',').filter_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case("dc").then(|| value.trim())
    });
    let labels: Vec<_> = parts.collect();
    let any_port = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let netbios = labels.first()?.to_uppercase();
    Some(Config {
        directory: Directory::builder(&labels.join("."), &netbios).build(),
        ldap: any_port,
        ldaps: any_port,
        flavour: Flavour::Samba,
        require_encryption: false,
        idle_limit: IDLE_LIMIT,
        tls: TlsFiles::Made {
            root: None,
            names: Vec::new(),
        },
        faults: Vec::new(),
        fault_seed: None,
        further: Further::default(),
        ldif: Some(ldif),
        control: None,
    })
}

pub(super) fn read_ldif(fields: &mut Fields<'_>) -> Option<Option<LdifFile>> {
    let file: Option<Option<PathBuf>> = fields.optional("file", "the path of a file");
    let password: Option<Option<String>> =
        fields.optional("password", "a text, for users that come without a password");
    let (file, password) = (file?, password?.map(Zeroizing::new));
    if file.is_none() && password.is_some() {
        fields.mistake("file", "missing; expected the path of a file");
        return None;
    }
    let password = password.map(|text| Password::new(&text));
    Some(file.map(|file| LdifFile {
        file,
        options: ImportOptions { password },
    }))
}

pub(super) fn read_control(fields: &mut Fields<'_>) -> Option<Option<ControlFiles>> {
    let listen: Option<Option<SocketAddr>> = fields.optional("listen", "an address like 127.0.0.1:3880");
    let token_file: Option<Option<PathBuf>> = fields.optional("token_file", "the path of a file");
    match (listen?, token_file?) {
        (Some(listen), Some(token_file)) => Some(Some(ControlFiles { listen, token_file })),
        (None, None) => Some(None),
        (None, Some(_)) => {
            fields.mistake("listen", "missing; expected an address like 127.0.0.1:3880");
            None
        }
        (Some(_), None) => {
            fields.mistake(
                "token_file",
                "missing; expected the path of a file, which is made if there is none",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use postern_kit::clock::Timestamp;

    use super::*;

    #[test]
    fn a_file_of_ldif_is_enough() {
        let records = "dn: CN=a,OU=b,DC=Corp,dc=example,DC=test\ncn: a\n\ndn: CN=b\n";
        let records = crate::ldif::read(records).unwrap();
        let file = || LdifFile {
            file: PathBuf::from("f"),
            options: ImportOptions::default(),
        };
        let config = of_ldif(&records, file()).unwrap();
        let domain = config.directory.domain(Timestamp::from_unix_ms(0)).unwrap();
        assert_eq!(
            (domain.dns_name(), domain.netbios_name()),
            ("corp.example.test", "CORP")
        );
        assert!(of_ldif(&records[1..], file()).is_none() && of_ldif(&[], file()).is_none());
    }
}
