//! Who is an agent now: the certificate says who it is, the registry whether that still counts.

use super::*;
use crate::trust::pki;
use rcgen::{CertificateParams, SanType};

const CORP: &[&str] = &["corp.example"];

/// A world with one agent of `contoso`.
async fn enrolled() -> (World, TenantId, Enrolled) {
    let world = World::new().await;
    let tenant = world.tenant("contoso", &["corp.example", "lab.example"]).await;
    let (enrolled, _) = world.agent(tenant, &["corp.example", "lab.example"]).await;
    (world, tenant, enrolled)
}

/// A certificate of our own authority that was never handed out, over `key`.
fn issued(world: &World, registration: &AgentRegistration, key: &SigningKey) -> Certificate {
    let key = pki::requested_key(&request(key)).unwrap();
    let random = world.seams.random.as_ref();
    pki::agent(&world.trust.0.issuer, registration, &key.spki, random, START).unwrap()
}

async fn domains(world: &World, certificate: &Certificate) -> Vec<DomainName> {
    world.trust.agent(certificate).await.unwrap().domains
}

#[tokio::test]
async fn an_enrolled_agent_is_known_by_its_certificate_until_the_very_end() {
    let (world, _, enrolled) = enrolled().await;
    let leaf = &enrolled.chain[0];
    let second = Duration::from_secs(1);
    for at in [START.minus(10 * MINUTE), START, START.plus(180 * DAY - second)] {
        world.clock.set(at);
        let known = world.trust.agent(leaf).await.unwrap();
        assert_eq!(known, enrolled.registration);
    }
    for at in [START.minus(10 * MINUTE + second), START.plus(180 * DAY)] {
        world.clock.set(at);
        let refused = world.trust.agent(leaf).await;
        assert!(matches!(refused, Err(AgentRefused::NotValidNow)), "{at}");
    }
}

#[tokio::test]
async fn an_agent_ends_with_its_tenant() {
    let (world, tenant, enrolled) = enrolled().await;
    let other = world.tenant("fabrikam", &["fabrikam.example"]).await;
    let (stays, _) = world.agent(other, &["fabrikam.example"]).await;
    world.tenants.delete(tenant).await.unwrap();
    let refused = world.trust.agent(&enrolled.chain[0]).await;
    assert!(matches!(refused, Err(AgentRefused::NotRegistered)));
    assert_eq!(world.trust.agents(tenant).await.unwrap(), []);
    assert_eq!(world.trust.tokens(tenant).await.unwrap(), []);
    world.trust.agent(&stays.chain[0]).await.unwrap();
}

#[tokio::test]
async fn another_key_or_tenant_under_an_agents_id_is_not_the_agent() {
    let (world, _, enrolled) = enrolled().await;
    let other = world.tenant("fabrikam", &["fabrikam.example"]).await;
    let (_, other_key) = world.agent(other, &["fabrikam.example"]).await;
    let new_key = SigningKey::generate(world.seams.random.as_ref());
    let elsewhere = AgentRegistration {
        tenant: other,
        ..enrolled.registration.clone()
    };
    for certificate in [
        issued(&world, &enrolled.registration, &new_key),
        issued(&world, &enrolled.registration, &other_key),
        issued(&world, &elsewhere, &new_key),
    ] {
        let refused = world.trust.agent(&certificate).await;
        assert!(matches!(refused, Err(AgentRefused::OtherKey)));
    }
}

#[tokio::test]
async fn the_agents_own_key_in_a_certificate_of_another_tenant_is_not_the_agent() {
    let world = World::new().await;
    let tenant = world.tenant("contoso", CORP).await;
    let other = world.tenant("fabrikam", &["fabrikam.example"]).await;
    let (enrolled, key) = world.agent(tenant, CORP).await;
    let elsewhere = AgentRegistration {
        tenant: other,
        ..enrolled.registration
    };
    let refused = world.trust.agent(&issued(&world, &elsewhere, &key)).await;
    assert!(matches!(refused, Err(AgentRefused::OtherKey)));
}

#[tokio::test]
async fn a_certificate_that_somebody_else_made_with_an_agents_name_is_worth_nothing() {
    let (world, tenant, enrolled) = enrolled().await;
    let role = Role::Agent {
        tenant,
        agent: enrolled.registration.agent,
        domains: enrolled.registration.domains.clone(),
    };
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(role.to_string().try_into().unwrap())];
    let key = SigningKey::generate(world.seams.random.as_ref());
    let forged = params.self_signed(&key.rcgen().unwrap()).unwrap();
    let forged = forged.der().clone();
    let refused = world.trust.agent(&forged).await;
    assert!(matches!(refused, Err(AgentRefused::OtherKey)));
    // TLS would not have let it come so far.
    let chain = [forged, enrolled.chain[1].clone()];
    tls::verify_client_chain(&chain, world.trust.root(), START).unwrap_err();
}

