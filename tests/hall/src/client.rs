//! How the portal asks the approval back end.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::case::{Case, Filing};

const ANSWER: Duration = Duration::from_secs(4);
const LARGEST_ANSWER: usize = 1024 * 1024;

/// Why the back end gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configured address and path make no address.
    #[error("the back end's address is not valid")]
    Address(#[source] axum::http::Error),
    /// No connection, or it broke.
    #[error("the back end could not be reached")]
    Reach(#[source] hyper_util::client::legacy::Error),
    /// It took too long.
    #[error("the back end did not answer in time")]
    TimedOut,
    /// The answer broke off or was too large.
    #[error("the back end's answer could not be read")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It refused or failed.
    #[error("the back end answered {0}")]
    Refused(StatusCode),
    /// The answer is not what was agreed.
    #[error("the back end's answer could not be understood")]
    Understand(#[from] serde_json::Error),
}

/// A client of the approval back end.
pub struct Approval {
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Approval {
    /// A client for the back end at `base`.
    pub fn new(base: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(1)));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(ANSWER).build(connector);
        Self { base: base.trim_end_matches('/').to_owned(), client }
    }

    /// The newest cases.
    pub async fn list(&self) -> Result<Vec<Case>, Error> {
        Ok(serde_json::from_slice(&self.ask(Method::GET, "/cases?limit=20", Bytes::new()).await?)?)
    }

    /// Files a case.
    pub async fn file(&self, filing: &Filing) -> Result<Case, Error> {
        let body = Bytes::from(serde_json::to_vec(filing)?);
        Ok(serde_json::from_slice(&self.ask(Method::POST, "/cases", body).await?)?)
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Error> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(Error::Address)?;
        tokio::time::timeout(ANSWER, self.exchange(request)).await.map_err(|_| Error::TimedOut)?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Bytes, Error> {
        let response = self.client.request(request).await.map_err(Error::Reach)?;
        let status = response.status();
        if !status.is_success() {
            return Err(Error::Refused(status));
        }
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await.map_err(Error::Read)?;
        Ok(body.to_bytes())
    }
}
