use super::*;
use http::Method;

const PATH: &str = "/t/acme/sign-in";

fn header<'a>(got: &'a Got, name: &str) -> &'a str {
    got.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

fn check_headers(got: &Got, what: &str) {
    let policy = header(got, "content-security-policy");
    for part in [
        "default-src 'none'",
        "style-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{what}: {policy}");
    }
    for (name, expected) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("strict-transport-security", "max-age=31536000"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(header(got, name), expected, "{what}: {name}");
    }
    assert!(!header(got, "permissions-policy").is_empty(), "{what}");
    assert_eq!(header(got, "set-cookie"), "", "{what}");
}

#[tokio::test]
async fn the_two_steps_lead_to_signed_in() {
    let world = World::new().await;
    world.fake.will(Outcome::SignedIn(USER), None);

    let first = world.get(PATH).await;
    assert_eq!(first.status, StatusCode::OK);
    for part in [
        "name=\"username\"",
        "autocomplete=\"username\"",
        "autofocus",
        ">Next</button>",
        "lang=\"en\"",
    ] {
        assert!(first.body.contains(part), "{part} not in {}", first.body);
    }
    assert!(!first.body.contains("type=\"password\""));

    let second = world.post(PATH, &form("Ada@corp.example", None)).await;
    assert_eq!(second.status, StatusCode::OK);
    for part in [
        "name=\"password\" type=\"password\"",
        "autocomplete=\"current-password\"",
        "name=\"username\" type=\"text\" value=\"Ada@corp.example\"",
        ">Sign in</button>",
        "href=\"/t/acme/sign-in\"",
    ] {
        assert!(second.body.contains(part), "{part} not in {}", second.body);
    }
    assert_eq!(
        world.fake.seen(),
        [],
        "nobody is asked before there is a password"
    );

    let third = world.sign_in("acme", "Ada@corp.example").await;
    assert_eq!(third.status, StatusCode::OK);
    assert!(
        third.body.contains("data-code=\"0\">You are signed in."),
        "{}",
        third.body
    );
    let expected = Seen {
        tenant: "acme".to_owned(),
        username: "Ada@corp.example".to_owned(),
        password: PASSWORD.to_owned(),
        entry: Entry::Page,
        source: FROM.ip(),
        timeout: None,
    };
    assert_eq!(world.fake.seen(), [expected]);
    for got in [first, second, third] {
        check_headers(&got, "step");
        assert_eq!(header(&got, "cache-control"), "no-store");
        assert_eq!(header(&got, "content-type"), "text/html; charset=utf-8");
    }
}

#[tokio::test]
async fn each_outcome_has_its_code_and_says_what_to_do() {
    let world = World::new().await;
    for (outcome, sentence, status) in [
        (Outcome::Refused, "The username or password is wrong.", 200),
        (Outcome::PasswordExpired, "has expired", 200),
        (Outcome::MustChange, "must be changed", 200),
        (Outcome::Disabled, "Ask your administrator to enable it.", 200),
        (
            Outcome::AccountExpired,
            "Ask your administrator to extend it.",
            200,
        ),
        (Outcome::LogonHours, "at certain hours only", 200),
        (Outcome::Workstation, "from certain computers only", 200),
        (Outcome::Locked, "account is locked", 200),
        (Outcome::TooManyAttempts, "Wait 2 minutes, then try again.", 429),
        (Outcome::Busy, "Wait 2 minutes, then try again.", 429),
        (Outcome::Unavailable, "Wait 2 minutes, then try again.", 503),
    ] {
        world.fake.will(outcome, Some(Duration::from_millis(90_001)));
        let got = world.sign_in("acme", "ada@corp.example").await;
        let code = format!("role=\"alert\" data-code=\"{}\"", outcome.code());
        assert!(got.body.contains(&code), "{outcome:?}: {}", got.body);
        let text = got.body.replace("&#39;", "'");
        assert!(text.contains(sentence), "{outcome:?}: {text}");
        assert!(got.body.contains("ada@corp.example"), "{outcome:?}");
        assert!(!got.body.contains("signed in."), "{outcome:?}");
        assert_eq!(got.status, status, "{outcome:?}");
        let retry = if status == 200 { "" } else { "91" };
        assert_eq!(header(&got, "retry-after"), retry, "{outcome:?}");
        check_headers(&got, "outcome");
    }
    world.fake.will(Outcome::Unavailable, None);
    let got = world.sign_in("acme", "ada@corp.example").await;
    assert_eq!(header(&got, "retry-after"), "30");
    let wrong = "username or password is wrong";
    assert!(!got.body.contains(wrong), "unavailable is never wrong");
}

