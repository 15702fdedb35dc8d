//! Names pass from one object to another, a password check must not: what changes in a directory
//! between two sign-ins. Simulated only, since nobody else's users are renamed here.

use postern_directory_mock::{DirectoryHandle, Flavour, User};
use postern_kit::net::LdapProtection;
use postern_proto::verdict::{NotAsked, Unavailable, Verdict};

use crate::bench::{Arm, Bench, Form, PASSWORD, Person, Which};

const FORMS: [Form; 5] = [Form::Guid, Form::Upn, Form::Dn, Form::Template, Form::Search];

async fn bench(form: Form) -> Bench {
    let arm = Arm {
        directory: Which::Simulated(Flavour::Samba),
        protection: LdapProtection::Ldaps,
        form,
    };
    Bench::open(arm).await.unwrap()
}

fn directory(bench: &Bench) -> &DirectoryHandle {
    bench.server().unwrap().directory()
}

#[tokio::test]
async fn a_renamed_user_is_still_the_same_object() {
    for form in FORMS {
        let bench = bench(form).await;
        let alice = bench.person("alice").await;
        let guid = directory(&bench).guid_of("alice").unwrap();
        directory(&bench)
            .rename(guid, "anna", Some("anna@corp.example.test"))
            .unwrap();
        let by_old_name = match form {
            Form::Guid => Verdict::Accepted,
            Form::Upn | Form::Dn | Form::Template => Verdict::Wrong,
            Form::Search => Verdict::NotAsked(NotAsked::NoEntry),
        };
        assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, by_old_name, "{form:?}");
        let anna = Person {
            name: bench.name("anna"),
            ..alice
        };
        assert_eq!(
            bench.ask(&anna, PASSWORD).await.verdict,
            Verdict::Accepted,
            "{form:?}"
        );
    }
}

#[tokio::test]
async fn a_successor_of_the_same_name_is_somebody_else() {
    for form in FORMS {
        let bench = bench(form).await;
        let alice = bench.person("alice").await;
        assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, Verdict::Accepted);
        let guid = directory(&bench).guid_of("alice").unwrap();
        directory(&bench).remove(guid).unwrap();
        let successor = User::new("alice", PASSWORD).container("OU=Fixture");
        directory(&bench).add(successor).unwrap();
        let expected = match form {
            Form::Guid => Verdict::Wrong,
            Form::Upn | Form::Dn | Form::Template => Verdict::OtherObject,
            Form::Search => Verdict::NotAsked(NotAsked::OtherEntry),
        };
        assert_eq!(bench.ask(&alice, PASSWORD).await.verdict, expected, "{form:?}");
    }
}

/// `sam@domain` binds although the userPrincipalName is another one, and then nobody is found by it.
#[tokio::test]
async fn a_name_that_finds_no_object_accepts_nobody() {
    let bench = bench(Form::Upn).await;
    let user = User::new("u.altupn", PASSWORD).upn("ada@alt.example.test");
    let guid = directory(&bench).add(user).unwrap();
    let by_sam = Person {
        object: postern_proto::ids::ObjectId::from_bytes(guid.into_bytes()),
        name: "u.altupn@corp.example.test".parse().unwrap(),
    };
    let report = bench.ask(&by_sam, PASSWORD).await;
    let unknown = Verdict::Unavailable(Unavailable::ObjectUnknown);
    assert_eq!((report.verdict, report.ldap_result), (unknown, 0));
    let by_upn = Person {
        name: "ada@alt.example.test".parse().unwrap(),
        ..by_sam
    };
    assert_eq!(bench.ask(&by_upn, PASSWORD).await.verdict, Verdict::Accepted);
}
