//! The shell and the statements, over a real store: what an administrator is refused, and what a
//! sign-in finds afterwards.

mod users;

use super::*;
use crate::trust::tests::World as Trusting;
use postern_kit::clock::ManualClock;
use postern_kit::random::SystemRandom;
use sqlx::{Row as _, query};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const START: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

struct World {
    tenants: Tenants,
    store: Store,
    folder: TempDir,
    contoso: TenantId,
    fabrikam: TenantId,
}

impl World {
    /// `contoso` has corp.example and lab.example, `fabrikam` has fabrikam.example.
    async fn new() -> Self {
        let seams = Seams {
            clock: Arc::new(ManualClock::new(START)),
            ..Seams::real()
        };
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("postern.sqlite");
        let store = Store::open(&database, &seams, CancellationToken::new())
            .await
            .unwrap();
        let tenants = Tenants::new(store.clone(), &seams);
        let contoso = tenants.create(tenant_name("contoso"), true).await.unwrap().id;
        let fabrikam = tenants.create(tenant_name("fabrikam"), false).await.unwrap().id;
        for (tenant, name) in [
            (contoso, "corp.example"),
            (contoso, "lab.example"),
            (fabrikam, "fabrikam.example"),
        ] {
            tenants.create_domain(tenant, domain(name)).await.unwrap();
        }
        Self {
            tenants,
            store,
            folder,
            contoso,
            fabrikam,
        }
    }

    async fn create(&self, user: NewUser) -> Result<UserRecord, Refused> {
        refusal(self.tenants.create_user(self.contoso, user).await)
    }

    async fn resolve(&self, tenant: &str, typed: &str) -> Resolved {
        let (tenant, username) = (tenant_name(tenant), typed.parse().ok());
        let found = self.tenants.resolve(&tenant, username.as_ref()).await;
        found.unwrap()
    }

    /// All bytes that the store has written.
    fn data(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files
            .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect()
    }
}

fn tenant_name(name: &str) -> TenantName {
    name.parse().unwrap()
}

fn domain(name: &str) -> DomainName {
    name.parse().unwrap()
}

/// A user with this name, and the directory object of this number, in corp.example's directory.
fn user(username: &str, object: u8) -> NewUser {
    NewUser {
        username: username.parse().unwrap(),
        alternate_id: None,
        object: ObjectId::from_bytes([object; 16]),
        on_premises_name: format!("CN={object},DC=corp").parse().unwrap(),
        domain: domain("corp.example"),
    }
}

#[track_caller]
fn refusal<T>(result: Result<T, TenantsError>) -> Result<T, Refused> {
    result.map_err(|error| match error {
        TenantsError::Refused(refused) => refused,
        TenantsError::Store(error) => panic!("{error:?}"),
    })
}

#[tokio::test]
async fn a_domain_belongs_to_one_tenant_however_it_is_spelled() {
    let world = World::new().await;
    let create = async |tenant, name| refusal(world.tenants.create_domain(tenant, domain(name)).await);
    for spelling in ["corp.example", "CORP.Example"] {
        assert_eq!(
            create(world.contoso, spelling).await,
            Err(Refused::Exists("domain"))
        );
        assert_eq!(create(world.fabrikam, spelling).await, Err(Refused::DomainTaken));
    }
    // A domain below another one is another domain.
    assert_eq!(create(world.fabrikam, "sub.corp.example").await, Ok(()));
    let nobody = TenantId::from_bytes([9; 16]);
    assert_eq!(
        create(nobody, "new.example").await,
        Err(Refused::NotFound("tenant"))
    );

    let delete = async |tenant, name| refusal(world.tenants.delete_domain(tenant, domain(name)).await);
    for (tenant, name) in [(world.fabrikam, "corp.example"), (world.contoso, "new.example")] {
        assert_eq!(delete(tenant, name).await, Err(Refused::NotFound("domain")));
    }
    assert_eq!(delete(world.contoso, "Corp.example").await, Ok(()));
    assert_eq!(create(world.fabrikam, "corp.example").await, Ok(()));
    assert_eq!(
        world.tenants.domains(world.contoso).await.unwrap(),
        [domain("lab.example")]
    );
    let theirs = ["corp.example", "fabrikam.example", "sub.corp.example"].map(domain);
    assert_eq!(world.tenants.domains(world.fabrikam).await.unwrap(), theirs);
}

