//! Tokens and what they are good for: one agent, in time, for the tenant's own domains.

use super::*;
use postern_proto::wire::registration::EnrolRequest;
use postern_proto::wire::registration::registration_server::Registration as _;
use tonic::Code;

const CORP: &[&str] = &["corp.example"];

fn new_key() -> SigningKey {
    SigningKey::generate(&postern_kit::random::SystemRandom)
}

impl World {
    /// Enrols a new key with the token.
    async fn enrol(&self, token: &EnrolmentToken) -> Result<Enrolled, EnrolRefused> {
        self.trust.enrol(enrolment(token, request(&new_key()))).await
    }
}

#[tokio::test]
async fn a_token_makes_one_agent() {
    let world = World::new().await;
    let tenant = world.tenant("contoso", CORP).await;
    let (record, token) = world.token(tenant, CORP).await;
    let key = new_key();
    let enrolled = world.trust.enrol(enrolment(&token, request(&key))).await.unwrap();
    let agent = enrolled.registration.agent;
    let registration = AgentRegistration {
        agent,
        tenant,
        domains: names(CORP),
        host_name: HOST.to_owned(),
        key: key.public_key(),
        drained: false,
    };
    assert_eq!(enrolled.registration, registration);
    let expected = AgentRecord {
        registration,
        version: VERSION.to_owned(),
        enrolled: START,
        expires: START.plus(180 * DAY),
        revoked: None,
        name: String::new(),
        last_seen: None,
        fingerprint: keys::spki_sha256(&enrolled.chain[0]).unwrap(),
    };
    assert_eq!(world.trust.agents(tenant).await.unwrap(), [expected]);
    let used = TokenRecord {
        used_by: Some(agent),
        ..record
    };
    assert_eq!(world.trust.tokens(tenant).await.unwrap(), [used]);

    let refused = world.enrol(&token).await.unwrap_err();
    assert!(matches!(refused, EnrolRefused::UsedToken(by) if by == agent));
    assert_eq!(world.trust.agents(tenant).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_come_at_once_with_one_token_one_is_enrolled() {
    let world = World::new().await;
    let tenant = world.tenant("contoso", CORP).await;
    let (_, token) = world.token(tenant, CORP).await;
    let crowd = (0..50).map(|_| world.enrol(&token));
    let (enrolled, refused): (Vec<_>, Vec<_>) = futures::future::join_all(crowd)
        .await
        .into_iter()
        .partition(Result::is_ok);
    let [Ok(winner)] = &enrolled[..] else {
        panic!("{} were enrolled", enrolled.len())
    };
    let winner = winner.registration.agent;
    for refused in refused {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, EnrolRefused::UsedToken(by) if by == winner));
    }
    assert_eq!(world.trust.agents(tenant).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_ends_with_its_lifetime() {
    let world = World::new().await;
    let tenant = world.tenant("contoso", CORP).await;
    let (_, in_time) = world.token(tenant, CORP).await;
    let (record, late) = world.token(tenant, CORP).await;
    assert_eq!(record.expires, START.plus(60 * MINUTE));
    world.clock.set(record.expires.minus(Duration::from_millis(1)));
    world.enrol(&in_time).await.unwrap();
    world.clock.set(record.expires);
    let refused = world.enrol(&late).await.unwrap_err();
    assert!(matches!(refused, EnrolRefused::ExpiredToken(at) if at == record.expires));
}

#[tokio::test]
async fn a_token_that_is_deleted_or_was_never_made_is_not_known() {
    let world = World::new().await;
    let tenant = world.tenant("contoso", CORP).await;
    let other = world.tenant("fabrikam", &["fabrikam.example"]).await;
    let (record, token) = world.token(tenant, CORP).await;
    let foreign = world.trust.delete_token(other, record.id).await;
    assert!(matches!(foreign, Err(TokenError::NotFound)));
    world.trust.delete_token(tenant, record.id).await.unwrap();
    let again = world.trust.delete_token(tenant, record.id).await;
    assert!(matches!(again, Err(TokenError::NotFound)));
    let invented = EnrolmentToken {
        secret: Token256::generate(world.seams.random.as_ref()),
        root_spki_sha256: token.root_spki_sha256,
    };
    for token in [token, invented] {
        let refused = world.enrol(&token).await.unwrap_err();
        assert!(matches!(refused, EnrolRefused::UnknownToken));
    }
    // An agent stays when its token goes.
    let (used, token) = world.token(tenant, CORP).await;
    let enrolled = world.enrol(&token).await.unwrap();
    world.trust.delete_token(tenant, used.id).await.unwrap();
    world.trust.agent(&enrolled.chain[0]).await.unwrap();
}

#[tokio::test]
async fn a_token_is_for_the_tenants_own_domains_and_a_week_at_most() {
    let world = World::new().await;
    let tenant = world.tenant("contoso", CORP).await;
    world.tenant("fabrikam", &["fabrikam.example"]).await;
    let create = async |domains: &[&str], lifetime| {
        let made = world.trust.create_token(tenant, names(domains), lifetime).await;
        made.map(|(record, _)| record)
    };
    for foreign in ["fabrikam.example", "nobodys.example"] {
        let refused = create(&["corp.example", foreign], 60 * MINUTE).await;
        assert!(matches!(refused, Err(TokenError::ForeignDomain(domain)) if domain.as_str() == foreign));
    }
    let many: Vec<_> = (0..33).map(|n| format!("d{n}.example")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    for domains in [&[], &many[..]] {
        let refused = create(domains, 60 * MINUTE).await;
        assert!(matches!(refused, Err(TokenError::Domains)));
    }
    let second = Duration::from_secs(1);
    for lifetime in [Duration::ZERO, MINUTE - second, 7 * DAY + second] {
        let refused = create(CORP, lifetime).await;
        assert!(matches!(refused, Err(TokenError::Lifetime)), "{lifetime:?}");
    }
    assert_eq!(world.trust.tokens(tenant).await.unwrap(), []);
    for lifetime in [MINUTE, 7 * DAY] {
        // Said twice is meant once.
        let record = create(&["corp.example", "Corp.Example"], lifetime).await.unwrap();
        assert_eq!(record.domains, names(CORP));
        assert_eq!(record.expires, START.plus(lifetime));
    }
}

#[tokio::test]
async fn domains_that_were_taken_away_meanwhile_are_not_enrolled_for() {
    let world = World::new().await;
    let both = ["corp.example", "lab.example"];
    let tenant = world.tenant("contoso", &both).await;
    let (_, for_both) = world.token(tenant, &both).await;
    let (_, for_one) = world.token(tenant, &both[1..]).await;
    let gone = names(&both).remove(1);
    world.tenants.delete_domain(tenant, gone).await.unwrap();
    let enrolled = world.enrol(&for_both).await.unwrap();
    assert_eq!(enrolled.registration.domains, names(CORP));
    let registered = world.trust.agent(&enrolled.chain[0]).await.unwrap();
    assert_eq!(registered.domains, names(CORP));
    let refused = world.enrol(&for_one).await.unwrap_err();
    assert!(matches!(refused, EnrolRefused::NoDomains));
}

#[tokio::test]
async fn a_key_is_enrolled_once_and_the_token_is_not_spent_on_the_second_try() {
    let world = World::new().await;
    let tenant = world.tenant("contoso", CORP).await;
    let other = world.tenant("fabrikam", &["fabrikam.example"]).await;
    let (_, key) = world.agent(tenant, CORP).await;
    let (_, token) = world.token(other, &["fabrikam.example"]).await;
    let refused = world.trust.enrol(enrolment(&token, request(&key))).await;
    assert!(matches!(refused, Err(EnrolRefused::UsedKey)));
    world.enrol(&token).await.unwrap();
}

#[tokio::test]
async fn what_is_no_request_over_a_key_of_ours_spends_no_token() {
    let world = World::new().await;
    let tenant = world.tenant("contoso", CORP).await;
    let (_, token) = world.token(tenant, CORP).await;
    let good = request(&new_key());
    let with = |at: usize, bits: u8| {
        let mut changed = good.clone();
        changed[at] ^= bits;
        changed
    };
    let params = rcgen::CertificateParams::default();
    let p256 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let worthless = [
        (
            "another kind of key",
            params.serialize_request(&p256).unwrap().der().to_vec(),
        ),
        ("a changed signature", with(good.len() - 1, 1)),
        ("changed content", with(20, 0x20)),
        ("trailing bytes", [good.as_slice(), &[0]].concat()),
        ("a cut request", good[..good.len() - 1].to_vec()),
        ("a certificate", world.trust.root().to_vec()),
        ("nothing", Vec::new()),
    ];
    for (what, request) in worthless {
        let refused = world.trust.enrol(enrolment(&token, request)).await;
        assert!(matches!(refused, Err(EnrolRefused::Request)), "{what}");
    }
    world.trust.enrol(enrolment(&token, good)).await.unwrap();
}

#[tokio::test]
async fn texts_that_no_agent_states_spend_no_token() {
    let world = World::new().await;
    let tenant = world.tenant("contoso", CORP).await;
    let (_, token) = world.token(tenant, CORP).await;
    let stated = |host_name: &str, version: &str| Enrolment {
        host_name: host_name.to_owned(),
        version: version.to_owned(),
        ..enrolment(&token, request(&new_key()))
    };
    let long = "x".repeat(256);
    for (field, stated) in [
        ("host_name", stated(&long, VERSION)),
        ("host_name", stated("pta1\nERROR forged log line", VERSION)),
        ("agent_version", stated(HOST, &long)),
        ("agent_version", stated(HOST, "\u{1b}[2J")),
    ] {
        let refused = world.trust.enrol(stated).await.unwrap_err();
        assert!(matches!(refused, EnrolRefused::Text(named) if named == field));
    }
    let longest = stated(&long[1..], &long[1..]);
    let enrolled = world.trust.enrol(longest).await.unwrap();
    assert_eq!(enrolled.registration.host_name, long[1..]);
}

#[tokio::test]
async fn a_tokens_secret_is_on_disk_only_as_its_digest() {
    let world = World::new().await;
    let tenant = world.tenant("contoso", CORP).await;
    let (_, token) = world.token(tenant, CORP).await;
    world.enrol(&token).await.unwrap();
    let data = world.data();
    assert!(hold(&data, &token.secret.digest()));
    let secret = token.secret.plaintext_bytes();
    assert!(!hold(&data, secret));
    assert!(!hold(&data, hex::encode(secret).as_bytes()));
    assert!(!hold(&data, token.secret.plaintext_text().as_bytes()));
}

#[tokio::test]
async fn a_stranger_hears_the_same_whatever_is_wrong() {
    let world = World::new().await;
    let tenant = world.tenant("contoso", CORP).await;
    let service = RegistrationService::new(world.trust.clone());
    let enrol = async |token: &EnrolmentToken, request| {
        let call = EnrolRequest {
            token_secret: token.secret.plaintext_bytes().to_vec(),
            certificate_signing_request: request,
            host_name: HOST.to_owned(),
            agent_version: VERSION.to_owned(),
        };
        service.enrol(tonic::Request::new(call)).await
    };
    let (_, token) = world.token(tenant, CORP).await;
    let key = new_key();
    let enrolled = enrol(&token, request(&key)).await.unwrap().into_inner();
    assert_eq!(enrolled.tenant_id, tenant.to_string());
    assert_eq!(enrolled.domains, CORP);
    assert_eq!(enrolled.root_certificate, world.trust.root().to_vec());
    let leaf = Certificate::from(enrolled.certificate_chain[0].clone());
    let registered = world.trust.agent(&leaf).await.unwrap();
    assert_eq!(enrolled.agent_id, registered.agent.to_string());

    let (deleted, unknown) = world.token(tenant, CORP).await;
    world.trust.delete_token(tenant, deleted.id).await.unwrap();
    let (_, good) = world.token(tenant, CORP).await;
    let mut heard = vec![
        enrol(&token, request(&new_key())).await.unwrap_err(),
        enrol(&unknown, request(&new_key())).await.unwrap_err(),
        enrol(&good, request(&key)).await.unwrap_err(),
        enrol(&good, b"junk".to_vec()).await.unwrap_err(),
    ];
    world.clock.advance(DAY);
    heard.push(enrol(&good, request(&new_key())).await.unwrap_err());
    for status in heard {
        assert_eq!(
            (status.code(), status.message()),
            (Code::PermissionDenied, "enrolment refused")
        );
    }
    // That the cloud is at fault is no refusal: the agent may try again.
    world.store.close().await;
    let status = enrol(&good, request(&new_key())).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "try again")
    );
}

#[tokio::test]
async fn a_stored_key_of_another_length_is_an_error_and_no_agent() {
    let world = World::new().await;
    let tenant = world.tenant("contoso", CORP).await;
    let (enrolled, _) = world.agent(tenant, CORP).await;
    let shorten = "UPDATE agent SET key = x'00'";
    let shorten = world
        .store
        .transact(move |c| Box::pin(async move { Ok(sqlx::query(shorten).execute(c).await.map(drop)?) }));
    shorten.await.unwrap();
    let refused = world.trust.agent(&enrolled.chain[0]).await;
    assert!(matches!(
        refused,
        Err(AgentRefused::Store(StoreError::Corrupt("key")))
    ));
}
