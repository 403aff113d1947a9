//! Asks a Vault over HTTPS. Owns: connection, certificates, token, and what an answer is. Must never: put a token, or what is
//! sent or comes back, into an error or a log.
//!
//! Token and certificates are read for every request, so what Vault's agent writes anew is used without a restart.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use yunting_plan::vault::{Meaning, meaning};
use zeroize::Zeroizing;

/// Time for one request and its answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of an answer. A key with a thousand versions has 30 KB.
const LARGEST: usize = 256 << 10;

/// Where a Vault is and who asks it.
#[derive(Debug, Clone)]
pub struct Options {
    /// `https://<host>[:<port>]`; `http://` only to an address of this host.
    pub address: String,
    /// File with the token.
    pub token_file: PathBuf,
    /// Certificates (PEM) of the authority of Vault's certificate.
    pub ca: Option<PathBuf>,
    /// Where its transit engine is mounted.
    pub mount: String,
    /// Namespace, where Vault has several.
    pub namespace: Option<String>,
}

/// Why Vault could not be asked, or what it said, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// A file is not there, or holds something else.
    #[error("{path}: {why}; {remedy}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why it cannot be used, without its content.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Nobody answers there.
    #[error(
        "Vault at {address} cannot be reached: {why}; see that it runs and that this host may reach it. It is tried again, and what is mounted stays"
    )]
    Away {
        /// Where.
        address: String,
        /// Why.
        why: String,
    },
    /// It is sealed.
    #[error(
        "Vault at {address} is sealed: its keeper has to unseal it. It is tried again, and what is mounted stays"
    )]
    Sealed {
        /// Where.
        address: String,
    },
    /// The token may not do that.
    #[error(
        "Vault at {address} denies {path} to the token in {token}: it has ended, or its policy lacks that path; the runbook has the policy"
    )]
    Denied {
        /// Where.
        address: String,
        /// What was asked for.
        path: String,
        /// The token's file.
        token: PathBuf,
    },
    /// It said something else.
    #[error("Vault at {address}, asked for {path}: {why}")]
    Answer {
        /// Where.
        address: String,
        /// What was asked for.
        path: String,
        /// What is wrong with its answer.
        why: String,
    },
}

/// What Vault says.
#[derive(Debug)]
pub enum Answer<T> {
    /// What was asked for.
    Data(T),
    /// The engine has no such key.
    NoSuchKey,
    /// The key is there and does not open this.
    DoesNotOpen,
}

/// A Vault.
pub struct Client {
    options: Options,
    host: String,
    port: u16,
    tls: bool,
}

/// An answer with something in it.
#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

/// An answer that says no.
#[derive(Default, Deserialize)]
struct Refused {
    #[serde(default)]
    errors: Vec<String>,
}

/// What becomes of a token that was renewed.
#[derive(Deserialize)]
struct Renewed {
    auth: Lease,
}

#[derive(Deserialize)]
struct Lease {
    lease_duration: u64,
}

/// What goes over a connection, in the clear or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A request's body. It has its room from the beginning: what grows leaves copies behind.
fn text(body: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(4096));
    // Writing to memory does not fail, and every body here is a map of texts and numbers.
    let _ = serde_json::to_writer(&mut *text, body);
    text
}

impl Client {
    /// Reads where it is. Nothing is asked yet.
    pub fn new(options: Options) -> Result<Self, String> {
        let address = options.address.clone();
        let wrong = |why: &str| format!("{address} is no address of a Vault: {why}");
        let uri: http::Uri = options.address.parse().map_err(|_| wrong("write https://<host>:<port>"))?;
        let host = uri.host().ok_or_else(|| wrong("it names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if !matches!(uri.path(), "" | "/") {
            return Err(wrong("it has a path; --vault-mount says where the transit engine is"));
        }
        let tls = match uri.scheme_str() {
            Some("https") if options.ca.is_none() => {
                return Err(wrong("name the authority of its certificate with --vault-ca"));
            }
            Some("https") => true,
            // A token and keys of volumes in the clear leave no host; Vault's agent listens so.
            Some("http") if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) => false,
            _ => return Err(wrong("only https is spoken, and http to an address of this host")),
        };
        let port = uri.port_u16().unwrap_or(8200);
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/' | b'.');
        if options.mount.is_empty() || !options.mount.bytes().all(known) {
            return Err(format!("{:?} is no path of a transit engine", options.mount));
        }
        Ok(Self { options, host, port, tls })
    }