#[tokio::test]
async fn of_many_who_want_a_domain_at_once_one_gets_it() {
    let world = World::new().await;
    let wanted = (0..20).map(|n| {
        let tenant = if n % 2 == 0 { world.contoso } else { world.fabrikam };
        world.tenants.create_domain(tenant, domain("new.example"))
    });
    let answers = futures::future::join_all(wanted).await;
    assert_eq!(answers.into_iter().filter(Result::is_ok).count(), 1);
}

#[tokio::test]
async fn a_tenants_name_is_its_own() {
    let world = World::new().await;
    let again = world.tenants.create(tenant_name("contoso"), false).await;
    assert_eq!(refusal(again), Err(Refused::Exists("tenant")));
    world.tenants.create(tenant_name("acme"), false).await.unwrap();
    let all = world.tenants.list().await.unwrap();
    let names: Vec<_> = all
        .iter()
        .map(|tenant| (tenant.name.as_str(), tenant.tell_locked))
        .collect();
    assert_eq!(names, [("acme", false), ("contoso", true), ("fabrikam", false)]);
    let contoso = world.tenants.by_name(&tenant_name("contoso")).await.unwrap();
    let expected = Tenant {
        id: world.contoso,
        name: tenant_name("contoso"),
        created: START,
        tell_locked: true,
        alternate_id_attribute: None,
    };
    assert_eq!(contoso, Some(expected));
    assert_eq!(
        world.tenants.by_name(&tenant_name("nowhere")).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn a_typed_name_means_one_thing() {
    let world = World::new().await;
    let ada = world.create(user("ada@corp.example", 1)).await.unwrap();
    // A name in one of the tenant's domains, of somebody whom the directory of another one owns.
    let lab = NewUser {
        domain: domain("lab.example"),
        ..user("bob@corp.example", 2)
    };
    let bob = world.create(lab).await.unwrap();
    let tenant = async |name: &str| {
        let found = world.tenants.by_name(&tenant_name(name)).await;
        found.unwrap().unwrap()
    };
    let (contoso, fabrikam) = (tenant("contoso").await, tenant("fabrikam").await);
    for (at, typed, expected) in [
        (
            "contoso",
            "ada@corp.example",
            Resolved::User(contoso.clone(), ada.clone()),
        ),
        (
            "contoso",
            " ADA@Corp.Example ",
            Resolved::User(contoso.clone(), ada),
        ),
        (
            "contoso",
            "bob@corp.example",
            Resolved::User(contoso.clone(), bob),
        ),
        (
            "contoso",
            "ada@lab.example",
            Resolved::NoUser(contoso.clone(), domain("lab.example")),
        ),
        (
            "contoso",
            "eve@corp.example",
            Resolved::NoUser(contoso.clone(), domain("corp.example")),
        ),
        (
            "contoso",
            "ada@fabrikam.example",
            Resolved::NoDomain(contoso.clone()),
        ),
        (
            "contoso",
            "ada@nobodys.example",
            Resolved::NoDomain(contoso.clone()),
        ),
        ("contoso", "no name at all", Resolved::NoDomain(contoso)),
        (
            "fabrikam",
            "ada@corp.example",
            Resolved::NoDomain(fabrikam.clone()),
        ),
        (
            "fabrikam",
            "ada@fabrikam.example",
            Resolved::NoUser(fabrikam, domain("fabrikam.example")),
        ),
        ("nowhere", "ada@corp.example", Resolved::NoTenant),
        ("nowhere", "no name at all", Resolved::NoTenant),
    ] {
        assert_eq!(world.resolve(at, typed).await, expected, "{typed} at {at}");
    }
}

#[tokio::test]
async fn a_domain_with_users_stays() {
    let world = World::new().await;
    world
        .tenants
        .create_domain(world.contoso, domain("example"))
        .await
        .unwrap();
    let delete = async |name| refusal(world.tenants.delete_domain(world.contoso, domain(name)).await);
    // One domain is in the name, the other has the directory.
    let straddling = NewUser {
        domain: domain("lab.example"),
        ..user("ada@corp.example", 1)
    };
    world.create(straddling).await.unwrap();
    for name in ["corp.example", "lab.example"] {
        assert_eq!(delete(name).await, Err(Refused::DomainHasUsers), "{name}");
    }
    // Names that end in it, but after a dot, are not its users.
    assert_eq!(delete("example").await, Ok(()));
    let ada = "ada@corp.example".parse().unwrap();
    world.tenants.delete_user(world.contoso, ada).await.unwrap();
    for name in ["corp.example", "lab.example"] {
        assert_eq!(delete(name).await, Ok(()), "{name}");
    }
}

#[tokio::test]
async fn a_client_is_known_by_its_own_secret_until_it_is_deleted() {
    let world = World::new().await;
    let create = async |tenant, name: &str| {
        let created = world.tenants.create_client(tenant, name.to_owned());
        refusal(created.await)
    };
    let (crm, secret) = create(world.contoso, "crm").await.unwrap();
    let (shop, shops_secret) = create(world.fabrikam, "shop").await.unwrap();
    let known = async |id, secret: &Token256| {
        let found = world.tenants.client(id, secret).await.unwrap();
        found.map(|(id, tenant)| (id, tenant.id))
    };
    assert_eq!(known(crm.id, &secret).await, Some((crm.id, world.contoso)));
    assert_eq!(
        known(shop.id, &shops_secret).await,
        Some((shop.id, world.fabrikam))
    );
    let invented = Token256::generate(&SystemRandom);
    for (id, secret) in [
        (crm.id, &shops_secret),
        (shop.id, &secret),
        (crm.id, &invented),
        (ClientId::from_bytes([9; 16]), &secret),
    ] {
        assert_eq!(known(id, secret).await, None);
    }
    let (analytics, _) = create(world.contoso, "analytics").await.unwrap();
    assert_eq!(
        world.tenants.clients(world.contoso).await.unwrap(),
        [analytics, crm.clone()]
    );

    let delete = async |tenant, id| refusal(world.tenants.delete_client(tenant, id).await);
    assert_eq!(delete(world.fabrikam, crm.id).await, Err(Refused::NotFound("id")));
    assert!(known(crm.id, &secret).await.is_some());
    assert_eq!(delete(world.contoso, crm.id).await, Ok(()));
    assert_eq!(known(crm.id, &secret).await, None);
    assert_eq!(delete(world.contoso, crm.id).await, Err(Refused::NotFound("id")));

    for name in ["", "two\nlines", &"x".repeat(129)] {
        let refused = create(world.contoso, name).await.unwrap_err();
        assert!(matches!(refused, Refused::Field { field: "name", .. }), "{name}");
    }
    create(world.contoso, &"x".repeat(128)).await.unwrap();
    let nobody = TenantId::from_bytes([9; 16]);
    assert_eq!(
        create(nobody, "crm").await.unwrap_err(),
        Refused::NotFound("tenant")
    );
}

#[tokio::test]
async fn a_clients_secret_is_on_disk_only_as_its_digest() {
    let world = World::new().await;
    let created = world.tenants.create_client(world.contoso, "crm".to_owned());
    let (_, secret) = created.await.unwrap();
    let data = world.data();
    let holds = |part: &[u8]| data.windows(part.len()).any(|window| window == part);
    assert!(holds(&secret.digest()));
    assert!(!holds(secret.plaintext_bytes()));
    assert!(!holds(secret.plaintext_text().as_bytes()));
    assert!(!holds(hex::encode(secret.plaintext_bytes()).as_bytes()));
}

/// How many rows each table has that belong to the tenant.
async fn rows(store: &Store, tenant: TenantId) -> Vec<(String, i64)> {
    let counting = store.read(move |c| {
        Box::pin(async move {
            let tables = "SELECT t.name FROM pragma_table_list t JOIN pragma_table_info(t.name) c
                          WHERE t.schema = 'main' AND c.name = 'tenant' ORDER BY t.name";
            let mut rows = Vec::new();
            for found in query(tables).fetch_all(&mut *c).await? {
                let table: String = found.get(0);
                let count = format!("SELECT count(*) FROM {table} WHERE tenant = $1");
                let count = query(sqlx::AssertSqlSafe(count)).bind(tenant.as_bytes().as_slice());
                rows.push((table, count.fetch_one(&mut *c).await?.get(0)));
            }
            Ok(rows)
        })
    });
    counting.await.unwrap()
}

#[tokio::test]
async fn a_tenant_goes_with_all_that_is_its_own_and_its_log_stays() {
    let world = Trusting::new().await;
    let tenants = &world.tenants;
    let contoso = world.tenant("contoso", &["corp.example"]).await;
    let other = world.tenant("fabrikam", &["fabrikam.example"]).await;
    let mut secrets = Vec::new();
    for (tenant, name) in [(contoso, "corp.example"), (other, "fabrikam.example")] {
        world.agent(tenant, &[name]).await;
        let user = NewUser {
            domain: domain(name),
            ..user(&format!("ada@{name}"), 1)
        };
        tenants.create_user(tenant, user).await.unwrap();
        secrets.push(tenants.create_client(tenant, "crm".to_owned()).await.unwrap());
        let record = "INSERT INTO sign_in (request, at_ms, tenant, tenant_name, username, outcome, code,
                                           channel, source_address, total_us)
                      VALUES (randomblob(16), 0, $1, '', '', '', 0, '', '', 0)";
        let write = world.store.transact(move |c| {
            let record = query(record).bind(tenant.as_bytes().to_vec());
            Box::pin(async move { Ok(record.execute(c).await.map(drop)?) })
        });
        write.await.unwrap();
    }
    let (before, others) = (rows(&world.store, contoso).await, rows(&world.store, other).await);
    let empty = before.iter().find(|(_, rows)| *rows == 0);
    assert_eq!(empty, None, "a table that this test does not know");

    tenants.delete(contoso).await.unwrap();
    for (table, left) in rows(&world.store, contoso).await {
        assert_eq!(left, i64::from(table == "sign_in"), "{table}");
    }
    assert_eq!(rows(&world.store, other).await, others);
    let [(ours, secret), (theirs, their_secret)] = &secrets[..] else {
        panic!("two clients")
    };
    assert_eq!(tenants.client(ours.id, secret).await.unwrap(), None);
    assert!(tenants.client(theirs.id, their_secret).await.unwrap().is_some());
    assert_eq!(
        refusal(tenants.delete(contoso).await),
        Err(Refused::NotFound("tenant"))
    );
    // Its names are free again.
    tenants
        .create_domain(other, domain("corp.example"))
        .await
        .unwrap();
    let again = tenants.create(tenant_name("contoso"), false).await.unwrap();
    assert_ne!(again.id, contoso);
    assert_eq!(tenants.domains(again.id).await.unwrap(), []);
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_no_refusal() {
    let world = World::new().await;
    world.store.close().await;
    let resolved = world.tenants.resolve(&tenant_name("contoso"), None).await;
    assert!(matches!(resolved, Err(StoreError::Closed)));
    let created = world.tenants.create(tenant_name("acme"), false).await;
    assert!(matches!(created, Err(TenantsError::Store(StoreError::Closed))));
}
