//! What RBAC gives, asked of the API server for each identity: what is in the table of roles and what is not.

use futures::StreamExt;
use serde_json::{Value, json};
use yunting_tests::apiserver::ApiServer;

use crate::flows::As;
use crate::hub_fixtures::{members_binding, members_role, vendor_role};
use crate::objects::{role_binding, with};
use crate::site_fixtures::{named, namespace};

/// `verb group/resource[/subresource][:name] [namespace]`; the core group is empty.
pub type Line = &'static str;

/// Asks for one identity; says which lines are answered otherwise.
async fn ask(server: &ApiServer, user: &str, groups: &[&str], lines: &[Line], expected: bool) -> Vec<String> {
    let answers = futures::stream::iter(lines).map(|line| async move {
        let allowed = allowed(server, user, groups, line).await;
        (allowed != expected).then(|| {
            format!("{user} {groups:?}: {line} is {}", if allowed { "allowed" } else { "not allowed" })
        })
    });
    answers.buffer_unordered(8).filter_map(async |wrong| wrong).collect().await
}

async fn allowed(server: &ApiServer, user: &str, groups: &[&str], line: &str) -> bool {
    let mut words = line.split(' ');
    let (verb, what, place) = (words.next().unwrap(), words.next().unwrap(), words.next());
    let (what, name) = what.split_once(':').unwrap_or((what, ""));
    let mut parts = what.split('/');
    let (group, resource, subresource) =
        (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap_or(""));
    let groups: Vec<&str> = groups.iter().copied().chain(["system:authenticated"]).collect();
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": groups, "resourceAttributes": {
            "verb": verb, "group": group, "resource": resource, "subresource": subresource, "name": name,
            "namespace": place.unwrap_or(""), "version": "*",
        }},
    });
    let request = http::Request::post("/apis/authorization.k8s.io/v1/subjectaccessreviews")
        .body(review.to_string().into_bytes())
        .unwrap();
    let answer: Value = server.client().request(request).await.unwrap();
    answer["status"]["allowed"].as_bool().unwrap()
}

pub struct Identity {
    pub user: &'static str,
    pub groups: &'static [&'static str],
    pub may: &'static [Line],
    pub may_not: &'static [Line],
}

