//! The pages: two steps and an outcome, plain HTML that works without scripts.
//!
//! A posted form is taken from our own page alone: `tower-http`'s check refuses it where the browser
//! says in `sec-fetch-site` that another site made it post, or, in browsers older than that header,
//! where `origin` is not this host. Old browsers that hide their origin (they get `no-referrer`) are
//! refused as well. A request with neither header does not come from a browser of the last years but
//! from a programme, which nobody can make send somebody else's request: it is taken.

use std::any::Any;
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use postern_kit::clock;
use postern_kit::serve::Peer;
use postern_proto::names::{TenantName, Username};
use tonic::Status;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::csrf::{CsrfLayer, ProtectionError};

use super::form::{self, Form, FormRefused};
use super::style;
use super::view::{self, Alert, View};
use crate::sign_in::{Entry, Input, SignsIn};

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage;

#[derive(Template)]
#[template(path = "username.html")]
struct UsernamePage<'a> {
    tenant: &'a TenantName,
    typed: &'a str,
    error: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage<'a> {
    tenant: &'a TenantName,
    typed: &'a str,
    alert: Option<&'a Alert>,
}

#[derive(Template)]
#[template(path = "notice.html")]
struct NoticePage<'a> {
    tenant: &'a TenantName,
    typed: &'a str,
    title: &'a str,
    alert: &'a Alert,
}

#[derive(Template)]
#[template(path = "signed_in.html")]
struct SignedInPage<'a> {
    typed: &'a str,
    code: u32,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    title: &'a str,
    text: &'a str,
}

const NOT_A_NAME: &str = "Enter your whole username, such as name@example.com.";

/// The pages and the style sheet; also what is answered where there is no page.
pub(super) fn router(sign_in: Arc<dyn SignsIn>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/t/{tenant}/sign-in", get(ask).post(submit))
        .route(style::path(), get(style::serve))
        .fallback(nowhere)
        .method_not_allowed_fallback(async || problem(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(sign_in)
        .layer(CsrfLayer::new().with_rejection_response(foreign))
        .layer(CatchPanicLayer::custom(panicked))
}

/// Where there is no page. A programme that calls what is not there is told so in its own terms.
async fn nowhere(headers: HeaderMap) -> Response {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("application/grpc")) {
        return Status::unimplemented("no such call").into_http();
    }
    problem(StatusCode::NOT_FOUND)
}

async fn home() -> Response {
    page(StatusCode::OK, &HomePage)
}

/// First step: who?
async fn ask(path: Result<Path<String>, PathRejection>) -> Response {
    match tenant(path) {
        Some(tenant) => ask_username(&tenant, "", None),
        None => problem(StatusCode::NOT_FOUND),
    }
}

/// From the first step to the second, and from the second to the outcome.
async fn submit(
    State(sign_in): State<Arc<dyn SignsIn>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let Some(tenant) = tenant(path) else {
        return problem(StatusCode::NOT_FOUND);
    };
    let Some(peer) = request.extensions().get::<Peer>().cloned() else {
        tracing::error!("a request without its peer: the server is put together wrongly");
        return problem(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let Form { username, password } = match form::read(request).await {
        Ok(form) => form,
        Err(refused) => return problem(status(refused)),
    };
    let received = clock::monotonic();
    if username.parse::<Username>().is_err() {
        return ask_username(&tenant, &username, Some(NOT_A_NAME));
    }
    let Some(password) = password else {
        return ask_password(&tenant, &username, None);
    };
    let answer = sign_in
        .run(Input {
            received,
            tenant: tenant.clone(),
            username: username.clone(),
            password,
            entry: Entry::Page,
            source: peer.addr.ip().to_canonical(),
            deadline: None,
        })
        .await;
    match view::view(&answer) {
        View::SignedIn => {
            let code = answer.outcome.code();
            let typed = username.trim();
            page(StatusCode::OK, &SignedInPage { typed, code })
        }
        View::Again(alert) => ask_password(&tenant, &username, Some(&alert)),
        View::Notice(title, alert) => notice(&tenant, &username, title, &alert),
    }
}

fn tenant(path: Result<Path<String>, PathRejection>) -> Option<TenantName> {
    path.ok()?.parse().ok()
}

fn ask_username(tenant: &TenantName, typed: &str, error: Option<&str>) -> Response {
    let typed = typed.trim();
    page(StatusCode::OK, &UsernamePage { tenant, typed, error })
}

fn ask_password(tenant: &TenantName, typed: &str, alert: Option<&Alert>) -> Response {
    let typed = typed.trim();
    let content = PasswordPage { tenant, typed, alert };
    let response = page(alert.map_or(StatusCode::OK, |alert| alert.status), &content);
    with_retry_after(response, alert)
}

fn notice(tenant: &TenantName, typed: &str, title: &str, alert: &Alert) -> Response {
    let content = NoticePage {
        tenant,
        typed: typed.trim(),
        title,
        alert,
    };
    with_retry_after(page(alert.status, &content), Some(alert))
}

fn with_retry_after(mut response: Response, alert: Option<&Alert>) -> Response {
    if let Some(wait) = alert.and_then(|alert| alert.retry_after) {
        let seconds = HeaderValue::from(view::seconds(wait));
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

fn page(status: StatusCode, content: &impl Template) -> Response {
    match content.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn status(refused: FormRefused) -> StatusCode {
    match refused {
        FormRefused::OtherType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        FormRefused::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        FormRefused::Incomplete => StatusCode::REQUEST_TIMEOUT,
        FormRefused::Malformed => StatusCode::BAD_REQUEST,
    }
}

/// A plain page for what is no page of ours.
fn problem(status: StatusCode) -> Response {
    let (title, text) = match status {
        StatusCode::NOT_FOUND => (
            "Page not found",
            "Check the address. A sign-in page's looks like /t/your-organisation/sign-in, in lower case.",
        ),
        StatusCode::METHOD_NOT_ALLOWED => ("Not possible", "This page can be opened, not called like this."),
        StatusCode::FORBIDDEN => (
            "Refused",
            "The form was not sent from our own page. Open the sign-in page yourself, in an up-to-date browser.",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => (
            "Too large",
            "The form was larger than 16 KiB. Go back and enter a shorter name and password.",
        ),
        StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::BAD_REQUEST => (
            "Not understood",
            "What was sent is not our form. Open the sign-in page again.",
        ),
        StatusCode::REQUEST_TIMEOUT => (
            "Not received",
            "The form did not arrive as a whole. Go back and try again.",
        ),
        _ => ("Our mistake", "Something went wrong here. Try again later."),
    };
    page(status, &ProblemPage { title, text })
}

fn foreign(_: ProtectionError) -> Response {
    problem(StatusCode::FORBIDDEN)
}

fn panicked(_: Box<dyn Any + Send>) -> http::Response<Body> {
    tracing::error!("a page panicked");
    problem(StatusCode::INTERNAL_SERVER_ERROR)
}
