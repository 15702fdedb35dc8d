//! User records: one per object and name, kept through every rename, imported as a whole or not at all.

use super::*;

impl World {
    async fn import(&self, users: Vec<NewUser>) -> Result<Imported, Refused> {
        refusal(self.tenants.import(self.contoso, users).await)
    }

    /// All users of contoso: name and number of the object.
    async fn users(&self) -> Vec<(String, u8)> {
        let users = self.tenants.users(self.contoso, None, 100).await.unwrap();
        let short = |user: UserRecord| (user.username.to_string(), user.object.as_bytes()[0]);
        users.into_iter().map(short).collect()
    }

    async fn find(&self, username: &str) -> UserRecord {
        match self.resolve("contoso", username).await {
            Resolved::User(_, user) => user,
            other => panic!("{username} is {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_username_and_an_object_have_one_record_in_a_tenant() {
    let world = World::new().await;
    let ada = world.create(user("ada@corp.example", 1)).await.unwrap();
    let expected = [
        (user("ADA@corp.EXAMPLE", 2), Refused::Exists("username")),
        (user("eve@corp.example", 1), Refused::Exists("object_id")),
    ];
    for (new, refused) in expected {
        assert_eq!(world.create(new).await, Err(refused));
    }
    let foreign = |field| Refused::Field {
        field,
        expected: "a domain of the tenant",
    };
    let elsewhere = NewUser {
        domain: domain("fabrikam.example"),
        ..user("eve@corp.example", 2)
    };
    assert_eq!(world.create(elsewhere).await, Err(foreign("domain")));
    let named = user("eve@fabrikam.example", 2);
    assert_eq!(world.create(named).await, Err(foreign("username")));
    assert_eq!(world.users().await, [("ada@corp.example".to_owned(), 1)]);

    // Another tenant may well have the same object.
    let theirs = NewUser {
        domain: domain("fabrikam.example"),
        ..user("ada@fabrikam.example", 1)
    };
    let theirs = world.tenants.create_user(world.fabrikam, theirs).await.unwrap();
    assert_ne!(theirs.id, ada.id);
}

#[tokio::test]
async fn an_import_makes_what_is_new_and_keeps_the_id_of_what_was_there() {
    let world = World::new().await;
    let ada = world.create(user("ada@corp.example", 1)).await.unwrap();
    let married = NewUser {
        on_premises_name: "CN=King,DC=lab".parse().unwrap(),
        domain: domain("lab.example"),
        ..user("ada.king@lab.example", 1)
    };
    let imported = world
        .import(vec![married.clone(), user("bob@corp.example", 2)])
        .await
        .unwrap();
    assert_eq!(
        imported,
        Imported {
            created: 1,
            updated: 1
        }
    );
    let renamed = world.find("ada.king@lab.example").await;
    assert_eq!(renamed.id, ada.id);
    assert_eq!(
        (renamed.on_premises_name, renamed.domain),
        (married.on_premises_name, married.domain)
    );
    assert!(matches!(
        world.resolve("contoso", "ada@corp.example").await,
        Resolved::NoUser(..)
    ));
    let bob = world.find("bob@corp.example").await;
    assert_ne!(bob.id, ada.id);
    // The name that became free is another person's, with a record of their own.
    world.import(vec![user("ada@corp.example", 3)]).await.unwrap();
    assert_ne!(world.find("ada@corp.example").await.id, ada.id);
    let nothing_new = world.import(vec![user("bob@corp.example", 2)]).await.unwrap();
    assert_eq!(
        nothing_new,
        Imported {
            created: 0,
            updated: 1
        }
    );
    assert_eq!(world.find("bob@corp.example").await, bob);
}

#[tokio::test]
async fn names_are_swapped_and_passed_on_in_one_import() {
    let world = World::new().await;
    let names = ["ada@corp.example", "bob@corp.example", "cid@corp.example"];
    let mut ids = Vec::new();
    for (name, object) in names.into_iter().zip(1..) {
        ids.push(world.create(user(name, object)).await.unwrap().id);
    }
    world
        .import(vec![user(names[1], 1), user(names[0], 2)])
        .await
        .unwrap();
    assert_eq!(world.find(names[1]).await.id, ids[0]);
    assert_eq!(world.find(names[0]).await.id, ids[1]);
    // Round in a circle, and the last one's to somebody new.
    let passed_on = vec![
        user(names[2], 4),
        user(names[0], 1),
        user(names[1], 3),
        user("dot@corp.example", 2),
    ];
    let imported = world.import(passed_on).await.unwrap();
    assert_eq!(
        imported,
        Imported {
            created: 1,
            updated: 3
        }
    );
    assert_eq!(world.find(names[0]).await.id, ids[0]);
    assert_eq!(world.find(names[1]).await.id, ids[2]);
    assert_eq!(world.find("dot@corp.example").await.id, ids[1]);
    assert!(!ids.contains(&world.find(names[2]).await.id));
}

#[tokio::test]
async fn an_import_with_one_bad_record_changes_nothing_and_names_it() {
    let world = World::new().await;
    world.create(user("ada@corp.example", 1)).await.unwrap();
    world.create(user("bob@corp.example", 2)).await.unwrap();
    let before = world.users().await;
    let good = || vec![user("ada.king@corp.example", 1), user("cid@corp.example", 3)];
    let elsewhere = NewUser {
        domain: domain("fabrikam.example"),
        ..user("eve@corp.example", 4)
    };
    for (bad, said) in [
        (
            user("eve@fabrikam.example", 4),
            "record 3: username: its domain is not the tenant's",
        ),
        (elsewhere, "record 3: domain: is not the tenant's"),
        (
            user("BOB@corp.example", 4),
            "record 3: username: belongs to another object_id",
        ),
        (
            user("Cid@corp.example", 4),
            "record 3: username: stands in the batch twice",
        ),
        (
            user("eve@corp.example", 3),
            "record 3: object_id: stands in the batch twice",
        ),
    ] {
        let mut batch = good();
        batch.push(bad);
        let refused = world.import(batch).await.unwrap_err();
        assert_eq!(refused.to_string(), said);
        assert_eq!(world.users().await, before, "{said}");
    }
    let crowd = |count: usize| {
        let nth = |n: usize| NewUser {
            object: ObjectId::generate(&SystemRandom),
            ..user(&format!("user{n}@corp.example"), 0)
        };
        (0..count).map(nth).collect::<Vec<_>>()
    };
    let refused = world.import(crowd(IMPORT_MAX + 1)).await.unwrap_err();
    assert_eq!(refused.to_string(), "users: expected at most 1,000 in one call");
    assert_eq!(world.users().await, before);
    let imported = world.import(crowd(IMPORT_MAX)).await.unwrap();
    assert_eq!(imported.created as usize, IMPORT_MAX);
}

#[tokio::test]
async fn users_are_listed_by_name_page_by_page_and_deleted_one_by_one() {
    let world = World::new().await;
    let names = ["ada@corp.example", "bob@corp.example", "cid@corp.example"];
    for (name, object) in names.into_iter().rev().zip(1..) {
        world.create(user(name, object)).await.unwrap();
    }
    let page = async |after: Option<&str>, limit| {
        let after = after.map(|name| name.parse().unwrap());
        let users = world.tenants.users(world.contoso, after, limit).await.unwrap();
        users
            .iter()
            .map(|user| user.username.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2).await, names[..2]);
    assert_eq!(page(Some(names[1]), 2).await, names[2..]);
    assert_eq!(page(Some("bz@corp.example"), 2).await, names[2..]);
    assert_eq!(world.tenants.users(world.fabrikam, None, 9).await.unwrap(), []);

    let delete = async |tenant, name: &str| {
        let deleted = world.tenants.delete_user(tenant, name.parse().unwrap());
        refusal(deleted.await)
    };
    let missing = Err(Refused::NotFound("username"));
    assert_eq!(delete(world.fabrikam, names[0]).await, missing);
    assert_eq!(delete(world.contoso, "eve@corp.example").await, missing);
    assert_eq!(delete(world.contoso, "BOB@corp.example").await, Ok(()));
    assert_eq!(page(None, 9).await, [names[0], names[2]]);
    // Who comes back is somebody new: no budget and no log of before is theirs.
    let first = world.find(names[0]).await.id;
    delete(world.contoso, names[0]).await.unwrap();
    assert_ne!(world.create(user(names[0], 3)).await.unwrap().id, first);
}

fn also(user: NewUser, alternate_id: &str) -> NewUser {
    let alternate_id = Some(alternate_id.parse().unwrap());
    NewUser { alternate_id, ..user }
}

#[tokio::test]
async fn an_alternate_id_names_its_user_while_the_tenant_has_an_attribute_for_it() {
    let world = World::new().await;
    let typed = "Countess@LAB.example";
    let ada = also(user("ada@corp.example", 1), "countess@lab.example");
    let ada = world.create(ada).await.unwrap();
    let set = async |attribute: Option<&str>| {
        let change = TenantChange {
            alternate_id_attribute: Some(attribute.map(|name| name.parse().unwrap())),
            ..TenantChange::default()
        };
        let changed = world.tenants.update(world.contoso, change).await.unwrap();
        assert!(changed.tell_locked, "the rest stays");
    };
    let nobody = |found| matches!(found, Resolved::NoUser(..));
    assert!(nobody(world.resolve("contoso", typed).await));
    set(Some("mail")).await;
    for name in [typed, "ada@corp.example"] {
        let Resolved::User(tenant, found) = world.resolve("contoso", name).await else {
            panic!("{name}");
        };
        assert_eq!(found, ada);
        assert_eq!(tenant.alternate_id_attribute.unwrap().as_str(), "mail");
    }
    set(None).await;
    assert!(
        nobody(world.resolve("contoso", typed).await),
        "also if it was remembered"
    );
    set(Some("mail")).await;
    // An import without it takes it away, and it is free for others.
    world.import(vec![user("ada@corp.example", 1)]).await.unwrap();
    assert!(nobody(world.resolve("contoso", typed).await));
    let bob = also(user("bob@corp.example", 2), "countess@lab.example");
    world.import(vec![bob]).await.unwrap();
    assert_eq!(world.find(typed).await.username.as_str(), "bob@corp.example");
}

#[tokio::test]
async fn an_alternate_id_of_one_user_is_no_name_of_another() {
    let world = World::new().await;
    let ada = also(user("ada@corp.example", 1), "countess@lab.example");
    world.create(ada.clone()).await.unwrap();
    for (bad, field) in [
        (user("countess@lab.example", 2), "username"),
        (
            also(user("bob@corp.example", 2), "countess@lab.example"),
            "alternate_id",
        ),
        (
            also(user("bob@corp.example", 2), "ada@corp.example"),
            "alternate_id",
        ),
    ] {
        let refused = world.create(bad.clone()).await.unwrap_err();
        assert_eq!(refused, Refused::Exists(field));
        let refused = world.import(vec![bad]).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("record 1: {field}: belongs to another object_id")
        );
    }
    // Names and alternate ids may be swapped in one import.
    let swapped = also(user("countess@lab.example", 1), "ada@corp.example");
    world.import(vec![swapped]).await.unwrap();
    world.import(vec![ada]).await.unwrap();
    let kept = refusal(
        world
            .tenants
            .delete_domain(world.contoso, domain("lab.example"))
            .await,
    );
    assert_eq!(kept, Err(Refused::DomainHasUsers));
}

#[tokio::test]
async fn a_name_that_nobody_has_is_one_of_the_directory_whose_users_have_such_names() {
    let world = World::new().await;
    let asked = async |typed: &str| match world.resolve("contoso", typed).await {
        Resolved::NoUser(_, domain) => domain.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        asked("nobody@corp.example").await,
        "corp.example",
        "nobody is anywhere"
    );
    let ada = NewUser {
        domain: domain("lab.example"),
        ..also(user("ada@lab.example", 1), "ada@corp.example")
    };
    world.create(ada).await.unwrap();
    assert_eq!(asked("nobody@corp.example").await, "lab.example");
    world.create(user("bob@corp.example", 2)).await.unwrap();
    assert_eq!(asked("nobody@corp.example").await, "corp.example");
    assert_eq!(asked("nobody@lab.example").await, "lab.example");
}
