//! The chained CNI plugin: hands a pod's address over to the node's controller before the pod's first process runs, and
//! takes it back before the address is given to another. What it is told and answers is the CNI specification's
//! (versions 0.4.0 to 1.1.0); it changes nothing of the result of the plugins before it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use yunting_plan::boundary::Link;

/// Versions of the specification that are understood.
const VERSIONS: [&str; 4] = ["0.4.0", "1.0.0", "1.0.1", "1.1.0"];
/// Where the node's controller listens, unless the configuration says otherwise.
pub const SOCKET: &str = "/run/yunting/node.sock";
/// Time for an answer: more than the node's controller takes to say that it cannot. The runtime tries again, and the pod
/// waits meanwhile.
const ANSWER: Duration = Duration::from_secs(25);

/// What is asked of the node's controller, one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Ask {
    /// A pod has this address on this link.
    Add {
        /// Of the sandbox.
        container: String,
        /// The pod's namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
        /// Its address.
        address: Ipv4Addr,
        /// The node's end of its link.
        link: String,
        /// Where its network namespace is.
        netns: PathBuf,
    },
    /// A sandbox is taken down; said again and again until it is.
    Del {
        /// Of the sandbox.
        container: String,
        /// The pod's namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// What the node's controller answers, one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Why not, if it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Codes of errors: those from 100 on are the plugin's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: u32,
    text: String,
}