#[tokio::test]
async fn what_is_no_agents_certificate_makes_nobody_an_agent() {
    let world = World::new().await;
    let replica = world.trust.replica();
    for certificate in [
        &replica.chain[0],
        &replica.chain[1],
        world.trust.root(),
        &Certificate::from(b"junk".to_vec()),
    ] {
        let refused = world.trust.agent(certificate).await;
        assert!(matches!(refused, Err(AgentRefused::NotAnAgent)));
    }
}

#[tokio::test]
async fn a_domain_that_was_taken_away_is_not_served_even_when_it_comes_back() {
    let (world, tenant, enrolled) = enrolled().await;
    let other = world.tenant("fabrikam", &[]).await;
    let leaf = &enrolled.chain[0];
    let lab = names(&["lab.example"]).remove(0);
    world.tenants.delete_domain(tenant, lab.clone()).await.unwrap();
    assert_eq!(domains(&world, leaf).await, names(CORP));
    world.tenants.create_domain(other, lab.clone()).await.unwrap();
    assert_eq!(domains(&world, leaf).await, names(CORP));
    world.tenants.delete_domain(other, lab.clone()).await.unwrap();
    world.tenants.create_domain(tenant, lab).await.unwrap();
    assert_eq!(domains(&world, leaf).await, names(CORP));
    let corp = names(CORP).remove(0);
    world.tenants.delete_domain(tenant, corp).await.unwrap();
    assert_eq!(domains(&world, leaf).await, []);
}

#[tokio::test]
async fn an_agent_serves_no_domain_that_its_certificate_does_not_name() {
    let world = World::new().await;
    let both = ["corp.example", "lab.example"];
    let tenant = world.tenant("contoso", &both).await;
    let (enrolled, key) = world.agent(tenant, &both).await;
    let fewer = AgentRegistration {
        domains: names(CORP),
        ..enrolled.registration.clone()
    };
    let certificate = issued(&world, &fewer, &key);
    assert_eq!(domains(&world, &certificate).await, names(CORP));
    assert_eq!(domains(&world, &enrolled.chain[0]).await, names(&both));
}

#[tokio::test]
async fn a_registry_that_does_not_answer_knows_nobody_and_says_so() {
    let (world, _, enrolled) = enrolled().await;
    world.store.close().await;
    let refused = world.trust.agent(&enrolled.chain[0]).await;
    assert!(matches!(refused, Err(AgentRefused::Store(StoreError::Closed))));
}

