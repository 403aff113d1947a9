//! What the hub refuses of a bureau's members, and of the rights by which its administrators edit them.

use serde_json::{Value, json};

use crate::case::{
    Ask, Case, HUB, PERSON, REAL_RIGHTS, User, applied, create, delete, json_patch, merge, policy, put,
};
use crate::hub::{NAMESPACES, rbac};
use crate::hub_fixtures::{bureau, members as standing, members_binding, members_role, vendor_role};
use crate::objects::{role_binding, with};

/// An administrator of bureau edu, with the rights that the hub gave.
const ADMIN: User = User { name: "oidc:chen", groups: &[REAL_RIGHTS] };
/// With its own rights: who has every right may administer bureaus.
const COLLECTOR: User = User {
    name: "system:serviceaccount:kube-system:generic-garbage-collector",
    groups: &["system:serviceaccounts", "system:serviceaccounts:kube-system", REAL_RIGHTS],
};

const EDU: &str = "/apis/yunting.io/v1alpha1/bureaus/edu";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn member(name: &str, role: &str) -> Value {
    json!({"subject": {"kind": "User", "name": name}, "role": role})
}

fn adds(member: Value) -> Ask {
    json_patch(EDU, json!([{"op": "add", "path": "/spec/members/-", "value": member}]))
}

fn spec(patch: Value) -> Ask {
    merge(EDU, json!({"spec": patch}))
}

fn meta(patch: Value) -> Ask {
    merge(EDU, json!({"metadata": patch}))
}

pub fn members() -> Vec<Case> {
    let (only, marks, last) =
        ("spec.members and nothing else", "not labels and annotations", "would have no Admin left");
    let both = json!({"members": [member("li", "Admin")], "displayName": "x"});
    let whole: fn(&mut Value) = |b| b["spec"]["quota"]["cpu"] = "800".into();
    let new: fn(&mut Value) =
        |b| b["spec"]["members"][1] = json!({"subject": {"kind": "User", "name": "li"}, "role": "Operator"});
    let apply = |patch: Value| {
        let spec = json!({"spec": {"displayName": "edu", "members": [member("li", "Admin")]}});
        applied(EDU, with(with(bureau("edu"), spec), patch))
    };
    let applied_by_client = "kubectl.kubernetes.io/last-applied-configuration";
    policy("yunting-bureau-members")
        .refuses(only, ADMIN, spec(json!({"quota": {"cpu": "800"}})))
        .refuses(only, ADMIN, spec(json!({"quota": null})))
        .refuses(only, ADMIN, spec(json!({"domains": ["tax.bozhou.example"]})))
        .refuses(only, ADMIN, spec(json!({"domains": []})))
        .refuses(only, ADMIN, spec(json!({"parentRef": {"name": "ripe"}})))
        .refuses(only, ADMIN, spec(json!({"displayName": "x"})))
        .refuses(only, ADMIN, spec(both))
        .refuses(only, ADMIN, put(EDU, whole))
        .refuses(only, ADMIN, apply(json!({"spec": {"quota": {"cpu": "800"}}})))
        .refuses(marks, ADMIN, meta(json!({"labels": {"my.io/x": "1"}})))
        .refuses(marks, ADMIN, meta(json!({"annotations": {"my.io/x": "1"}})))
        .refuses("kubectl edit", ADMIN, meta(json!({"annotations": {applied_by_client: "{}"}})))
        .refuses(last, ADMIN, spec(json!({"members": []})))
        .refuses(last, ADMIN, spec(json!({"members": null})))
        .refuses(last, ADMIN, spec(json!({"members": [member("li", "Operator")]})))
        .refuses(last, ADMIN, json_patch(EDU, json!([{"op": "remove", "path": "/spec/members/0"}])))
        .accepts(ADMIN, adds(member("li", "Operator")))
        .accepts(ADMIN, adds(with(member("li", "AppVendor"), json!({"halls": ["qiaocheng"]}))))
        .accepts(ADMIN, spec(json!({"members": [member("li", "Admin")]})))
        .accepts(ADMIN, put(EDU, new))
        .accepts(ADMIN, apply(json!({})))
        .accepts(ADMIN, spec(json!({"members": standing()})))
        .accepts(PERSON, spec(json!({"quota": {"cpu": "800"}, "members": []})))
        .accepts(PERSON, meta(json!({"labels": {"my.io/x": "1"}})))
        .accepts(HUB, meta(json!({"finalizers": ["yunting.io/hub"]})))
        .accepts(COLLECTOR, meta(json!({"finalizers": ["foregroundDeletion"]})))
        .done()
}