impl Refusal {
    fn new(code: u32, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    cni_version: String,
    #[serde(default)]
    socket: Option<PathBuf>,
    #[serde(default)]
    prev_result: Option<Value>,
}

/// Runs the plugin as a container runtime calls it.
pub fn main() -> ExitCode {
    let mut input = String::new();
    let read = std::io::stdin().read_to_string(&mut input);
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let done = match read {
        Ok(_) => run(&variable, &input, &ask),
        Err(error) => Err(Refusal::new(6, format!("the configuration cannot be read: {error}"))),
    };
    let (text, code) = match done {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(refusal) => {
            let said = json!({"cniVersion": VERSIONS[0], "code": refusal.code, "msg": refusal.text});
            (said.to_string(), ExitCode::FAILURE)
        }
    };
    // Whom nobody reads has nobody to tell.
    let _ = std::io::stdout().write_all(text.as_bytes());
    code
}

type Asks<'a> = &'a dyn Fn(&std::path::Path, &Ask) -> Result<(), Refusal>;

/// One call: what to print, or the error.
fn run(variable: &dyn Fn(&str) -> String, input: &str, ask: Asks<'_>) -> Result<String, Refusal> {
    let command = variable("CNI_COMMAND");
    if command == "VERSION" {
        return Ok(json!({"cniVersion": "1.1.0", "supportedVersions": VERSIONS}).to_string());
    }
    let configuration: Configuration = serde_json::from_str(input)
        .map_err(|error| Refusal::new(6, format!("the configuration is none: {error}")))?;
    if !VERSIONS.contains(&configuration.cni_version.as_str()) {
        let text = format!("version {} is not understood, only {VERSIONS:?}", configuration.cni_version);
        return Err(Refusal::new(1, text));
    }
    let socket = configuration.socket.clone().unwrap_or_else(|| SOCKET.into());
    let container = variable("CNI_CONTAINERID");
    let pod = |key: &str| argument(&variable("CNI_ARGS"), key);
    let (namespace, name) = (pod("K8S_POD_NAMESPACE"), pod("K8S_POD_NAME"));
    match command.as_str() {
        "ADD" => {
            let result = configuration.prev_result.ok_or_else(|| {
                Refusal::new(7, "no prevResult: put this plugin behind the one that makes the link")
            })?;
            let (address, link) = attached(&result)?;
            let missing =
                || Refusal::new(4, "CNI_ARGS names no pod: K8S_POD_NAMESPACE, K8S_POD_NAME and K8S_POD_UID");
            let (namespace, name) = namespace.zip(name).ok_or_else(missing)?;
            let uid = pod("K8S_POD_UID").ok_or_else(missing)?;
            let netns = variable("CNI_NETNS").into();
            ask(&socket, &Ask::Add { container, namespace, name, uid, address, link, netns })?;
            Ok(result.to_string())
        }
        "DEL" => {
            // What was never attached has nothing to take back.
            if let Some((namespace, name)) = namespace.zip(name) {
                ask(&socket, &Ask::Del { container, namespace, name })?;
            }
            Ok(String::new())
        }
        "CHECK" | "GC" | "STATUS" => Ok(String::new()),
        other => Err(Refusal::new(4, format!("CNI_COMMAND {other:?} is not understood"))),
    }
}

/// A value of `CNI_ARGS`: `A=1;B=2`.
fn argument(arguments: &str, key: &str) -> Option<String> {
    let mut pairs = arguments.split(';').filter_map(|pair| pair.split_once('='));
    pairs.find(|(k, v)| *k == key && !v.is_empty()).map(|(_, v)| v.to_owned())
}

/// Address and link of a result: the one IPv4 address, and the interface that lies in no sandbox.
fn attached(result: &Value) -> Result<(Ipv4Addr, String), Refusal> {
    let each = |key: &str| result[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let addresses: Vec<Ipv4Addr> =
        each("ips").iter().filter_map(|ip| ip["address"].as_str()?.split('/').next()?.parse().ok()).collect();
    let [address] = addresses.as_slice() else {
        let text = format!("{} IPv4 addresses in prevResult; exactly one is understood", addresses.len());
        return Err(Refusal::new(100, text));
    };
    let outside = |i: &&Value| i["sandbox"].as_str().unwrap_or_default().is_empty();
    let links: Vec<&str> =
        each("interfaces").iter().filter(outside).filter_map(|i| i["name"].as_str()).collect();
    let [link] = links.as_slice() else {
        let text =
            format!("{} links on the node's side in prevResult; exactly one is understood", links.len());
        return Err(Refusal::new(100, text));
    };
    Link::new(link).map_err(|error| Refusal::new(100, error.to_string()))?;
    Ok((*address, (*link).to_owned()))
}

/// Asks the node's controller.
fn ask(socket: &std::path::Path, ask: &Ask) -> Result<(), Refusal> {
    let away = |error: std::io::Error| {
        let text = format!(
            "the node's controller does not answer at {}: {error}; without it no pod has a network",
            socket.display()
        );
        // "Try again later" of the specification.
        Refusal::new(11, text)
    };
    let mut stream = UnixStream::connect(socket).map_err(away)?;
    stream.set_read_timeout(Some(ANSWER)).map_err(away)?;
    let line = serde_json::to_string(ask).map_err(|error| Refusal::new(100, error.to_string()))?;
    stream.write_all(format!("{line}\n").as_bytes()).map_err(away)?;
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer).map_err(away)?;
    let answer: Answer = serde_json::from_str(&answer).map_err(|error| {
        Refusal::new(11, format!("the node's controller ended before it answered: {error}"))
    })?;
    answer.error.map_or(Ok(()), |text| Err(Refusal::new(11, text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const ARGS: &str =
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=pod;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u1";

    /// As plugin `ptp` 1.1.1 gives it.
    fn result() -> Value {
        json!({
            "cniVersion": "0.4.0",
            "interfaces": [
                {"name": "vetha1b2c3d4", "mac": "0e:00:00:00:00:01"},
                {"name": "eth0", "mac": "0e:00:00:00:00:02", "sandbox": "/var/run/netns/cni-1"},
            ],
            "ips": [{"version": "4", "interface": 1, "address": "10.11.0.5/16", "gateway": "10.11.0.1"}],
            "dns": {},
        })
    }

    fn call(command: &str, args: &str, input: &Value) -> (Result<String, Refusal>, Vec<Ask>) {
        let asked = RefCell::new(Vec::new());
        let variable = |name: &str| match name {
            "CNI_COMMAND" => command.to_owned(),
            "CNI_CONTAINERID" => "c1".to_owned(),
            "CNI_ARGS" => args.to_owned(),
            "CNI_NETNS" => "/run/netns/cni-1".to_owned(),
            _ => String::new(),
        };
        let ask = |_: &std::path::Path, ask: &Ask| {
            asked.borrow_mut().push(ask.clone());
            Ok(())
        };
        let done = run(&variable, &input.to_string(), &ask);
        (done, asked.into_inner())
    }

    #[test]
    fn an_added_pod_is_handed_over_and_the_result_goes_on() {
        let (done, asked) = call("ADD", ARGS, &json!({"cniVersion": "0.4.0", "prevResult": result()}));
        assert_eq!(serde_json::from_str::<Value>(&done.unwrap()).unwrap(), result());
        let add = Ask::Add {
            container: "c1".to_owned(),
            namespace: "ns".to_owned(),
            name: "pod".to_owned(),
            uid: "u1".to_owned(),
            address: Ipv4Addr::new(10, 11, 0, 5),
            link: "vetha1b2c3d4".to_owned(),
            netns: "/run/netns/cni-1".into(),
        };
        assert_eq!(asked, [add]);
    }

    #[test]
    fn a_pod_that_goes_is_taken_back() {
        let (done, asked) = call("DEL", ARGS, &json!({"cniVersion": "0.4.0"}));
        assert_eq!(done.unwrap(), "");
        assert!(matches!(&asked[..], [Ask::Del { name, .. }] if name == "pod"));
        assert!(call("DEL", "", &json!({"cniVersion": "0.4.0"})).1.is_empty());
    }

    #[test]
    fn what_is_not_understood_is_refused_before_anything_is_asked() {
        let mut two = result();
        two["ips"] = json!([{"address": "10.11.0.5/16"}, {"address": "10.11.0.6/16"}]);
        let mut none = result();
        none["interfaces"] = json!([]);
        let config = |prev: Value| json!({"cniVersion": "0.4.0", "prevResult": prev});
        for (command, args, input, code) in [
            ("ADD", ARGS, json!({"cniVersion": "0.4.0"}), 7),
            ("ADD", "", config(result()), 4),
            ("ADD", ARGS, config(two), 100),
            ("ADD", ARGS, config(none), 100),
            ("ADD", ARGS, json!({"cniVersion": "0.1.0"}), 1),
            ("ADD", ARGS, json!([]), 6),
            ("JUMP", ARGS, json!({"cniVersion": "0.4.0"}), 4),
        ] {
            let (done, asked) = call(command, args, &input);
            assert_eq!(done.unwrap_err().code, code, "{command} {args} {input}");
            assert!(asked.is_empty());
        }
    }

    #[test]
    fn without_the_nodes_controller_a_pod_waits() {
        let gone = std::path::Path::new("/nowhere/node.sock");
        let refusal =
            ask(gone, &Ask::Del { container: String::new(), namespace: String::new(), name: String::new() });
        assert_eq!(refusal.unwrap_err().code, 11);
    }
}
