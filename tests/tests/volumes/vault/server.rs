//! A real Vault (the core and its transit engine) with TLS, as its keeper sets it up.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use yunting_controller::keys::vault::{Client, Options};
use yunting_lab::binaries;
use yunting_lab::pki::{Authority, Subject};
use yunting_lab::progress::Progress;
use yunting_tests::node::process::eventually;

/// What the site's token may do. The runbook has the same.
pub const POLICY: &str = include_str!("../../../../install/vault/site.hcl");
/// Site whose keys it keeps.
pub const SITE: &str = "qiaocheng";

/// The server; gone with it.
pub struct Server {
    child: Option<Child>,
    port: u16,
    /// Unseals it.
    share: String,
    root: String,
    pub directory: TempDir,
}

fn program() -> anyhow::Result<PathBuf> {
    binaries::of_tests("vault-transit", &Progress::new())?.context("no such program")
}

fn text(value: &Value) -> anyhow::Result<String> {
    value.as_str().map(str::to_owned).context("Vault did not say it")
}

impl Server {
    /// Started, unsealed, with an engine and a token for the site in a file.
    pub fn start() -> anyhow::Result<Self> {
        static ONE_BUILD: Mutex<()> = Mutex::new(());
        {
            // One of the tests that run at once builds what is missing.
            let _one = ONE_BUILD.lock().unwrap_or_else(PoisonError::into_inner);
            program()?;
        }
        let directory = tempfile::tempdir()?;
        let authority = Authority::new("keeper-of-vault")?;
        authority.issue(&Subject::server("vault").dns("localhost"))?.write(directory.path(), "vault")?;
        fs::write(directory.path().join("ca.crt"), authority.cert())?;
        fs::create_dir(directory.path().join("storage"))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut server = Self { child: None, port, share: String::new(), root: String::new(), directory };
        server.run()?;
        let made = server.keeper("PUT", "sys/init", &json!({"secret_shares": 1, "secret_threshold": 1}))?;
        (server.share, server.root) = (text(&made["keys"][0])?, text(&made["root_token"])?);
        server.unseal()?;
        server.keeper("POST", "sys/mounts/transit", &json!({"type": "transit"}))?;
        let policy = POLICY.replace("SITE", SITE);
        server.keeper("PUT", "sys/policies/acl/yunting-site", &json!({"policy": policy}))?;
        let token = server.token("yunting-site")?;
        server.give(&token)?;
        Ok(server)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.file("log"))?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program()?).arg(self.file("storage"));
        command
            .arg(format!("127.0.0.1:{}", self.port))
            .arg(self.file("vault.crt"))
            .arg(self.file("vault.key"));
        self.child = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?);
        let port = self.port;
        eventually("Vault", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok().map(drop))
    }

    /// It is not there any more.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// It is there again, unsealed.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.run()?;
        self.unseal()
    }

    pub fn seal(&self) -> anyhow::Result<()> {
        self.keeper("PUT", "sys/seal", &json!({})).map(drop)
    }

    pub fn unseal(&self) -> anyhow::Result<()> {
        self.keeper("PUT", "sys/unseal", &json!({"key": self.share})).map(drop)
    }

    /// A token with that policy.
    pub fn token(&self, policy: &str) -> anyhow::Result<String> {
        let asked = json!({"policies": [policy], "ttl": "1h", "no_parent": true});
        let made = self.keeper("POST", "auth/token/create", &asked)?;
        text(&made["auth"]["client_token"])
    }

    /// Writes the token's file, as an agent does.
    pub fn give(&self, token: &str) -> anyhow::Result<()> {
        let fresh = self.file("token.new");
        fs::write(&fresh, format!("{token}\n"))?;
        Ok(fs::rename(fresh, self.file("token"))?)
    }

    /// Ends a token.
    pub fn revoke(&self, token: &str) -> anyhow::Result<()> {
        self.keeper("POST", "auth/token/revoke", &json!({"token": token})).map(drop)
    }

    /// What the site's controller is told.
    pub fn options(&self) -> Options {
        Options {
            address: format!("https://localhost:{}", self.port),
            token_file: self.file("token"),
            ca: Some(self.file("ca.crt")),
            mount: "transit".to_owned(),
            namespace: None,
        }
    }

    pub fn client(&self) -> Client {
        Client::new(self.options()).unwrap()
    }

    /// Does what its keeper may do.
    pub fn keeper(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--request", method, "--cacert"]);
        curl.arg(self.file("ca.crt")).args(["--header", &format!("X-Vault-Token: {}", self.root)]);
        curl.args(["--data", &body.to_string(), &format!("https://localhost:{}/v1/{path}", self.port)]);
        let output = curl.output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        anyhow::ensure!(
            output.status.success(),
            "{path}: {said} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(if said.trim().is_empty() { Value::Null } else { serde_json::from_str(&said)? })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