pub fn cluster_roles() -> Vec<Case> {
    let (roles, bindings) = (format!("{RBAC}/clusterroles"), format!("{RBAC}/clusterrolebindings"));
    let own = "yunting-bureau-members-edu";
    let (role, binding) = (format!("{roles}/{own}"), format!("{bindings}/{own}"));
    let rule = |patch: Value| {
        let mut role = members_role("tax");
        role["rules"][0] = with(role["rules"][0].clone(), patch);
        create(&roles, role)
    };
    let bind = |patch: Value| create(&bindings, with(members_binding("tax", "User", "oidc:li"), patch));
    let other = |object: Value| with(object, json!({"metadata": {"name": "other"}}));
    let selector = json!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}});
    let (by_hub, only) = ("written by the hub only", "writes yunting-bureau-members-<bureau> only");
    let (exact, bound) = ("of that one bureau and nothing else", "binds the ClusterRole of its own name");
    let mut lines = policy("yunting-hub-cluster-roles")
        .refuses(by_hub, PERSON, create(&roles, members_role("tax")))
        .refuses(by_hub, PERSON, merge(&role, json!({"metadata": {"labels": {"a": "b"}}})))
        .refuses(by_hub, PERSON, delete(&role))
        .refuses(by_hub, PERSON, create(&bindings, members_binding("tax", "User", "oidc:li")))
        .refuses(by_hub, PERSON, delete(&binding))
        .refuses(only, HUB, create(&roles, other(members_role("tax"))))
        .refuses(only, HUB, create(&bindings, other(role_binding_of_all("cluster-admin"))))
        .refuses(
            only,
            HUB,
            merge(&format!("{roles}/yunting-hub"), json!({"metadata": {"labels": {"a": "b"}}})),
        )
        .refuses(only, HUB, delete(&format!("{roles}/yunting-hub")))
        .refuses(only, HUB, delete(&format!("{bindings}/yunting-platform-admin")))
        .refuses(exact, HUB, rule(json!({"resourceNames": ["edu"]})))
        .refuses(exact, HUB, rule(json!({"resourceNames": ["tax", "edu"]})))
        .refuses(exact, HUB, rule(json!({"resourceNames": []})))
        .refuses(exact, HUB, rule(json!({"resources": ["*"]})))
        .refuses(exact, HUB, rule(json!({"apiGroups": ["*"]})))
        .refuses(exact, HUB, rule(json!({"verbs": ["get", "administer"]})))
        .refuses(exact, HUB, rule(json!({"verbs": ["delete"]})))
        .refuses(exact, HUB, create(&roles, with(members_role("tax"), json!({"rules": []}))))
        .refuses(exact, HUB, create(&roles, with(members_role("tax"), selector)))
        .refuses(exact, HUB, merge(&role, json!({"rules": members_role("tax")["rules"]})))
        .refuses(bound, HUB, bind(json!({"roleRef": {"name": "cluster-admin"}})))
        .refuses(bound, HUB, bind(json!({"roleRef": {"name": own}})));
    for (kind, subject) in [
        ("Group", "system:authenticated"),
        ("User", "oidc:yunting:site:a"),
        ("Group", "oidc:system:masters"),
        ("User", "li"),
        ("ServiceAccount", "default"),
    ] {
        lines = lines.refuses(bound, HUB, create(&bindings, members_binding("tax", kind, subject)));
    }
    lines
        .accepts(HUB, create(&roles, members_role("tax")))
        .accepts(HUB, applied(&role, members_role("edu")))
        .accepts(HUB, create(&bindings, members_binding("tax", "Group", "oidc:tax-it")))
        .accepts(HUB, applied(&binding, members_binding("edu", "Group", "oidc:edu-it")))
        .accepts(HUB, delete(&binding))
        .accepts(HUB, delete(&role))
        .accepts(PERSON, create(&roles, other(members_role("tax"))))
        .accepts(PERSON, create(&bindings, other(role_binding_of_all("view"))))
        .done()
}

fn role_binding_of_all(role: &str) -> Value {
    with(role_binding(role, "User", "oidc:li"), json!({"kind": "ClusterRoleBinding"}))
}

/// A binding to a Role of the namespace.
fn to_role(role: &str, user: &str) -> Value {
    with(role_binding(role, "User", user), json!({"roleRef": {"kind": "Role"}}))
}

