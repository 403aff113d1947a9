//! What requests through a site's front door show of a hall: whether it can be reached, told without flapping.
//! A browser's view: what counts is what a resident would get.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use yunting_crds::labels;

use super::ValidHallSlice;
use crate::object::{ApiKind, Key};

/// `GatewayClass` of the Gateway API.
pub const GATEWAY_CLASS: ApiKind = ApiKind {
    group: "gateway.networking.k8s.io",
    version: "v1",
    kind: "GatewayClass",
    plural: "gatewayclasses",
    namespaced: false,
};

/// `Gateway` of the Gateway API.
pub const GATEWAY: ApiKind = ApiKind {
    group: "gateway.networking.k8s.io",
    version: "v1",
    kind: "Gateway",
    plural: "gateways",
    namespaced: true,
};

/// Key of the site's Gateway.
pub fn gateway_key() -> Key {
    Key {
        kind: GATEWAY,
        namespace: Some(labels::GATEWAY_NAMESPACE.to_owned()),
        name: labels::GATEWAY.to_owned(),
    }
}

/// Failures in a row after which a door that answered counts as shut. One may be a moment's trouble.
const PATIENCE: u32 = 2;
/// Time between requests at a door that answers.
const CALM: Duration = Duration::from_secs(10);
/// Time between requests at a door that does not, at first: somebody waits for it.
const EAGER: Duration = Duration::from_millis(500);
/// Requests after which a shut door is asked as seldom as an open one.
const EAGER_FOR: u32 = 120;

/// What one request through the door came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Knock {
    /// An answer with this status code.
    Answered(u16),
    /// No answer, and why.
    Failed(String),
}

impl Knock {
    /// Why a resident would not call that an answer.
    fn trouble(self) -> Result<(), String> {
        match self {
            // What the hall itself says, whatever it is. 404 is what a gateway says of a host or path it does not know.
            Self::Answered(code) if code < 500 && code != 404 => Ok(()),
            Self::Answered(code) => Err(format!("the front door answers {code}")),
            Self::Failed(why) => Err(format!("the front door does not answer: {why}")),
        }
    }
}

/// What is known of a hall's door.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Door {
    open: Option<Result<(), String>>,
    failures: u32,
}

impl Door {
    /// What is known after one more request.
    #[must_use]
    pub fn after(self, knock: Knock) -> Self {
        match knock.trouble() {
            Ok(()) => Self { open: Some(Ok(())), failures: 0 },
            Err(why) => {
                let failures = self.failures.saturating_add(1);
                let spared = failures < PATIENCE && self.open == Some(Ok(()));
                Self { open: Some(if spared { Ok(()) } else { Err(why) }), failures }
            }
        }
    }

    /// Whether the hall is reached, if anybody has asked.
    pub fn open(&self) -> Option<Result<(), String>> {
        self.open.clone()
    }

    /// Time until the next request.
    pub fn next(&self) -> Duration {
        if (1..EAGER_FOR).contains(&self.failures) { EAGER } else { CALM }
    }
}

/// Where a hall is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Host name, as a browser sends it.
    pub host: String,
    /// Path.
    pub path: String,
}

/// Where the hall is to be reached here, if it has a portal that runs here.
pub fn target(hall: &ValidHallSlice) -> Option<Target> {
    let portal = hall.portal.as_ref()?;
    hall.components.get(portal.component).filter(|c| c.active)?;
    Some(Target { host: portal.host.clone(), path: portal.paths.first()?.clone() })
}

/// Address of a Gateway's plain HTTP listener, as its status shows it.
pub fn address(gateway: &Value) -> Option<SocketAddr> {
    let list = |path: &str| gateway.pointer(path).and_then(Value::as_array).into_iter().flatten();
    let ip: IpAddr = list("/status/addresses").find_map(|a| a.get("value")?.as_str()?.parse().ok())?;
    let port = list("/spec/listeners").find(|l| l["protocol"] == "HTTP")?.get("port")?.as_u64()?;
    Some(SocketAddr::new(ip, u16::try_from(port).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn after(knocks: &[u16]) -> Door {
        knocks.iter().fold(Door::default(), |door, code| door.after(Knock::Answered(*code)))
    }

    #[test]
    fn one_failure_shuts_no_door_that_was_open_and_two_do() {
        let table: [(&[u16], Option<bool>); 7] = [
            (&[], None),
            (&[200], Some(true)),
            (&[503], Some(false)),
            (&[200, 503], Some(true)),
            (&[200, 503, 503], Some(false)),
            (&[200, 503, 200, 503], Some(true)),
            (&[503, 302], Some(true)),
        ];
        for (knocks, open) in table {
            assert_eq!(after(knocks).open().map(|r| r.is_ok()), open, "{knocks:?}");
        }
    }

    #[test]
    fn a_shut_door_is_asked_often_until_nobody_waits_any_more() {
        assert_eq!(after(&[200]).next(), CALM);
        assert_eq!(after(&[503]).next(), EAGER);
        assert_eq!(after(&vec![503; EAGER_FOR as usize]).next(), CALM);
    }

    #[test]
    fn a_gateway_has_an_address_when_its_status_and_a_plain_listener_say_so() {
        let listeners = json!([{"protocol": "HTTPS", "port": 443}, {"protocol": "HTTP", "port": 80}]);
        let with = json!({"spec": {"listeners": listeners}, "status": {"addresses": [{"type": "IPAddress", "value": "192.0.2.1"}]}});
        assert_eq!(address(&with), "192.0.2.1:80".parse().ok());
        assert_eq!(address(&json!({"spec": {"listeners": listeners}})), None);
        assert_eq!(address(&json!({"status": with["status"]})), None);
    }
}