#[tokio::test]
async fn unknown_tenants_domains_and_users_look_like_a_wrong_password() {
    let world = World::new().await;
    let known = "ada@corp.example";
    let mut answers = Vec::new();
    for (tenant, name) in [
        ("acme", known),
        ("acme", "bob@corp.example"),
        ("acme", "ada@other.example"),
        ("nobody", known),
    ] {
        let mut pages = Vec::new();
        let path = format!("/t/{tenant}/sign-in");
        for got in [
            world.get(&path).await,
            world.post(&path, &form(name, None)).await,
            world.sign_in(tenant, name).await,
        ] {
            let body = got.body.replace(tenant, "TENANT").replace(name, "NAME");
            pages.push((got.status, got.headers, body));
        }
        answers.push(pages);
    }
    // The lengths in the headers differ with the names.
    for pages in &mut answers {
        for (_, headers, _) in pages {
            headers.remove("content-length");
        }
    }
    assert!(answers.iter().all(|pages| *pages == answers[0]));
}

#[tokio::test]
async fn what_cannot_be_a_name_is_said_beside_the_field() {
    let world = World::new().await;
    let long = format!("{}@corp.example", "a".repeat(600));
    for name in ["", "ada", "a b@corp.example", "ada@-", long.as_str()] {
        for password in [None, Some(PASSWORD)] {
            let got = world.post(PATH, &form(name, password)).await;
            assert_eq!(got.status, StatusCode::OK);
            assert!(got.body.contains("aria-invalid"), "{}", got.body);
            assert!(got.body.contains("such as name@example.com"), "{}", got.body);
            assert!(got.body.contains(&format!("value=\"{name}\"")), "{}", got.body);
            assert!(!got.body.contains(PASSWORD));
        }
    }
    assert_eq!(world.fake.seen(), []);
}

#[tokio::test]
async fn a_nasty_name_is_text_everywhere_and_the_password_is_nowhere() {
    let world = World::new().await;
    let nasty = "\"><script>alert(1)</script>'&{{x}}@corp.example";
    let mut all = vec![
        world.post(PATH, &form(nasty, None)).await,
        world.post(PATH, &form("<b onload='x'>", None)).await,
    ];
    for outcome in OUTCOMES {
        world.fake.will(outcome, None);
        all.push(world.sign_in("acme", nasty).await);
    }
    *world.fake.answer.lock().unwrap() = None;
    all.push(world.sign_in("acme", nasty).await);
    for got in all {
        for raw in ["<script", "<b ", "\"><scr", "'&{"] {
            assert!(!got.body.contains(raw), "{raw} in {}", got.body);
        }
        assert!(!got.body.contains(PASSWORD));
        assert!(!format!("{:?}", got.headers).contains(PASSWORD));
        assert!(!got.body.contains("Staple"));
    }
}

