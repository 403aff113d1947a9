//! Who speaks to the servers, and requests as bytes: the same for the floor, for what a person does, and for drift.

use kube::Client;
use serde_json::Value;

/// Content type of a server-side apply.
pub const APPLY: &str = "application/apply-patch+yaml";
/// Content type of a merge patch.
pub const MERGE: &str = "application/merge-patch+json";

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A person at the hub.
    Person,
    /// The hub controller at the hub.
    Hub,
    /// A site controller at the hub.
    SiteAtHub(usize),
    /// A site controller at its own site.
    Site(usize),
}

/// A request that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Call {
    /// By whom, and so to which server.
    pub who: Who,
    /// `PATCH`, `POST` or `DELETE`.
    pub method: &'static str,
    /// Path and query.
    pub uri: String,
    /// Content type of the body.
    pub content: &'static str,
    /// Body.
    pub body: Vec<u8>,
}

/// One client per identity, each with connections of its own.
#[derive(Clone)]
pub struct Clients {
    /// A person at the hub.
    pub person: Client,
    /// The hub controller at the hub.
    pub hub: Client,
    /// Site controllers at the hub.
    pub sites_at_hub: Vec<Client>,
    /// Site controllers at their own sites.
    pub sites: Vec<Client>,
}

impl Clients {
    /// The client of somebody.
    pub fn of(&self, who: Who) -> &Client {
        match who {
            Who::Person => &self.person,
            Who::Hub => &self.hub,
            Who::SiteAtHub(site) => self.sites_at_hub.get(site).unwrap_or(&self.person),
            Who::Site(site) => self.sites.get(site).unwrap_or(&self.person),
        }
    }

    /// Sends one request; the answer's text, or the server's refusal.
    pub async fn send(&self, call: &Call) -> anyhow::Result<String> {
        let request = http::Request::builder().method(call.method).uri(&call.uri);
        let request = request.header("Content-Type", call.content).body(call.body.clone())?;
        let answer = self.of(call.who).request_text(request).await;
        answer.map_err(|error| anyhow::anyhow!("{} {}: {error}", call.method, call.uri))
    }
}

/// Path of an object or collection of our own kinds at the hub or a site.
pub fn ours(plural: &str, namespace: Option<&str>, name: &str) -> String {
    path("yunting.io", "v1alpha1", plural, namespace, name)
}

/// Path of an object, or of its collection when the name is empty.
pub fn path(group: &str, version: &str, plural: &str, namespace: Option<&str>, name: &str) -> String {
    let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let namespace = namespace.map_or_else(String::new, |n| format!("/namespaces/{n}"));
    let name = if name.is_empty() { String::new() } else { format!("/{name}") };
    format!("{root}{namespace}/{plural}{name}")
}

/// A forced server-side apply.
pub fn apply(who: Who, path: &str, manager: &str, body: &Value) -> Call {
    let manager = manager.replace('/', "%2F");
    Call {
        who,
        method: "PATCH",
        uri: format!("{path}?force=true&fieldManager={manager}"),
        content: APPLY,
        body: body.to_string().into_bytes(),
    }
}

/// A merge patch.
pub fn merge(who: Who, path: &str, body: &Value) -> Call {
    Call { who, method: "PATCH", uri: path.to_owned(), content: MERGE, body: body.to_string().into_bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        assert_eq!(path("", "v1", "namespaces", None, "n"), "/api/v1/namespaces/n");
        assert_eq!(
            ours("vdcslices", Some("site-a"), ""),
            "/apis/yunting.io/v1alpha1/namespaces/site-a/vdcslices"
        );
        let call = apply(Who::Hub, "/x", "yunting/hub", &serde_json::json!({}));
        assert_eq!(call.uri, "/x?force=true&fieldManager=yunting%2Fhub");
    }
}
