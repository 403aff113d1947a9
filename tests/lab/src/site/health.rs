//! Asking a process of one's own site whether it is ready.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::process::Ready;

/// One try takes no longer than this.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether the condition holds now; otherwise what was seen instead.
pub async fn check(ready: &Ready) -> Result<(), String> {
    match timeout(PATIENCE, ask(ready)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn ask(ready: &Ready) -> Result<(), String> {
    match ready {
        Ready::Started => Ok(()),
        Ready::Tcp(address) => TcpStream::connect(address).await.map(drop).map_err(|e| e.to_string()),
        Ready::Socket(path) => UnixStream::connect(path).await.map(drop).map_err(|e| e.to_string()),
        Ready::Http(port, path) => http(*port, path).await,
        Ready::Https(port, path) => https(*port, path).await,
    }
}

async fn http(port: u16, path: &str) -> Result<(), String> {
    let failed = |e: std::io::Error| e.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(failed)?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer).await.map_err(failed)?;
    let status = answer.lines().next().unwrap_or("an empty answer");
    if status.split(' ').nth(1) == Some("200") { Ok(()) } else { Err(status.to_owned()) }
}

/// The server is one's own process on loopback, some with a certificate of their own making: it isn't verified.
async fn https(port: u16, path: &str) -> Result<(), String> {
    let url = format!("https://127.0.0.1:{port}").parse().map_err(|e| format!("{e}"))?;
    let mut config = kube::Config::new(url);
    config.accept_invalid_certs = true;
    let client = kube::Client::try_from(config).map_err(|e| e.to_string())?;
    let request = http_get(path).map_err(|e| e.to_string())?;
    client.request_text(request).await.map(drop).map_err(|e| e.to_string())
}

fn http_get(path: &str) -> Result<http::Request<Vec<u8>>, http::Error> {
    http::Request::get(path).body(Vec::new())
}
