//! One request as one user, and what must become of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use kube::Client;
use kube::core::DynamicObject;
use serde_json::Value;
use yunting_lab::manifests;
use yunting_tests::apiserver::{ApiServer, wait};

/// Policies act, and cease to act, about a second after they were written.
const PATIENCE: Duration = Duration::from_secs(20);
/// Group with every right, given to those whose refusal must be the policy's and not RBAC's.
pub const EVERYTHING: &str = "test:everything";
/// In a user's groups: only the rights that the manifests give, not every right.
pub const REAL_RIGHTS: &str = "test:real-rights";

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct User {
    pub name: &'static str,
    pub groups: &'static [&'static str],
}

/// Somebody with every right that RBAC can give.
pub const PERSON: User = User { name: "oidc:li", groups: &[] };
pub const HUB: User = User { name: "yunting:hub:a", groups: &["yunting:hubs"] };
pub const SITE_A: User = User { name: "yunting:site:a", groups: &["yunting:sites"] };
pub const CONTROLLER: User = User { name: "yunting:site-controller", groups: &["yunting:site-controllers"] };
pub const SCHEDULER: User = User { name: "system:kube-scheduler", groups: &[] };
pub const KUBELET: User = User { name: "system:node:n1", groups: &["system:nodes"] };

/// A controller of Kubernetes' own.
pub const fn kube(name: &'static str) -> User {
    User { name, groups: &["system:serviceaccounts", "system:serviceaccounts:kube-system"] }
}

/// What to do with an object that stands: read, changed, put back.
type Edit = fn(&mut Value);

#[derive(Debug, Clone)]
enum Body {
    Json(Value),
    Edit(Edit),
}

/// A request, always a dry run: the table changes nothing.
#[derive(Debug, Clone)]
pub struct Ask {
    method: &'static str,
    path: String,
    content: &'static str,
    body: Body,
    /// It leads to something that need not be there.
    leads: bool,
}

/// Creates an object in the collection at `path`.
pub fn create(path: &str, body: Value) -> Ask {
    Ask {
        method: "POST",
        path: path.into(),
        content: "application/json",
        body: Body::Json(body),
        leads: false,
    }
}

/// Calls a way that is neither reading nor writing an object.
pub fn call(method: &'static str, path: &str) -> Ask {
    Ask { method, path: path.into(), content: "application/json", body: Body::Json(Value::Null), leads: true }
}

/// Deletes the object at `path`.
pub fn delete(path: &str) -> Ask {
    Ask {
        method: "DELETE",
        path: path.into(),
        content: "application/json",
        body: Body::Json(Value::Null),
        leads: false,
    }
}

/// Server-side apply to the object at `path`.
pub fn applied(path: &str, body: Value) -> Ask {
    Ask {
        method: "PATCH",
        path: path.into(),
        content: "application/apply-patch+yaml",
        body: Body::Json(body),
        leads: false,
    }
}

/// Merge patch of the object at `path`.
pub fn merge(path: &str, patch: Value) -> Ask {
    Ask {
        method: "PATCH",
        path: path.into(),
        content: "application/merge-patch+json",
        body: Body::Json(patch),
        leads: false,
    }
}

/// Strategic merge patch of the object at `path`.
pub fn strategic(path: &str, patch: Value) -> Ask {
    let content = "application/strategic-merge-patch+json";
    Ask { method: "PATCH", path: path.into(), content, body: Body::Json(patch), leads: false }
}

/// JSON patch of the object at `path`.
pub fn json_patch(path: &str, patch: Value) -> Ask {
    Ask {
        method: "PATCH",
        path: path.into(),
        content: "application/json-patch+json",
        body: Body::Json(patch),
        leads: false,
    }
}

/// Reads the object that `path` is about, changes it and puts it to `path`.
pub fn put(path: &str, edit: Edit) -> Ask {
    Ask {
        method: "PUT",
        path: path.into(),
        content: "application/json",
        body: Body::Edit(edit),
        leads: false,
    }
}

