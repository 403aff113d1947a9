//! Runs commands as a person would, and shows them before their output.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail};

/// Where programs and kubeconfigs are.
pub struct Shell {
    lab: PathBuf,
    /// Name of the lab.
    pub name: String,
    kubectl: PathBuf,
    kubeconfigs: PathBuf,
}

impl Shell {
    /// For the lab of that name, with the lab's program beside this one.
    pub fn new(name: &str, state: &Path) -> anyhow::Result<Self> {
        let here = std::env::current_exe().context("cannot find this program's own path")?;
        let lab = here.with_file_name("yunting-lab");
        if !lab.is_file() {
            bail!("{} is not built; run `cargo build --workspace`", lab.display());
        }
        Ok(Self {
            lab,
            name: name.to_owned(),
            kubectl: state.join("bin/kubectl"),
            kubeconfigs: state.join("kubeconfigs"),
        })
    }

    /// Says what comes next.
    pub fn title(&self, text: &str) {
        println!("\n\u{1b}[1m== {text}\u{1b}[0m");
    }

    /// Runs a command of the lab with its own output; fails when it fails.
    pub fn lab(&self, words: &[&str]) -> anyhow::Result<()> {
        println!("$ yunting-lab {}", words.join(" "));
        let status = Command::new(&self.lab).arg("--name").arg(&self.name).args(words).status()?;
        if !status.success() {
            bail!("yunting-lab {} ended with {status}", words.join(" "));
        }
        Ok(())
    }

    /// What a command of the lab prints.
    pub fn lab_output(&self, words: &[&str]) -> anyhow::Result<String> {
        let out = Command::new(&self.lab)
            .arg("--name")
            .arg(&self.name)
            .args(words)
            .stderr(Stdio::inherit())
            .output()?;
        if !out.status.success() {
            bail!("yunting-lab {} ended with {}", words.join(" "), out.status);
        }
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    /// Runs kubectl at a place (`hub` or a site) and shows command and output; fails when it fails.
    pub fn kubectl(&self, place: &str, words: &[&str]) -> anyhow::Result<()> {
        let out = self.try_kubectl(place, words, None)?;
        if !out.status.success() {
            bail!("kubectl {} ended with {}", words.join(" "), out.status);
        }
        Ok(())
    }

    /// Runs kubectl, shows command and output, and gives its end back. `token` makes it somebody else's call.
    pub fn try_kubectl(&self, place: &str, words: &[&str], token: Option<&str>) -> anyhow::Result<Output> {
        println!("$ kubectl --kubeconfig {place}.yaml {}", words.join(" "));
        let out = self.command(place, words, token)?.output().context("cannot run kubectl")?;
        print!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        Ok(out)
    }

    /// Runs kubectl with text on its standard input, and shows what it answers.
    pub fn kubectl_with(
        &self,
        place: &str,
        words: &[&str],
        input: &str,
        token: Option<&str>,
    ) -> anyhow::Result<Output> {
        use std::io::Write as _;
        println!("$ kubectl --kubeconfig {place}.yaml {} <<EOF\n{}\nEOF", words.join(" "), input.trim_end());
        let mut child = self
            .command(place, words, token)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let out = child.wait_with_output()?;
        print!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        Ok(out)
    }

    /// A kubeconfig with a person's token instead of the administrator's certificate, so that only the token speaks.
    fn command(&self, place: &str, words: &[&str], token: Option<&str>) -> anyhow::Result<Command> {
        let file = self.kubeconfigs.join(format!("{place}.yaml"));
        let mut command = Command::new(&self.kubectl);
        match token {
            None => command.arg("--kubeconfig").arg(&file),
            Some(token) => {
                let kubeconfig = kube::config::Kubeconfig::read_from(&file)?;
                let current = kubeconfig.current_context.clone().unwrap_or_default();
                let context =
                    kubeconfig.contexts.iter().find(|c| c.name == current).and_then(|c| c.context.clone());
                let name = context.map(|c| c.cluster).unwrap_or_default();
                let cluster =
                    kubeconfig.clusters.iter().find(|c| c.name == name).and_then(|c| c.cluster.clone());
                let cluster = cluster.context("the kubeconfig has no current cluster")?;
                let ca = self.kubeconfigs.join(format!(".{place}-ca.crt"));
                if let Some(data) = &cluster.certificate_authority_data {
                    std::fs::write(&ca, data_encoding::BASE64.decode(data.as_bytes())?)?;
                } else if let Some(path) = &cluster.certificate_authority {
                    std::fs::copy(path, &ca)?;
                }
                command
                    .arg("--kubeconfig=/dev/null")
                    .arg(format!("--server={}", cluster.server.unwrap_or_default()))
                    .arg(format!("--certificate-authority={}", ca.display()))
                    .arg(format!("--token={token}"))
            }
        };
        command.args(words);
        Ok(command)
    }
}
