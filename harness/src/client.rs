//! The two ways in, as their users have them: a browser that fills in the page's forms, and a
//! programme that calls `SignIn`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_kit::clock::{Clock, SystemClock};
use postern_kit::dial::Connector;
use postern_kit::net::{Net, Sockets};
use postern_kit::tls::{self, Certificate, ServerTrust, Versions};
use postern_proto::wire::signin::sign_in_client::SignInClient;
use postern_proto::wire::signin::{SignInRequest, SignInResponse};
use reqwest::StatusCode;
use tonic::transport::{Channel, Endpoint};

/// Longest wait for an answer: the sign-in's own deadline of 15 s and room for the way.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(20);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Certificates or names do not fit.
    #[error("cannot set up TLS")]
    Tls(#[from] tls::TlsError),
    /// The address is none.
    #[error("cannot set up the connection")]
    Connection(#[from] io::Error),
    /// The page did not answer.
    #[error("page does not answer")]
    Page(#[from] reqwest::Error),
    /// The page has another shape than a sign-in page's.
    #[error("page is not the expected one: {0}")]
    UnexpectedPage(&'static str),
    /// The call did not get through.
    #[error("call fails")]
    Transport(#[from] tonic::transport::Error),
    /// The call was refused.
    #[error("call is refused")]
    Refused(#[from] tonic::Status),
}

/// A browser without scripts and cookies.
#[derive(Clone, Debug)]
pub struct Browser {
    http: reqwest::Client,
    origin: String,
}

/// A page as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// HTTP status.
    pub status: StatusCode,
    /// The document.
    pub html: String,
}

impl Page {
    /// The number of the outcome that the page shows; `None` on a page that shows none.
    pub fn code(&self) -> Option<u32> {
        self.attribute("data-code").and_then(|code| code.parse().ok())
    }

    /// What stands in the page's heading.
    pub fn heading(&self) -> Option<&str> {
        let (_, rest) = self.html.split_once("<h1>")?;
        rest.split_once("</h1>").map(|(heading, _)| heading)
    }

    /// The value of the first attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.html.split_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value)
    }
}

impl Browser {
    /// For the site `localhost` at `address` whose certificate one of `roots` signed.
    ///
    /// # Errors
    /// [`ClientError::Tls`] if the roots are unusable.
    pub fn new(address: SocketAddr, roots: Vec<Certificate>) -> Result<Self, ClientError> {
        let trust = ServerTrust::Roots(roots);
        let tls = tls::client(
            trust,
            None,
            Versions::Tls12And13,
            &["h2", "http/1.1"],
            Arc::new(SystemClock),
        )?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(Arc::unwrap_or_clone(tls))
            .resolve("localhost", address)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_WAIT_MAX)
            .build()?;
        Ok(Self {
            http,
            origin: format!("https://localhost:{}", address.port()),
        })
    }

    /// The address of a tenant's sign-in page.
    pub fn sign_in_address(&self, tenant: &str) -> String {
        format!("{}/t/{tenant}/sign-in", self.origin)
    }

    /// Fetches a page of the site.
    ///
    /// # Errors
    /// [`ClientError::Page`] if it does not answer.
    pub async fn get(&self, path: &str) -> Result<Page, ClientError> {
        read(self.http.get(format!("{}{path}", self.origin)).send().await?).await
    }

    /// Posts a form of the tenant's sign-in page as its browser would.
    ///
    /// # Errors
    /// [`ClientError::Page`] if it does not answer.
    pub async fn post(&self, tenant: &str, form: &[(&str, &str)]) -> Result<Page, ClientError> {
        let request = self
            .http
            .post(self.sign_in_address(tenant))
            .header("origin", &self.origin)
            .header("sec-fetch-site", "same-origin")
            .form(form);
        read(request.send().await?).await
    }

    /// Opens the page, types the username, presses Next, types the password, presses Sign in.
    ///
    /// # Errors
    /// [`ClientError`] if a step does not answer or shows another page.
    pub async fn sign_in(&self, tenant: &str, username: &str, password: &str) -> Result<Page, ClientError> {
        let first = self.get(&format!("/t/{tenant}/sign-in")).await?;
        if !first.html.contains("name=\"username\"") {
            return Err(ClientError::UnexpectedPage("no field for the username"));
        }
        let second = self.post(tenant, &[("username", username)]).await?;
        if !second.html.contains("name=\"password\"") {
            return Err(ClientError::UnexpectedPage("no field for the password"));
        }
        self.post(tenant, &[("username", username), ("password", password)])
            .await
    }
}

async fn read(response: reqwest::Response) -> Result<Page, ClientError> {
    Ok(Page {
        status: response.status(),
        html: response.text().await?,
    })
}

/// Pings on a programme's connection while calls are under way, and the time to answer one: a
/// connection that a firewall forgot is given up before the calls on it are.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_WAIT_MAX: Duration = Duration::from_secs(5);

/// Where a programme finds the cloud, and whom it takes for it.
#[derive(Clone, Debug)]
pub struct Site {
    /// The way there.
    pub net: Arc<dyn Net>,
    /// Judges certificates.
    pub clock: Arc<dyn Clock>,
    /// The host, which must stand in the certificate.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who may have signed the certificate.
    pub roots: Vec<Certificate>,
}

/// A registered programme.
#[derive(Clone, Debug)]
pub struct Programme {
    client: SignInClient<Channel>,
    authorization: String,
}

impl Programme {
    /// For the site `localhost` at `address`; client id and secret as administration gave them.
    ///
    /// # Errors
    /// [`ClientError`] if the roots are unusable. Connects with the first call.
    pub fn new(
        address: SocketAddr,
        roots: Vec<Certificate>,
        id: &str,
        secret: &str,
    ) -> Result<Self, ClientError> {
        let site = Site {
            net: Arc::new(Sockets),
            clock: Arc::new(SystemClock),
            host: "localhost".to_owned(),
            port: address.port(),
            roots,
        };
        Self::at(&site, id, secret)
    }

    /// For any site.
    ///
    /// # Errors
    /// [`ClientError`] if the roots or the host are unusable. Connects with the first call.
    pub fn at(site: &Site, id: &str, secret: &str) -> Result<Self, ClientError> {
        let trust = ServerTrust::Roots(site.roots.clone());
        let tls = tls::client(trust, None, Versions::Tls13, &["h2"], site.clock.clone())?;
        let connector = Connector::new(site.net.clone(), tls, &site.host, site.port)?;
        let channel = Endpoint::from_static("http://localhost")
            .timeout(ANSWER_WAIT_MAX)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WAIT_MAX)
            // Otherwise h2 remembers given-up streams for a second of the real clock, which simulations do not have.
            .http2_max_concurrent_reset_streams(0)
            .connect_with_connector_lazy(connector);
        let authorization = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        Ok(Self {
            client: SignInClient::new(channel),
            authorization,
        })
    }

    /// Calls `SignIn`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the status.
    pub async fn sign_in(&self, username: &str, password: &str) -> Result<SignInResponse, ClientError> {
        let mut request = tonic::Request::new(SignInRequest {
            username: username.to_owned(),
            password: password.to_owned(),
        });
        if let Ok(value) = self.authorization.parse() {
            request.metadata_mut().insert("authorization", value);
        }
        Ok(self.client.clone().sign_in(request).await?.into_inner())
    }
}