#[tokio::test]
async fn every_mistake_gets_a_plain_page_with_all_headers() {
    let world = World::new().await;
    let too_large = form("ada@corp.example", Some(&"x".repeat(17_000)));
    let of = |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path);
        request.body(Body::empty()).unwrap()
    };
    let posted = |form: &str| {
        form_request(PATH, form)
            .body(Body::from(form.to_owned()))
            .unwrap()
    };
    let mut unsized_body = posted(&too_large);
    unsized_body.headers_mut().remove("content-length");
    let mut json = posted("username=a");
    json.headers_mut()
        .insert("content-type", "application/json".parse().unwrap());
    for (request, status) in [
        (of(Method::GET, "/nothing"), 404),
        (of(Method::POST, "/nothing"), 404),
        (of(Method::GET, "/t/Not_A_Slug/sign-in"), 404),
        (of(Method::GET, "/t/%ff/sign-in"), 404),
        (of(Method::GET, "/t//sign-in"), 404),
        (of(Method::GET, "/t/acme/sign-in/"), 404),
        (of(Method::GET, "/postern.admin.v1.Admin/CreateTenant"), 404),
        (of(Method::PUT, PATH), 405),
        (of(Method::DELETE, "/"), 405),
        (posted(&too_large), 413),
        (unsized_body, 413),
        (json, 415),
        (of(Method::POST, PATH), 415),
        (posted("password=x"), 400),
        (posted("username=%ff"), 400),
    ] {
        let what = format!("{} {}", request.method(), request.uri());
        let got = world.send(request).await;
        assert_eq!(got.status, status, "{what}");
        assert!(got.body.contains("<h1>"), "{what}: {}", got.body);
        check_headers(&got, &what);
        assert_eq!(header(&got, "cache-control"), "no-store", "{what}");
        assert_eq!(status == 405, !header(&got, "allow").is_empty(), "{what}");
    }
    assert_eq!(world.fake.seen(), []);
}

#[tokio::test]
async fn a_panic_shows_nothing_of_the_inside() {
    let world = World::new().await;
    *world.fake.answer.lock().unwrap() = None;
    let got = world.sign_in("acme", "ada@corp.example").await;
    assert_eq!(got.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(got.body.contains("Something went wrong here."), "{}", got.body);
    assert!(!got.body.contains("on purpose"), "{}", got.body);
    check_headers(&got, "panic");
}

#[tokio::test]
async fn a_form_from_another_site_is_refused() {
    let world = World::new().await;
    let form = form("ada@corp.example", Some(PASSWORD));
    for (headers, allowed) in [
        (&[("sec-fetch-site", "cross-site")][..], false),
        (&[("sec-fetch-site", "same-site")], false),
        (
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://sign-in.example"),
            ],
            false,
        ),
        (&[("origin", "https://evil.example")], false),
        (&[("origin", "null")], false),
        (&[("sec-fetch-site", "same-origin"), ("origin", "null")], true),
        (&[("sec-fetch-site", "none")], true),
        (&[("origin", "https://sign-in.example")], true),
        (&[], true),
    ] {
        let mut request = form_request(PATH, &form);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let got = world.send(request.body(Body::from(form.clone())).unwrap()).await;
        let status = if allowed {
            StatusCode::OK
        } else {
            StatusCode::FORBIDDEN
        };
        assert_eq!(got.status, status, "{headers:?}");
        assert_eq!(world.fake.seen().len(), usize::from(allowed), "{headers:?}");
        check_headers(&got, "foreign");
    }
}

#[tokio::test]
async fn the_style_sheet_may_be_kept_and_is_the_only_thing_loaded() {
    let world = World::new().await;
    let home = world.get("/").await;
    assert_eq!(home.status, StatusCode::OK);
    check_headers(&home, "home");
    let href = home
        .body
        .split("href=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let style = world.get(href).await;
    assert_eq!(style.status, StatusCode::OK);
    assert_eq!(header(&style, "content-type"), "text/css; charset=utf-8");
    assert_eq!(
        header(&style, "cache-control"),
        "public, max-age=31536000, immutable"
    );
    check_headers(&style, "style");
    for page in [home, world.get(PATH).await] {
        for loading in ["<script", "<img", "<iframe", "style=", "@import", "http://"] {
            assert!(!page.body.contains(loading), "{loading}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_form_that_does_not_arrive_is_given_up() {
    let router = Router::new().route(
        "/",
        axum::routing::post(
            async |request: Request<Body>| match super::super::form::read(request).await {
                Err(super::super::form::FormRefused::Incomplete) => "given up",
                _ => "read",
            },
        ),
    );
    let stalled = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let request = form_request("/", "username=a").body(stalled).unwrap();
    let answer = router.oneshot(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "given up");
}
