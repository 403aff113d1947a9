//! One request through the front door.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use yunting_plan::hall::door::{Knock, Target};

/// Time for an answer's head; a resident would not wait longer without wondering.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks for a hall's page and looks at the status code alone.
pub(super) async fn knock(address: SocketAddr, target: &Target) -> Knock {
    match tokio::time::timeout(TIMEOUT, ask(address, target)).await {
        Ok(Ok(code)) => Knock::Answered(code),
        Ok(Err(error)) => Knock::Failed(error.to_string()),
        Err(_) => Knock::Failed(format!("nothing came within {} s", TIMEOUT.as_secs())),
    }
}

async fn ask(address: SocketAddr, target: &Target) -> Result<u16, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = http::Request::get(&target.path)
        .header(http::header::HOST, &target.host)
        .header(http::header::USER_AGENT, "yunting-probe")
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    // Its end is told by the answer that does not come, or comes.
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    connection.abort();
    Ok(answer?.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn hall() -> Target {
        Target { host: "hall.example".into(), path: "/".into() }
    }

    #[tokio::test]
    async fn the_host_is_asked_for_and_the_code_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 1024];
            let n = stream.read(&mut bytes).await.unwrap();
            stream.write_all(b"HTTP/1.1 503 no\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            String::from_utf8_lossy(&bytes[..n]).into_owned()
        });
        assert_eq!(knock(address, &hall()).await, Knock::Answered(503));
        let asked = served.await.unwrap();
        assert!(asked.starts_with("GET / HTTP/1.1\r\n") && asked.contains("host: hall.example"), "{asked}");
    }

    #[tokio::test]
    async fn a_door_that_is_not_there_has_failed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(matches!(knock(address, &hall()).await, Knock::Failed(_)));
    }
}