pub fn bindings() -> Vec<Case> {
    let (edu, at_a) = (rbac("bureau-edu", "rolebindings"), rbac("site-a", "rolebindings"));
    let roles = rbac("bureau-edu", "roles");
    let vendor = |rule: Value| {
        let mut role = vendor_role("guoyang");
        role["rules"][0] = with(role["rules"][0].clone(), rule);
        create(&roles, role)
    };
    let two = with(
        vendor_role("guoyang"),
        json!({"rules": [vendor_role("guoyang")["rules"][0], {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}),
    );
    let only = "the only Roles in bureau-*";
    let viewer = "yunting-bureau-viewer";
    let mut lines = policy("yunting-hub-bindings")
        .refuses("written by the hub only", PERSON, create(&edu, role_binding(viewer, "User", "oidc:li")))
        .refuses(
            "written by the hub only",
            PERSON,
            create(&at_a, role_binding("yunting-site", "User", "yunting:site:a")),
        )
        .refuses("written by the hub only", PERSON, delete(&format!("{edu}/old")))
        .refuses("written by the hub only", PERSON, create(&roles, vendor_role("guoyang")))
        .refuses("written by the hub only", PERSON, delete(&format!("{roles}/yunting-hall-vendor-qiaocheng")))
        .refuses(only, HUB, create(&rbac("site-a", "roles"), vendor_role("guoyang")))
        .refuses(only, HUB, vendor(json!({"resourceNames": ["lixin"]})))
        .refuses(only, HUB, vendor(json!({"resourceNames": ["guoyang", "lixin"]})))
        .refuses(only, HUB, vendor(json!({"resourceNames": []})))
        .refuses(only, HUB, vendor(json!({"resources": ["halls", "virtualdatacenters"]})))
        .refuses(only, HUB, vendor(json!({"apiGroups": [""], "resources": ["secrets"]})))
        .refuses(only, HUB, vendor(json!({"verbs": ["get", "operate"]})))
        .refuses(only, HUB, vendor(json!({"verbs": ["*"]})))
        .refuses(only, HUB, create(&roles, two))
        .refuses(only, HUB, create(&roles, with(vendor_role("guoyang"), json!({"rules": []}))))
        .refuses(
            only,
            HUB,
            merge(
                &format!("{roles}/yunting-hall-vendor-qiaocheng"),
                json!({"rules": vendor_role("lixin")["rules"]}),
            ),
        )
        .refuses(
            "only the ClusterRoles yunting-bureau-*",
            HUB,
            create(&edu, role_binding("yunting-bureau-appvendor", "User", "oidc:li")),
        )
        .refuses("only the ClusterRoles yunting-bureau-*", HUB, create(&edu, to_role("other", "oidc:li")))
        .refuses("members of a bureau are", HUB, create(&edu, to_role("yunting-hall-vendor-qiaocheng", "li")))
        .accepts(HUB, create(&edu, to_role("yunting-hall-vendor-qiaocheng", "oidc:li")))
        .accepts(HUB, create(&roles, vendor_role("guoyang")))
        .accepts(HUB, delete(&format!("{roles}/yunting-hall-vendor-qiaocheng")))
        .accepts(NAMESPACES, delete(&format!("{roles}/yunting-hall-vendor-qiaocheng")))
        .refuses(
            "only the ClusterRoles yunting-bureau-*",
            HUB,
            create(&edu, role_binding("cluster-admin", "User", "oidc:li")),
        )
        .refuses(
            "only the ClusterRoles yunting-bureau-*",
            HUB,
            create(&edu, role_binding("yunting-site", "User", "oidc:li")),
        );
    for (kind, subject) in [
        ("Group", "system:authenticated"),
        ("Group", "system:masters"),
        ("User", "yunting:hub:a"),
        ("User", "oidc:yunting:site:a"),
        ("Group", "oidc:system:masters"),
        ("User", "li"),
        ("ServiceAccount", "default"),
    ] {
        lines =
            lines.refuses("members of a bureau are", HUB, create(&edu, role_binding(viewer, kind, subject)));
    }
    for (role, kind, subject) in [
        ("yunting-site", "User", "yunting:site:b"),
        ("yunting-site", "User", "yunting:site:a-b"),
        ("yunting-site", "Group", "yunting:sites"),
        ("cluster-admin", "User", "yunting:site:a"),
    ] {
        lines = lines.refuses(
            "only ClusterRole yunting-site is bound",
            HUB,
            create(&at_a, role_binding(role, kind, subject)),
        );
    }
    for role in ["admin", "operator", "viewer", "auditor"] {
        lines = lines
            .accepts(HUB, create(&edu, role_binding(&format!("yunting-bureau-{role}"), "Group", "oidc:edu")));
    }
    lines
        .accepts(HUB, create(&at_a, role_binding("yunting-site", "User", "yunting:site:a")))
        .accepts(HUB, delete(&format!("{edu}/old")))
        .accepts(NAMESPACES, delete(&format!("{edu}/old")))
        .accepts(
            PERSON,
            create(&rbac("default", "rolebindings"), role_binding("view", "Group", "system:authenticated")),
        )
        .done()
}
