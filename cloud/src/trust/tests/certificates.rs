//! What stands in the certificates, whatever was asked for.

use super::*;
use postern_proto::certificate::{REPLICA_SERVER_NAME, verify_replica};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

fn parsed(certificate: &Certificate) -> X509Certificate<'_> {
    X509Certificate::from_der(certificate).unwrap().1
}

/// From when until when, in seconds.
fn valid(certificate: &X509Certificate<'_>) -> (u64, u64) {
    let validity = certificate.validity();
    let seconds = |at: x509_parser::time::ASN1Time| at.timestamp().try_into().unwrap();
    (seconds(validity.not_before), seconds(validity.not_after))
}

/// A request for everything that its maker is not.
fn greedy_request(key: &SigningKey) -> Vec<u8> {
    let mut params = CertificateParams::new(["cloud.example".to_owned()]).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "Postern root CA");
    let role = Role::Administrator("mallory".to_owned());
    params
        .subject_alt_names
        .push(SanType::URI(role.to_string().try_into().unwrap()));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::Any,
    ];
    let request = params.serialize_request(&key.rcgen().unwrap()).unwrap();
    request.der().to_vec()
}

#[tokio::test]
async fn an_agents_certificate_says_what_the_token_says_and_nothing_that_was_asked_for() {
    let world = World::new().await;
    let domains = ["corp.example", "lab.example"];
    let tenant = world.tenant("contoso", &domains).await;
    let (_, token) = world.token(tenant, &domains).await;
    let key = SigningKey::generate(world.seams.random.as_ref());
    let asked_for = greedy_request(&key);
    assert!(hold(&asked_for, b"mallory") && hold(&asked_for, b"cloud.example"));
    let enrolled = world.trust.enrol(enrolment(&token, asked_for)).await.unwrap();

    let leaf = parsed(&enrolled.chain[0]);
    let name = format!("CN=agent {}", enrolled.registration.agent);
    assert_eq!(leaf.subject().to_string(), name);
    let role = Role::Agent {
        tenant,
        agent: enrolled.registration.agent,
        domains: names(&domains),
    };
    let alternative = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(
        alternative.value.general_names,
        [GeneralName::URI(&role.to_string())]
    );
    assert!(!leaf.is_ca());
    // Only the bit for digital signatures.
    assert_eq!(leaf.key_usage().unwrap().unwrap().value.flags, 1);
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    let wider = usage.any || usage.server_auth || usage.code_signing || !usage.other.is_empty();
    assert!(usage.client_auth && !wider, "{usage:?}");
    let from = START.minus(10 * MINUTE).unix_s();
    assert_eq!(valid(&leaf), (from, START.plus(180 * DAY).unix_s()));
    assert_eq!(keys::certificate_key(&enrolled.chain[0]), Some(key.public_key()));
    assert!(!hold(&enrolled.chain[0], b"mallory"));
}

#[tokio::test]
async fn an_agents_chain_leads_to_the_root_that_its_token_names() {
    let world = World::new().await;
    let tenant = world.tenant("contoso", &["corp.example"]).await;
    let (_, token) = world.token(tenant, &["corp.example"]).await;
    assert_eq!(
        keys::spki_sha256(world.trust.root()),
        Some(token.root_spki_sha256)
    );
    let (enrolled, _) = world.agent(tenant, &["corp.example"]).await;
    let verify = |root: &Certificate, at| tls::verify_client_chain(&enrolled.chain, root, at);
    for at in [START.minus(10 * MINUTE), START.plus(180 * DAY)] {
        verify(world.trust.root(), at).unwrap();
    }
    for at in [START.minus(11 * MINUTE), START.plus(180 * DAY + MINUTE)] {
        verify(world.trust.root(), at).unwrap_err();
    }
    verify(World::new().await.trust.root(), START).unwrap_err();
    // It is no server's.
    let name = tls::server_name("cloud.example").unwrap();
    tls::verify_server_chain(&enrolled.chain, world.trust.root(), &name, START).unwrap_err();
}

#[tokio::test]
async fn the_authorities_sign_certificates_and_only_the_root_makes_authorities() {
    let world = World::new().await;
    let replica = world.trust.replica();
    let (root, issuing) = (parsed(world.trust.root()), parsed(&replica.chain[1]));
    for (authority, below, days) in [(&root, 1, 3653), (&issuing, 0, 1826)] {
        let constraints = authority.basic_constraints().unwrap().unwrap().value;
        assert_eq!(
            (constraints.ca, constraints.path_len_constraint),
            (true, Some(below))
        );
        let usage = authority.key_usage().unwrap().unwrap().value;
        assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
        let from = START.minus(10 * MINUTE).unix_s();
        assert_eq!(valid(authority), (from, START.plus(days * DAY).unix_s()));
        authority.verify_signature(Some(root.public_key())).unwrap();
    }
}

#[tokio::test]
async fn a_replicas_certificate_is_a_servers_for_its_host_names_and_made_anew_at_each_start() {
    let world = World::new().await;
    let replica = world.trust.replica();
    let leaf = parsed(&replica.chain[0]);
    let role = Role::CloudReplica(replica.id).to_string();
    let alternative = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(
        alternative.value.general_names,
        [
            GeneralName::URI(&role),
            GeneralName::DNSName(REPLICA_SERVER_NAME),
            GeneralName::DNSName("cloud.example"),
            GeneralName::IPAddress(&[192, 0, 2, 7]),
        ]
    );
    assert!(!leaf.is_ca());
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any);
    let from = START.minus(10 * MINUTE).unix_s();
    assert_eq!(valid(&leaf), (from, START.plus(360 * DAY).unix_s()));
    let (id, key) = verify_replica(&replica.chain, world.trust.root(), START).unwrap();
    assert_eq!((id, key), (replica.id, replica.key.public_key()));
    assert!(!hold(&world.data(), replica.key.plaintext_pkcs8()));

    let again = Trust::open(&config(&world.folder), world.store.clone(), &world.seams).unwrap();
    assert_eq!(again.root(), world.trust.root());
    assert_ne!(again.replica().key.public_key(), replica.key.public_key());
    verify_replica(&again.replica().chain, world.trust.root(), START).unwrap();
}

#[tokio::test]
async fn what_is_no_host_name_is_named() {
    let world = World::new().await;
    let mut config = config(&world.folder);
    config.host_names = vec!["cloud.example".to_owned(), "clöud".to_owned()];
    let refused = Trust::open(&config, world.store.clone(), &world.seams);
    let text = postern_kit::telemetry::chain(&refused.unwrap_err());
    assert!(text.contains("host_names: \"clöud\""), "{text}");
}

#[tokio::test]
async fn agents_of_before_a_new_issuing_authority_are_still_agents() {
    let world = World::new().await;
    let tenant = world.tenant("contoso", &["corp.example"]).await;
    world.clock.set(START.plus(1400 * DAY));
    let (enrolled, _) = world.agent(tenant, &["corp.example"]).await;
    world.clock.set(START.plus(1470 * DAY));
    let now = world.clock.now();
    let renewed = Trust::open(&config(&world.folder), world.store.clone(), &world.seams).unwrap();
    assert_ne!(renewed.replica().chain[1], enrolled.chain[1]);
    tls::verify_client_chain(&enrolled.chain, renewed.root(), now).unwrap();
    assert_eq!(
        renewed.agent(&enrolled.chain[0]).await.unwrap(),
        enrolled.registration
    );
}
