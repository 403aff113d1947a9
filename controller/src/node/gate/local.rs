//! What may be asked of a node's gate, on a local socket that only root may use: the authority's client writes rights with
//! it, and a person sees what the kernel has. One line of JSON each way; an answer is what the kernel says after the act.

use std::io::{BufRead, BufReader as Lines, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream as Stream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::{BootTime, Gates};
use crate::node::server;

/// The socket's name, beside the one that the CNI plugin asks.
const NAME: &str = "gate.sock";
/// Longest line that is read.
const LINE: u64 = 4096;
/// Time for an answer, which a self-test takes longest.
const ANSWER: Duration = Duration::from_secs(20);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Ask {
    /// Let a group's packets pass before a moment. Refused are zero, what has gone by, what is more than ten minutes ahead,
    /// groups without a pod here, and everything while the gate is not armed.
    Open {
        /// Uid of the group.
        group: String,
        /// The moment, in nanoseconds of this machine's `CLOCK_BOOTTIME`.
        deadline_boottime_ns: u64,
    },
    /// Let none of them pass from now on.
    Close {
        /// Uid of the group.
        group: String,
    },
    /// Nothing but what the kernel has.
    State {
        /// Uid of a group; all that have pods here where it is not named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
    },
    /// Try now with packets whether the gate does what it is for.
    Test,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// It was not done, and why.
    Error {
        /// For people.
        error: String,
    },
    /// What the kernel has now.
    Told(Told),
}

/// What the kernel has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// `Armed`, `Broken` or `Absent`.
    pub gate: String,
    /// What is missing or wrong.
    pub detail: String,
    /// When a self-test last passed.
    pub tested_at: Option<String>,
    /// When this was said.
    pub now_boottime_ns: u64,
    /// The groups.
    pub groups: Vec<GroupState>,
}

/// A group as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    /// Its uid.
    pub group: String,
    /// Its deadline, which may have gone by; nothing where it was closed.
    pub deadline_boottime_ns: Option<u64>,
    /// Whether packets passed when this was said.
    pub open: bool,
    /// Links of its pods here.
    pub links: Vec<LinkState>,
}

/// A protected pod's link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkState {
    /// Its name.
    pub link: String,
    /// The pod's address.
    pub address: Ipv4Addr,
    /// Whether it was taken down because the gate did not stand on it.
    pub down: bool,
    /// Packets that passed.
    pub passed: u64,
    /// Packets that were dropped.
    pub dropped: u64,
}

/// Where it listens on a node whose CNI plugin asks there.
pub fn socket(of_cni: &Path) -> PathBuf {
    of_cni.with_file_name(NAME)
}

/// Serves until it cannot.
pub(in crate::node) async fn serve(gates: Arc<Gates>, socket: &Path) -> anyhow::Result<()> {
    let listener = server::listen(socket).await?;
    loop {
        let (stream, _) = listener.accept().await.with_context(|| socket.display().to_string())?;
        tokio::spawn(answer(gates.clone(), stream));
    }
}

/// One question and its answer after the other, as long as somebody asks.
async fn answer(gates: Arc<Gates>, mut stream: UnixStream) {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        let read = (&mut reader).take(LINE).read_line(&mut line).await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        let asked =
            serde_json::from_str::<Ask>(&line).map_err(|e| format!("the question is not understood: {e}"));
        let done = match asked {
            Ok(ask) => act(&gates, ask).await,
            Err(why) => Err(why),
        };
        let answer = done.map_or_else(|error| Answer::Error { error }, Answer::Told);
        let text = serde_json::to_string(&answer).unwrap_or_default();
        if writer.write_all(format!("{text}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn act(gates: &Gates, ask: Ask) -> Result<Told, String> {
    match ask {
        Ask::Open { group, deadline_boottime_ns } => {
            let opened = gates.open(&group, deadline_boottime_ns);
            if let Err(why) = &opened {
                tracing::warn!(group, why, "a right was refused");
            }
            opened?;
            gates.told(Some(&group))
        }
        Ask::Close { group } => {
            gates.close(&group)?;
            gates.told(Some(&group))
        }
        Ask::State { group } => gates.told(group.as_deref()),
        Ask::Test => {
            let mut shown = gates.follow();
            let asked = Instant::now();
            gates.test.notify_one();
            // One that was under way shows nothing of now.
            let ended = shown.wait_for(|s| s.begun.is_some_and(|begun| begun >= asked));
            let ended = tokio::time::timeout(ANSWER, ended).await;
            ended
                .map_err(|_| "no self-test has ended; see the log of the node's controller".to_owned())?
                .ok();
            gates.told(None)
        }
    }
}

/// Asks a node's controller, as a person or the authority's client does.
pub fn ask(socket: &Path, ask: &Ask) -> anyhow::Result<Told> {
    let at = || format!("the node's controller does not answer at {}", socket.display());
    let mut stream = Stream::connect(socket).with_context(at)?;
    stream.set_read_timeout(Some(ANSWER)).with_context(at)?;
    stream.write_all(format!("{}\n", serde_json::to_string(ask)?).as_bytes()).with_context(at)?;
    let mut line = String::new();
    Lines::new(&stream).read_line(&mut line).with_context(at)?;
    match serde_json::from_str(&line).with_context(|| format!("not understood: {line:?}"))? {
        Answer::Told(told) => Ok(told),
        Answer::Error { error } => bail!(error),
    }
}

/// What a person types.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Let a group's packets pass for a time from now. For a drill or an attested emergency: only the authority knows
    /// whether somebody else has the right.
    Open {
        /// Uid of the group.
        group: String,
        /// For how long, in seconds, at most 600.
        #[arg(long = "seconds")]
        seconds: u64,
    },
    /// Let none of a group's packets pass from now on.
    Close {
        /// Uid of the group.
        group: String,
    },
    /// Say what the kernel has, of one group or of all that have pods here.
    State {
        /// Uid of the group.
        group: Option<String>,
    },
    /// Try with packets whether the gate does what it is for.
    Test,
}

/// Does what was typed, and prints what the kernel has then.
pub fn run(socket: &Path, command: Command) -> anyhow::Result<()> {
    let question = match command {
        Command::Open { group, seconds } => {
            let until = BootTime::now() + Duration::from_secs(seconds);
            Ask::Open { group, deadline_boottime_ns: until.nanoseconds() }
        }
        Command::Close { group } => Ask::Close { group },
        Command::State { group } => Ask::State { group },
        Command::Test => Ask::Test,
    };
    let told = ask(socket, &question)?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&told)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_understood() {
        let open: Ask =
            serde_json::from_str(r#"{"do":"open","group":"g","deadline_boottime_ns":7}"#).unwrap();
        assert_eq!(open, Ask::Open { group: "g".to_owned(), deadline_boottime_ns: 7 });
        assert_eq!(serde_json::from_str::<Ask>(r#"{"do":"state"}"#).unwrap(), Ask::State { group: None });
        for bad in
            [r#"{"do":"open","group":"g"}"#, r#"{"do":"open","group":"g","deadline_boottime_ns":-1}"#, "{}"]
        {
            assert!(serde_json::from_str::<Ask>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_answer_is_an_error_or_a_state() {
        let text = r#"{"error":"no"}"#;
        let refused: Answer = serde_json::from_str(text).unwrap();
        assert_eq!(refused, Answer::Error { error: "no".to_owned() });
        assert_eq!(serde_json::to_string(&refused).unwrap(), text);
    }
}