#[tokio::test]
async fn when_an_agent_was_seen_and_what_it_runs_is_noted_without_what_harms_a_screen() {
    let (world, tenant, enrolled) = enrolled().await;
    let agent = enrolled.registration.agent;
    let at = START.plus(DAY);
    let version = format!("2.0\n\u{1b}[2J{}", "x".repeat(1000));
    world.trust.seen(agent, &version, at).await.unwrap();
    let [record] = &world.trust.agents(tenant).await.unwrap()[..] else {
        panic!("one agent")
    };
    assert_eq!(record.last_seen, Some(at));
    assert!(record.version.starts_with("2.0[2Jxxx"), "{}", record.version);
    assert!(record.version.len() < 100);
    assert_eq!(record.registration, enrolled.registration);
    // Of an agent that is gone nothing is noted.
    let stranger = AgentId::from_bytes([9; 16]);
    world.trust.seen(stranger, VERSION, at).await.unwrap();
    assert_eq!(world.trust.agents(tenant).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_agent_stays_drained_until_its_own_tenant_lets_it_again() {
    let (world, tenant, enrolled) = enrolled().await;
    let other = world.tenant("fabrikam", &[]).await;
    let agent = enrolled.registration.agent;
    let set = async |tenant, agent, drained| world.trust.set_drained(tenant, agent, drained).await.unwrap();
    let drained = async || world.trust.agent(&enrolled.chain[0]).await.unwrap().drained;
    assert!(!set(other, agent, true).await);
    assert!(!set(tenant, AgentId::from_bytes([9; 16]), true).await);
    assert!(!drained().await);
    assert!(set(tenant, agent, true).await);
    assert!(drained().await);
    assert!(world.trust.agents(tenant).await.unwrap()[0].registration.drained);
    assert!(!set(other, agent, false).await);
    assert!(drained().await);
    assert!(set(tenant, agent, false).await);
    assert!(!drained().await);
}

#[tokio::test]
async fn a_revoked_agent_is_nobody_for_good_and_only_its_own_tenant_can_revoke_it() {
    let (world, tenant, enrolled) = enrolled().await;
    let other = world.tenant("fabrikam", &[]).await;
    let (agent, leaf) = (enrolled.registration.agent, &enrolled.chain[0]);
    for (tenant, agent) in [(other, agent), (tenant, AgentId::from_bytes([9; 16]))] {
        let refused = world.trust.revoke(tenant, agent).await;
        assert!(matches!(refused, Err(AgentError::NotFound)));
    }
    world.trust.agent(leaf).await.unwrap();
    // Who counts is not deleted by mistake.
    let refused = world.trust.delete_agent(tenant, agent).await;
    assert!(matches!(refused, Err(AgentError::NotRevoked)));
    world.clock.advance(DAY);
    world.trust.revoke(tenant, agent).await.unwrap();
    world.clock.advance(DAY);
    // When it was revoked is when it was revoked first.
    world.trust.revoke(tenant, agent).await.unwrap();
    let at = START.plus(DAY);
    let refused = world.trust.agent(leaf).await;
    assert!(matches!(refused, Err(AgentRefused::Revoked(revoked)) if revoked == at));
    assert_eq!(world.trust.agents(tenant).await.unwrap()[0].revoked, Some(at));
    // Its certificate ends unmentioned.
    let soon = START.plus(181 * DAY);
    let ending = world.store.read(move |c| Box::pin(sql::ending(c, soon)));
    assert_eq!(ending.await.unwrap(), []);

    let refused = world.trust.delete_agent(other, agent).await;
    assert!(matches!(refused, Err(AgentError::NotFound)));
    world.trust.delete_agent(tenant, agent).await.unwrap();
    assert_eq!(world.trust.agents(tenant).await.unwrap(), []);
    let refused = world.trust.agent(leaf).await;
    assert!(matches!(refused, Err(AgentRefused::NotRegistered)));
}

#[tokio::test]
async fn an_agents_name_is_its_own_tenants_to_give_and_short() {
    let (world, tenant, enrolled) = enrolled().await;
    let other = world.tenant("fabrikam", &[]).await;
    let agent = enrolled.registration.agent;
    let name = async || world.trust.agents(tenant).await.unwrap()[0].name.clone();
    world.trust.rename(tenant, agent, " cellar ").await.unwrap();
    assert_eq!(name().await, "cellar");
    for bad in ["x".repeat(65), "two\nlines".to_owned()] {
        let refused = world.trust.rename(tenant, agent, &bad).await;
        assert!(matches!(refused, Err(AgentError::Name)));
    }
    let refused = world.trust.rename(other, agent, "attic").await;
    assert!(matches!(refused, Err(AgentError::NotFound)));
    assert_eq!(name().await, "cellar");
    world.trust.rename(tenant, agent, "").await.unwrap();
    assert_eq!(name().await, "");
}

#[tokio::test]
async fn of_certificates_that_end_soon_the_agent_is_named_and_the_first_to_end_first() {
    let (world, tenant, enrolled) = enrolled().await;
    world.clock.advance(DAY);
    let (later, _) = world.agent(tenant, CORP).await;
    let ends = START.plus(180 * DAY);
    let ending = async |soon| {
        let found = world.store.read(move |c| Box::pin(sql::ending(c, soon)));
        found.await.unwrap()
    };
    assert_eq!(ending(ends.minus(Duration::from_millis(1))).await, []);
    let (first, second) = (enrolled.registration.agent, later.registration.agent);
    assert_eq!(ending(ends).await, [(first, ends)]);
    let both = [(first, ends), (second, ends.plus(DAY))];
    assert_eq!(ending(ends.plus(DAY)).await, both);
    world.trust.warn_of_ends().await.unwrap();
}

#[tokio::test]
async fn agents_and_tokens_are_listed_for_their_tenant_alone() {
    let (world, tenant, _) = enrolled().await;
    let other = world.tenant("fabrikam", &["fabrikam.example"]).await;
    assert_eq!(world.trust.agents(other).await.unwrap(), []);
    assert_eq!(world.trust.tokens(other).await.unwrap(), []);
    world.clock.advance(MINUTE);
    let (second, _) = world.token(tenant, CORP).await;
    let tokens = world.trust.tokens(tenant).await.unwrap();
    assert_eq!((tokens.len(), &tokens[0]), (2, &second), "newest first");
}

#[tokio::test]
async fn names_that_nobody_has_are_kept_in_a_form_that_only_this_cloud_can_look_up() {
    let (world, elsewhere) = (World::new().await, World::new().await);
    let typed = b"Secret-Passw0rd".as_slice();
    let kept = world.trust.name_digest(typed);
    assert_ne!(kept, elsewhere.trust.name_digest(typed));
    assert_ne!(kept, world.trust.name_digest(b"Secret-Passw0rd "));
    assert_ne!(kept, digest::sha256(typed));
    let again = Trust::open(&config(&world.folder), world.store.clone(), &world.seams).unwrap();
    assert_eq!(kept, again.name_digest(typed));
}