pub async fn check(server: &ApiServer, identities: &[Identity]) {
    let mut wrong = Vec::new();
    for who in identities {
        wrong.extend(ask(server, who.user, who.groups, who.may, true).await);
        wrong.extend(ask(server, who.user, who.groups, who.may_not, false).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The hub, its bureau's roles bound by the hub's own hand.
pub async fn hub(server: &ApiServer) {
    let hub = As::hub(server);
    for name in ["bureau-edu", "site-a"] {
        hub.apply(
            &format!("/api/v1/namespaces/{name}"),
            namespace(name, &json!({"yunting.io/bureau": "edu"})),
        )
        .await
        .unwrap();
    }
    let bindings = |place: &str, name: &str| {
        format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{place}/rolebindings/{name}")
    };
    for role in ["admin", "operator", "viewer", "auditor"] {
        let role = format!("yunting-bureau-{role}");
        let binding = named(&role, role_binding(&role, "User", &format!("oidc:{role}")));
        hub.apply(&bindings("bureau-edu", &role), binding).await.unwrap();
    }
    by_name(&hub).await;
    let binding = named("yunting-site", role_binding("yunting-site", "User", "yunting:site:a"));
    hub.apply(&bindings("site-a", "yunting-site"), binding).await.unwrap();
    check(
        server,
        &[
            hub_itself(),
            hubs_site(),
            bureau_admin(),
            bureau_operator(),
            bureau_vendor(),
            bureau_viewer(),
            bureau_auditor(),
        ],
    )
    .await;
    check(
        server,
        &[platform_admin("oidc:platform-admins"), platform_admin("yunting:platform-admins"), ops(), nobody()],
    )
    .await;
}

/// Rights on one bureau and on one hall: the hub makes them without `escalate` and without `bind`.
async fn by_name(hub: &As<'_>) {
    let cluster = "/apis/rbac.authorization.k8s.io/v1";
    let edu = format!("{cluster}/namespaces/bureau-edu");
    let (own, exams) = ("yunting-bureau-members-edu", "yunting-hall-vendor-exams");
    let to_role = with(role_binding(exams, "User", "oidc:vendor"), json!({"roleRef": {"kind": "Role"}}));
    for (path, object) in [
        (format!("{cluster}/clusterroles/{own}"), members_role("edu")),
        (
            format!("{cluster}/clusterrolebindings/{own}"),
            members_binding("edu", "User", "oidc:yunting-bureau-admin"),
        ),
        (format!("{edu}/roles/{exams}"), vendor_role("exams")),
        (format!("{edu}/rolebindings/{exams}"), named(exams, to_role)),
    ] {
        hub.apply(&path, object).await.unwrap_or_else(|why| panic!("{path}: {why}"));
    }
}

fn hub_itself() -> Identity {
    Identity {
        user: "yunting:hub:a",
        groups: &["yunting:hubs"],
        may: &[
            "watch yunting.io/virtualdatacenters",
            "patch yunting.io/virtualdatacenters bureau-edu",
            "patch yunting.io/halls/status bureau-edu",
            "watch yunting.io/sharedservices",
            "watch yunting.io/accessgrants",
            "patch yunting.io/accessgrants/status bureau-edu",
            "patch yunting.io/sharedservices/status bureau-edu",
            "patch yunting.io/sites/status",
            "create yunting.io/vdcslices site-a",
            "delete yunting.io/hallslices site-a",
            "create yunting.io/sitereports site-a",
            "create yunting.io/deletioncertificates yunting-system",
            "watch yunting.io/deletioncertificates",
            "create /namespaces",
            "watch /secrets",
            "create rbac.authorization.k8s.io/rolebindings bureau-edu",
            "bind rbac.authorization.k8s.io/clusterroles:yunting-bureau-admin",
            "create rbac.authorization.k8s.io/roles bureau-edu",
            "delete rbac.authorization.k8s.io/clusterrolebindings",
            "watch coordination.k8s.io/leases",
            "update coordination.k8s.io/leases:yunting-hub yunting-system",
        ],
        may_not: &[
            "bind rbac.authorization.k8s.io/clusterroles:cluster-admin",
            "bind rbac.authorization.k8s.io/clusterroles:yunting-hub",
            "bind rbac.authorization.k8s.io/clusterroles:yunting-bureau-members-edu",
            "bind rbac.authorization.k8s.io/roles:yunting-hall-vendor-exams bureau-edu",
            "escalate rbac.authorization.k8s.io/clusterroles",
            "escalate rbac.authorization.k8s.io/roles bureau-edu",
            "administer yunting.io/bureaus:edu",
            "operate yunting.io/halls:exams bureau-edu",
            "create yunting.io/virtualdatacenters bureau-edu",
            "delete yunting.io/virtualdatacenters bureau-edu",
            "delete yunting.io/bureaus",
            "patch yunting.io/sharedservices bureau-edu",
            "update yunting.io/accessgrants bureau-edu",
            "patch yunting.io/deletioncertificates yunting-system",
            "delete yunting.io/deletioncertificates yunting-system",
            "patch yunting.io/vdcslices/status site-a",
            "update coordination.k8s.io/leases:yunting-site site-a",
            "create /pods bureau-edu",
            "impersonate /users",
            "create certificates.k8s.io/certificatesigningrequests",
            "delete admissionregistration.k8s.io/validatingadmissionpolicybindings",
        ],
    }
}

fn hubs_site() -> Identity {
    Identity {
        user: "yunting:site:a",
        groups: &["yunting:sites"],
        may: &[
            "watch yunting.io/vdcslices site-a",
            "watch yunting.io/hallslices site-a",
            "watch yunting.io/sitereports site-a",
            "watch /secrets site-a",
            "patch yunting.io/vdcslices/status site-a",
            "patch yunting.io/sitereports/status site-a",
            "create coordination.k8s.io/leases site-a",
            "patch coordination.k8s.io/leases:yunting-site site-a",
        ],
        may_not: &[
            "get yunting.io/vdcslices site-b",
            "get yunting.io/vdcslices",
            "get /secrets",
            "get /secrets bureau-edu",
            "get yunting.io/sites",
            "get yunting.io/virtualdatacenters bureau-edu",
            "patch yunting.io/vdcslices site-a",
            "create yunting.io/sitereports site-a",
            "create /secrets site-a",
            "patch coordination.k8s.io/leases:other site-a",
            "delete coordination.k8s.io/leases:yunting-site site-a",
        ],
    }
}

fn bureau_admin() -> Identity {
    Identity {
        user: "oidc:yunting-bureau-admin",
        groups: &[],
        may: &[
            "create yunting.io/virtualdatacenters bureau-edu",
            "delete yunting.io/halls bureau-edu",
            "operate yunting.io/halls bureau-edu",
            "patch yunting.io/sharedservices bureau-edu",
            "delete yunting.io/sharedservices bureau-edu",
            "create yunting.io/accessgrants bureau-edu",
            "get /secrets bureau-edu",
            "create /secrets bureau-edu",
            "list events.k8s.io/events bureau-edu",
            "list yunting.io/vdctemplates",
            "get yunting.io/bureaus:edu",
            "update yunting.io/bureaus:edu",
            "patch yunting.io/bureaus:edu",
        ],
        may_not: &[
            "administer yunting.io/bureaus:edu",
            "delete yunting.io/bureaus:edu",
            "patch yunting.io/bureaus/status:edu",
            "get yunting.io/bureaus:tax",
            "patch yunting.io/bureaus:tax",
            "list yunting.io/bureaus",
            "create yunting.io/bureaus",
            "get yunting.io/virtualdatacenters bureau-tax",
            "get yunting.io/sharedservices bureau-tax",
            "patch yunting.io/sharedservices bureau-tax",
            "get yunting.io/accessgrants bureau-tax",
            "patch yunting.io/sharedservices/status bureau-edu",
            "patch yunting.io/accessgrants/status bureau-edu",
            "patch yunting.io/virtualdatacenters/status bureau-edu",
            "get /secrets site-a",
            "create rbac.authorization.k8s.io/rolebindings bureau-edu",
            "get yunting.io/vdcslices site-a",
            "get yunting.io/sites",
            "delete /namespaces:bureau-edu bureau-edu",
        ],
    }
}

fn bureau_operator() -> Identity {
    Identity {
        user: "oidc:yunting-bureau-operator",
        groups: &[],
        may: &[
            "create yunting.io/halls bureau-edu",
            "operate yunting.io/halls bureau-edu",
            "get yunting.io/virtualdatacenters bureau-edu",
            "get yunting.io/sharedservices bureau-edu",
            "watch yunting.io/accessgrants bureau-edu",
        ],
        may_not: &[
            "patch yunting.io/sharedservices bureau-edu",
            "create yunting.io/accessgrants bureau-edu",
            "update yunting.io/virtualdatacenters bureau-edu",
            "get /secrets bureau-edu",
            "patch yunting.io/halls/status bureau-edu",
        ],
    }
}

fn bureau_vendor() -> Identity {
    Identity {
        user: "oidc:vendor",
        groups: &[],
        may: &[
            "get yunting.io/halls:exams bureau-edu",
            "watch yunting.io/halls:exams bureau-edu",
            "patch yunting.io/halls:exams bureau-edu",
            "update yunting.io/halls:exams bureau-edu",
        ],
        may_not: &[
            "get yunting.io/halls:admissions bureau-edu",
            "patch yunting.io/halls:admissions bureau-edu",
            "list yunting.io/halls bureau-edu",
            "watch yunting.io/halls bureau-edu",
            "get yunting.io/halls:exams bureau-tax",
            "operate yunting.io/halls:exams bureau-edu",
            "create yunting.io/halls bureau-edu",
            "delete yunting.io/halls:exams bureau-edu",
            "patch yunting.io/halls/status:exams bureau-edu",
            "get yunting.io/bureaus:edu",
            "get yunting.io/virtualdatacenters bureau-edu",
            "get yunting.io/sharedservices bureau-edu",
            "get yunting.io/accessgrants bureau-edu",
            "get /secrets bureau-edu",
        ],
    }
}

fn bureau_viewer() -> Identity {
    Identity {
        user: "oidc:yunting-bureau-viewer",
        groups: &[],
        may: &[
            "watch yunting.io/halls bureau-edu",
            "get yunting.io/virtualdatacenters bureau-edu",
            "list yunting.io/sharedservices bureau-edu",
            "list yunting.io/accessgrants bureau-edu",
        ],
        may_not: &[
            "update yunting.io/sharedservices bureau-edu",
            "create yunting.io/accessgrants bureau-edu",
            "get /secrets bureau-edu",
            "update yunting.io/halls bureau-edu",
            "operate yunting.io/halls bureau-edu",
        ],
    }
}

fn bureau_auditor() -> Identity {
    Identity {
        user: "oidc:yunting-bureau-auditor",
        groups: &[],
        may: &[
            "watch yunting.io/halls bureau-edu",
            "watch yunting.io/sharedservices bureau-edu",
            "watch yunting.io/accessgrants bureau-edu",
            "list rbac.authorization.k8s.io/rolebindings bureau-edu",
        ],
        may_not: &[
            "get /secrets bureau-edu",
            "update yunting.io/virtualdatacenters bureau-edu",
            "update yunting.io/sharedservices bureau-edu",
        ],
    }
}

fn platform_admin(group: &'static str) -> Identity {
    let groups: &'static [&'static str] = match group {
        "oidc:platform-admins" => &["oidc:platform-admins"],
        _ => &["yunting:platform-admins"],
    };
    Identity {
        user: "oidc:wang",
        groups,
        may: &[
            "create yunting.io/sites",
            "delete yunting.io/bureaus",
            "update yunting.io/vdctemplates",
            "administer yunting.io/bureaus:edu",
            "list yunting.io/virtualdatacenters",
            "list yunting.io/hallslices",
            "list yunting.io/sharedservices",
            "list yunting.io/accessgrants",
            "list yunting.io/deletioncertificates yunting-system",
        ],
        may_not: &[
            "create yunting.io/deletioncertificates yunting-system",
            "delete yunting.io/deletioncertificates yunting-system",
            "get /secrets bureau-edu",
            "get /secrets",
            "update yunting.io/virtualdatacenters bureau-edu",
            "create yunting.io/halls bureau-edu",
            "update yunting.io/sharedservices bureau-edu",
            "create yunting.io/accessgrants bureau-edu",
            "patch yunting.io/sites/status",
            "create rbac.authorization.k8s.io/clusterrolebindings",
            "delete /namespaces",
        ],
    }
}

fn ops() -> Identity {
    Identity {
        user: "oidc:zhao",
        groups: &["oidc:ops-operators"],
        may: &["update yunting.io/sites", "list yunting.io/bureaus", "list yunting.io/sitereports"],
        may_not: &[
            "list yunting.io/virtualdatacenters",
            "get yunting.io/halls bureau-edu",
            "list yunting.io/vdcslices",
            "list yunting.io/deletioncertificates yunting-system",
            "get /secrets bureau-edu",
            "update yunting.io/bureaus",
            "create yunting.io/sites",
        ],
    }
}

/// Logged in, no role. Groups that look alike are other groups.
fn nobody() -> Identity {
    Identity {
        user: "oidc:sun",
        groups: &["platform-admins", "oidc:yunting:hubs"],
        may: &["get yunting.io/vdctemplates"],
        may_not: &[
            "get yunting.io/sites",
            "get yunting.io/bureaus",
            "get yunting.io/halls bureau-edu",
            "watch /secrets",
        ],
    }
}