/// What must become of a request.
#[derive(Debug, Clone, Copy)]
enum Expect {
    Accepted,
    /// By the policy, with these words.
    Refused(&'static str),
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Case {
    policy: &'static str,
    user: User,
    ask: Ask,
    expect: Expect,
}

/// Lines about one policy.
pub struct Lines {
    policy: &'static str,
    cases: Vec<Case>,
}

/// Begins the lines of a policy.
pub fn policy(policy: &'static str) -> Lines {
    Lines { policy, cases: Vec::new() }
}

impl Lines {
    /// The policy refuses with words that hold `why`.
    pub fn refuses(mut self, why: &'static str, user: User, ask: Ask) -> Self {
        self.cases.push(Case { policy: self.policy, user, ask, expect: Expect::Refused(why) });
        self
    }

    /// Nothing refuses.
    pub fn accepts(mut self, user: User, ask: Ask) -> Self {
        self.cases.push(Case { policy: self.policy, user, ask, expect: Expect::Accepted });
        self
    }

    /// The lines.
    pub fn done(self) -> Vec<Case> {
        self.cases
    }
}

impl Case {
    fn title(&self) -> String {
        let body = match &self.ask.body {
            Body::Json(body) => body.to_string().chars().take(160).collect(),
            Body::Edit(_) => "(read and changed)".to_owned(),
        };
        format!("{}: {} {} {} {body}", self.policy, self.user.name, self.ask.method, self.ask.path)
    }

    async fn send(&self, client: &Client) -> Result<(), String> {
        let body = match &self.ask.body {
            Body::Json(body) => body.clone(),
            Body::Edit(edit) => {
                let mut object = read(client, &self.ask.path).await;
                edit(&mut object);
                object
            }
        };
        let everything = (!self.user.groups.contains(&REAL_RIGHTS)).then_some(EVERYTHING);
        let groups: Vec<&str> = self.user.groups.iter().copied().chain(everything).collect();
        let content = self.ask.content;
        let answer = request(
            client,
            self.user.name,
            &groups,
            self.ask.method,
            &self.ask.path,
            content,
            &body,
            !self.ask.leads,
        )
        .await;
        match answer {
            // Past admission: only the name is taken.
            Err(why) if why.contains(": AlreadyExists") => Ok(()),
            // The same: what the way leads to is not there.
            Err(why) if self.ask.leads && why.contains(": NotFound") => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// What is wrong, if something is.
    fn judge(&self, answer: Result<(), String>) -> Option<String> {
        let by_policy = format!("ValidatingAdmissionPolicy '{}'", self.policy);
        match (self.expect, answer) {
            (Expect::Accepted, Err(why)) => {
                Some(format!("{}\n    must be accepted, but: {why}", self.title()))
            }
            (Expect::Refused(why), Ok(())) => Some(format!("{}\n    must be refused ({why})", self.title())),
            (Expect::Refused(words), Err(why)) if !why.contains(&by_policy) || !why.contains(words) => {
                Some(format!("{}\n    must be refused with {words:?}, but: {why}", self.title()))
            }
            _ => None,
        }
    }
}

/// Reads the object that a path with a subresource is about.
async fn read(client: &Client, path: &str) -> Value {
    let object = path.strip_suffix("/status").or(path.strip_suffix("/finalize")).unwrap_or(path);
    let request = http::Request::get(object).body(Vec::new()).unwrap();
    client.request(request).await.unwrap_or_else(|e| panic!("cannot read {object}: {e}"))
}

/// Sends one request as somebody; the server's words when it refuses.
#[allow(clippy::too_many_arguments)]
pub async fn request(
    client: &Client,
    user: &str,
    groups: &[&str],
    method: &str,
    path: &str,
    content: &str,
    body: &Value,
    dry_run: bool,
) -> Result<Value, String> {
    let mut query = Vec::new();
    if dry_run {
        query.push("dryRun=All");
    }
    if content.contains("apply-patch") {
        query.extend(["fieldManager=test", "force=true"]);
    }
    let join = if path.contains('?') { '&' } else { '?' };
    let uri = if query.is_empty() { path.to_owned() } else { format!("{path}{join}{}", query.join("&")) };
    let mut request = http::Request::builder().method(method).uri(uri).header("Content-Type", content);
    request = request.header("Impersonate-User", user);
    for group in groups {
        request = request.header("Impersonate-Group", *group);
    }
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    client.request(request.body(body).unwrap()).await.map_err(|e| e.to_string())
}

/// All lines of one API server.
pub struct Table(Vec<Case>);

impl Table {
    pub fn new(cases: Vec<Case>) -> Self {
        Self(cases)
    }

    /// Sends everything twice: with the policies and without.
    pub async fn check(&self, server: &ApiServer, part: &str) {
        self.covers(&policies(part));
        self.until_policies_act(server.client()).await;
        let mut wrong = Vec::new();
        for case in &self.0 {
            wrong.extend(case.judge(case.send(server.client()).await));
        }
        assert!(wrong.is_empty(), "{} of {} requests:\n{}", wrong.len(), self.0.len(), wrong.join("\n"));
        self.without_bindings(server.client(), part).await;
    }

    /// Each policy has a request that it refuses and one that it lets through; no line is about a policy that is none.
    fn covers(&self, installed: &BTreeSet<String>) {
        let of = |refused: bool| -> BTreeSet<String> {
            let cases = self.0.iter().filter(|c| matches!(c.expect, Expect::Refused(_)) == refused);
            cases.map(|c| c.policy.to_owned()).collect()
        };
        assert_eq!(&of(true), installed, "policies with a refused request");
        assert_eq!(&of(false), installed, "policies with an accepted request");
    }

    fn first_refusals(&self) -> BTreeMap<&'static str, &Case> {
        let refused = self.0.iter().filter(|c| matches!(c.expect, Expect::Refused(_)));
        refused.rev().map(|c| (c.policy, c)).collect()
    }

    async fn until_policies_act(&self, client: &Client) {
        for (policy, case) in self.first_refusals() {
            let mut last = Ok(());
            let acts = async || {
                last = case.send(client).await;
                matches!(&last, Err(why) if why.contains(policy)).then_some(())
            };
            if let Err(late) = wait(&format!("{policy} to act"), PATIENCE, acts).await {
                panic!("{late}\n{}\n{last:?}", case.title());
            }
        }
    }

    async fn without_bindings(&self, client: &Client, part: &str) {
        for policy in policies(part) {
            let path =
                format!("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/{policy}");
            let request = http::Request::delete(path).body(Vec::new()).unwrap();
            client.request::<Value>(request).await.unwrap();
        }
        for (policy, case) in self.first_refusals() {
            let ceased = async || case.send(client).await.is_ok().then_some(());
            let waited = wait(&format!("{policy} to cease"), PATIENCE, ceased).await;
            if let Err(late) = waited {
                panic!("{late}\n{}\n{:?}", case.title(), case.send(client).await);
            }
        }
        let mut wrong = Vec::new();
        for case in self.0.iter().filter(|c| matches!(c.expect, Expect::Refused(_))) {
            if let Err(why) = case.send(client).await {
                wrong.push(format!("{}\n    is refused without the policy, too: {why}", case.title()));
            }
        }
        assert!(wrong.is_empty(), "refusals that prove nothing: {}\n{}", wrong.len(), wrong.join("\n"));
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Files of the tree.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// `crds/yaml/<part>`.
    Crds(&'static str),
    /// `install/<part>`.
    Manifests(&'static str),
}

fn objects(place: Place) -> Vec<DynamicObject> {
    let path = match place {
        Place::Crds(part) => root().join("crds/yaml").join(part),
        Place::Manifests(part) => root().join("install").join(part),
    };
    let objects = manifests::read_dir(&path, &manifests::Variables::new()).unwrap();
    assert!(!objects.is_empty(), "nothing in {}", path.display());
    objects
}

/// Names of the policies of a part, from its manifests; each has a binding of its own name.
fn policies(part: &str) -> BTreeSet<String> {
    let part = if part == "hub" { "hub" } else { "site" };
    let all = objects(Place::Manifests(part));
    let named = |kind: &str| -> BTreeSet<String> {
        let of_kind = all.iter().filter(|o| o.types.as_ref().is_some_and(|t| t.kind == kind));
        of_kind.map(|o| o.metadata.name.clone().unwrap()).collect()
    };
    let policies = named("ValidatingAdmissionPolicy");
    assert_eq!(policies, named("ValidatingAdmissionPolicyBinding"), "a policy without its binding");
    policies
}

/// Applies files as the lab does, and gives the test's group every right.
pub async fn install(server: &ApiServer, place: Place) {
    manifests::apply(server.client(), &objects(place))
        .await
        .unwrap_or_else(|e| panic!("{e}: {:?}\n{}", e, server.logs()));
    let binding = serde_json::json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": EVERYTHING},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": EVERYTHING}],
    });
    apply(server, vec![binding]).await;
}

/// Applies objects as the administrator, in their order.
pub async fn apply(server: &ApiServer, objects: Vec<Value>) {
    let objects: Vec<DynamicObject> =
        objects.into_iter().map(|o| serde_json::from_value(o).unwrap()).collect();
    manifests::apply(server.client(), &objects).await.unwrap_or_else(|e| panic!("{e}: {e:?}"));
}