    /// Where it is, for people.
    pub fn address(&self) -> &str {
        &self.options.address
    }

    /// Asks the transit engine for something.
    pub(super) async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Trouble> {
        let answer = self.transit(Method::GET, path, None).await?;
        self.data(path, answer)
    }

    /// Asks the transit engine to do something, and reads what it says.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>, Trouble> {
        let answer = self.transit(Method::POST, path, Some(text(body))).await?;
        self.data(path, answer)
    }

    /// Asks the transit engine to do something.
    pub(super) async fn order(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(), Trouble> {
        match self.transit(method, path, Some(text(body))).await? {
            Answer::Data(_) => Ok(()),
            Answer::NoSuchKey | Answer::DoesNotOpen => Err(self.odd(path, "it has no such key any more")),
        }
    }

    /// Lets the token live on; for how many seconds.
    pub(super) async fn renew(&self) -> Result<u64, Trouble> {
        let path = "auth/token/renew-self";
        match self.exchange(Method::POST, path, Some(text(&serde_json::json!({})))).await? {
            Answer::Data(text) => {
                let renewed: Result<Renewed, _> = serde_json::from_slice(&text);
                renewed.map(|r| r.auth.lease_duration).map_err(|_| self.odd(path, "its answer has no lease"))
            }
            Answer::NoSuchKey | Answer::DoesNotOpen => Err(self.odd(path, "it cannot renew tokens")),
        }
    }

    async fn transit(
        &self,
        method: Method,
        path: &str,
        body: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Answer<Zeroizing<Vec<u8>>>, Trouble> {
        self.exchange(method, &format!("{}/{path}", self.options.mount), body).await
    }

    fn data<T: DeserializeOwned>(
        &self,
        path: &str,
        answer: Answer<Zeroizing<Vec<u8>>>,
    ) -> Result<Answer<T>, Trouble> {
        Ok(match answer {
            Answer::Data(text) => {
                // The parser's words could quote what came.
                let envelope: Envelope<T> = serde_json::from_slice(&text)
                    .map_err(|_| self.odd(path, "its answer is not understood"))?;
                Answer::Data(envelope.data)
            }
            Answer::NoSuchKey => Answer::NoSuchKey,
            Answer::DoesNotOpen => Answer::DoesNotOpen,
        })
    }

    pub(super) fn odd(&self, path: &str, why: &str) -> Trouble {
        let address = self.options.address.clone();
        Trouble::Answer { address, path: path.to_owned(), why: why.to_owned() }
    }

    /// One request and what its answer means.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Answer<Zeroizing<Vec<u8>>>, Trouble> {
        let late = |_| self.away(&format!("nothing came within {} s", TIMEOUT.as_secs()));
        let sent = tokio::time::timeout(TIMEOUT, self.send(method, path, body));
        let (code, text) = sent.await.map_err(late)??;
        if (200..300).contains(&code) {
            return Ok(Answer::Data(text));
        }
        let errors = serde_json::from_slice::<Refused>(&text);
        // What is no answer of Vault's says nothing of its keys.
        let errors = errors.map_or_else(|_| vec!["not in Vault's words".to_owned()], |r| r.errors);
        let address = self.options.address.clone();
        Err(match meaning(code, &errors) {
            Meaning::NoSuchKey => return Ok(Answer::NoSuchKey),
            Meaning::DoesNotOpen => return Ok(Answer::DoesNotOpen),
            Meaning::Sealed => Trouble::Sealed { address },
            Meaning::Denied => {
                Trouble::Denied { address, path: path.to_owned(), token: self.options.token_file.clone() }
            }
            Meaning::Other(why) => self.odd(path, &why),
        })
    }

    fn away(&self, why: &str) -> Trouble {
        Trouble::Away { address: self.options.address.clone(), why: why.to_owned() }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<(u16, Zeroizing<Vec<u8>>), Trouble> {
        let request = self.request(method, path, body)?;
        let fail = |error: &(dyn std::error::Error + 'static)| self.away(&crate::error::chain(error));
        let stream = self.connect().await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| fail(&e))?;
        // Its end is told by the answer that does not come, or comes.
        let connection = tokio::spawn(connection);
        let answer = async {
            let answer = sender.send_request(request).await.map_err(|e| fail(&e))?;
            let code = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), LARGEST).collect().await;
            let body = body.map_err(|error| self.away(&crate::error::chain(&*error)))?;
            Ok((code, Zeroizing::new(body.to_bytes().to_vec())))
        }
        .await;
        connection.abort();
        answer
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Request<Full<Bytes>>, Trouble> {
        let token = self.token()?;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/v1/{path}"))
            .header(HOST, self.authority())
            .header(USER_AGENT, "yunting")
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "close")
            .header("x-vault-request", "true")
            .header("x-vault-token", token);
        if let Some(namespace) = &self.options.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        // Leaves memory when it was sent.
        let body = body.map_or_else(Bytes::new, Bytes::from_owner);
        request.body(Full::new(body)).map_err(|e| self.odd(path, &e.to_string()))
    }

    /// Host and port, as a request names them.
    fn authority(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    fn token(&self) -> Result<HeaderValue, Trouble> {
        let file = &self.options.token_file;
        let bad = |why: String| Trouble::File {
            path: file.clone(),
            why,
            remedy: "Vault's agent, or whoever keeps tokens, has to write a token there",
        };
        let text = std::fs::read_to_string(file).map(Zeroizing::new).map_err(|e| bad(e.to_string()))?;
        if text.trim().is_empty() {
            return Err(bad("it is empty".to_owned()));
        }
        let header = HeaderValue::from_str(text.trim());
        let mut header = header.map_err(|_| bad("it holds something else than a token".to_owned()))?;
        header.set_sensitive(true);
        Ok(header)
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, Trouble> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|e| self.away(&e.to_string()))?;
        if !self.tls {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(self.host.clone()).map_err(|e| self.away(&e.to_string()))?;
        let connector = TlsConnector::from(Arc::new(self.trusted()?));
        let stream = connector.connect(name, stream).await.map_err(|e| self.away(&e.to_string()))?;
        Ok(Box::new(stream))
    }

    fn trusted(&self) -> Result<ClientConfig, Trouble> {
        let file = self.options.ca.clone().unwrap_or_default();
        let bad = |why: String| Trouble::File {
            path: file.clone(),
            why,
            remedy: "it has to hold the certificates (PEM) of the authority of Vault's certificate",
        };
        let all = CertificateDer::pem_file_iter(&file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let all = all.map_err(|e| bad(e.to_string()))?;
        if all.is_empty() {
            return Err(bad("it has no certificate".to_owned()));
        }
        let mut roots = RootCertStore::empty();
        for certificate in all {
            roots.add(certificate).map_err(|e| bad(e.to_string()))?;
        }
        Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str, ca: Option<&str>) -> Result<Client, String> {
        Client::new(Options {
            address: address.to_owned(),
            token_file: "/nowhere/token".into(),
            ca: ca.map(Into::into),
            mount: "transit".to_owned(),
            namespace: None,
        })
    }

    #[test]
    fn a_token_leaves_no_host_in_the_clear() {
        assert!(client("https://vault.example:8200", Some("/ca")).is_ok());
        let six = client("https://[fd00::1]:8200/", Some("/ca")).unwrap();
        assert_eq!(six.authority(), "[fd00::1]:8200");
        assert!(client("http://127.0.0.1:8100", None).is_ok());
        let refused =
            ["https://vault.example", "http://10.0.0.1:8200", "http://localhost:1", "vault", "ftp://x"];
        for address in refused {
            assert!(client(address, None).is_err(), "{address}");
        }
        assert!(client("https://vault.example/v1", Some("/ca")).is_err());
    }

    #[tokio::test]
    async fn what_is_missing_is_told_with_what_to_do() {
        let error = client("http://127.0.0.1:1", None).unwrap().renew().await.unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/token: ") && error.contains("write a token"), "{error}");
    }
}
