//! The other end of the control port: one connection for each call.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use postern_kit::Seams;
use postern_kit::secret::Token256;
use serde_json::Value;

/// Largest answer: ten thousand binds take 3 MB, and an export of a population of 100,000 about 100.
const ANSWER_BYTES_MAX: usize = 1 << 28;
/// Longer than the port itself waits.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The port cannot be reached.
    #[error("the control port at {addr} cannot be reached")]
    Connect {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The connection ended, or what came is no answer.
    #[error("the control port did not answer: {0}")]
    Answer(String),
    /// The port says no.
    #[error("refused ({status}): {}", mistakes.join("; "))]
    Refused {
        /// HTTP's status.
        status: u16,
        /// What is wrong, each with its field.
        mistakes: Vec<String>,
    },
}

/// A control port and its token.
///
/// ```no_run
/// # async fn example(token: postern_kit::secret::Token256) -> Result<(), Box<dyn std::error::Error>> {
/// use postern_directory_mock::control::Client;
/// use serde_json::json;
///
/// let client = Client::new("127.0.0.1:3880".parse()?, token, postern_kit::Seams::real());
/// client.call("POST", "/clock", Some(&json!({ "forward_s": 1860 }))).await?;
/// let binds = client.call("GET", "/journal?account=alice&controller=dc2", None).await?;
/// assert_eq!(binds["outcomes"]["refused 52e"], 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    addr: SocketAddr,
    token: Token256,
    seams: Seams,
}

impl Client {
    /// Nothing is connected yet.
    pub fn new(addr: SocketAddr, token: Token256, seams: Seams) -> Self {
        Self { addr, token, seams }
    }

    /// One request and its answer as JSON.
    ///
    /// # Errors
    /// [`ClientError`].
    ///
    /// # Cancellation
    /// What was asked may have been done.
    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, ClientError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = self.text(method, path, body).await?;
        serde_json::from_str(&answer).map_err(|error| ClientError::Answer(error.to_string()))
    }

    /// One request and its answer as text.
    ///
    /// # Errors
    /// [`ClientError`].
    ///
    /// # Cancellation
    /// What was asked may have been done.
    pub async fn text(&self, method: &str, path: &str, body: String) -> Result<String, ClientError> {
        let odd = |error: &dyn std::fmt::Display| ClientError::Answer(error.to_string());
        let method = Method::from_bytes(method.as_bytes()).map_err(|error| odd(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.addr.to_string())
            .header(
                AUTHORIZATION,
                format!("Bearer {}", self.token.plaintext_text().as_str()),
            )
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| odd(&error))?;
        match tokio::time::timeout(ANSWER_WAIT_MAX, self.send(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Answer("it took too long".to_owned())),
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<String, ClientError> {
        let odd = |error: &dyn std::fmt::Display| ClientError::Answer(error.to_string());
        let addr = self.addr;
        let host = addr.ip().to_string();
        let connect = self.seams.net.connect(&host, addr.port());
        let io = connect
            .await
            .map_err(|source| ClientError::Connect { addr, source })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
            .await
            .map_err(|error| odd(&error))?;
        self.seams.tasks.spawn("control client", async move {
            // How it ends is what the call sees.
            let _ = connection.await;
        });
        let answer = sender.send_request(request).await.map_err(|error| odd(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| odd(&error))?.to_bytes();
        let text = String::from_utf8(body.to_vec()).map_err(|error| odd(&error))?;
        if status == StatusCode::OK {
            return Ok(text);
        }
        let told: Value = serde_json::from_str(&text).unwrap_or_default();
        let mistakes = told["mistakes"].as_array().cloned().unwrap_or_default();
        let mistakes = mistakes.iter().filter_map(Value::as_str).map(str::to_owned);
        Err(ClientError::Refused {
            status: status.as_u16(),
            mistakes: mistakes.collect(),
        })
    }
}
