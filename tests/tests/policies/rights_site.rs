//! What RBAC gives at a site, asked of the API server for each identity.

use yunting_tests::apiserver::ApiServer;

use crate::flows::As;
use crate::objects::role_binding;
use crate::rights::{Identity, check};
use crate::site_fixtures::{named, namespace, restricted};

/// A site, its members' roles bound by the site controller's own hand.
pub async fn site(server: &ApiServer) {
    let controller = As::site_controller(server);
    controller
        .apply("/api/v1/namespaces/app", namespace("app", &restricted("Direct", "closed")))
        .await
        .unwrap();
    for role in [
        "yunting-reader",
        "yunting-halls-reader",
        "yunting-halls-vendor",
        "yunting-direct-admin",
        "yunting-direct-operator",
    ] {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/app/rolebindings/{role}");
        let binding = named(role, role_binding(role, "User", &format!("oidc:{role}")));
        controller.apply(&path, binding).await.unwrap();
    }
    check(server, &[site_controller(), gateway()]).await;
    check(server, &[reader(), halls_reader(), halls_vendor(), direct_admin(), direct_operator()]).await;
}

fn site_controller() -> Identity {
    Identity {
        user: "yunting:site-controller",
        groups: &["yunting:site-controllers"],
        may: &[
            "patch /namespaces",
            "create networking.k8s.io/networkpolicies app",
            "patch apps/deployments app",
            "create apps/statefulsets app",
            "delete /pods app",
            "delete batch/cronjobs app",
            "delete apps/replicasets app",
            "create /pods yunting-canary",
            "patch gateway.networking.k8s.io/httproutes app",
            "patch discovery.k8s.io/endpointslices app",
            "patch yunting.io/slicerecords",
            "watch admissionregistration.k8s.io/validatingadmissionpolicies",
            "update coordination.k8s.io/leases yunting-system",
            "bind rbac.authorization.k8s.io/clusterroles:yunting-reader",
        ],
        may_not: &[
            "create /pods app",
            "create /pods/exec app",
            "create /pods/binding app",
            "patch /namespaces/finalize",
            "create rbac.authorization.k8s.io/roles app",
            "bind rbac.authorization.k8s.io/clusterroles:cluster-admin",
            "escalate rbac.authorization.k8s.io/clusterroles",
            "create rbac.authorization.k8s.io/clusterrolebindings",
            "delete admissionregistration.k8s.io/validatingadmissionpolicies",
            "update coordination.k8s.io/leases kube-system",
            "patch /nodes",
            "create apps/daemonsets app",
            "patch batch/jobs app",
            "impersonate /users",
        ],
    }
}

fn gateway() -> Identity {
    Identity {
        user: "yunting:gateway",
        groups: &[],
        may: &[
            "watch gateway.networking.k8s.io/httproutes",
            "patch gateway.networking.k8s.io/httproutes/status app",
            "patch gateway.networking.k8s.io/gateways/status yunting-gateway",
            "watch discovery.k8s.io/endpointslices",
            "watch /services",
            "watch /namespaces",
        ],
        may_not: &[
            "patch gateway.networking.k8s.io/httproutes app",
            "get /secrets app",
            "get /pods app",
            "get /configmaps app",
        ],
    }
}

fn reader() -> Identity {
    Identity {
        user: "oidc:yunting-reader",
        groups: &[],
        may: &[
            "list /pods app",
            "get apps/deployments app",
            "get /resourcequotas app",
            "list networking.k8s.io/networkpolicies app",
        ],
        may_not: &[
            "get /secrets app",
            "get /pods/log app",
            "list events.k8s.io/events app",
            "create /pods app",
            "get /pods",
        ],
    }
}

fn halls_reader() -> Identity {
    Identity {
        user: "oidc:yunting-halls-reader",
        groups: &[],
        may: &["list /pods app", "get /pods/log app", "list events.k8s.io/events app", "list /events app"],
        may_not: &[
            "get /secrets app",
            "create /pods/exec app",
            "get /pods/exec app",
            "patch apps/deployments app",
            "delete /pods app",
        ],
    }
}

fn halls_vendor() -> Identity {
    Identity {
        user: "oidc:yunting-halls-vendor",
        groups: &[],
        may: &["list /pods app", "get /pods/log app"],
        may_not: &["watch /pods app", "get /configmaps app", "get /secrets app", "get apps/deployments app"],
    }
}

fn direct_admin() -> Identity {
    Identity {
        user: "oidc:yunting-direct-admin",
        groups: &[],
        may: &[
            "create /pods app",
            "delete apps/deployments app",
            "patch apps/statefulsets/scale app",
            "create batch/cronjobs app",
            "create /persistentvolumeclaims app",
            "update /services app",
            "get /secrets app",
            "create /pods/exec app",
            "get /pods/log app",
        ],
        may_not: &[
            "patch networking.k8s.io/networkpolicies app",
            "update /resourcequotas app",
            "create rbac.authorization.k8s.io/rolebindings app",
            "create discovery.k8s.io/endpointslices app",
            "create /pods/binding app",
            "patch /pods/ephemeralcontainers app",
            "patch /services/status app",
            "create gateway.networking.k8s.io/httproutes app",
            "create /serviceaccounts/token app",
            "patch /namespaces:app app",
            "create /pods default",
        ],
    }
}

fn direct_operator() -> Identity {
    Identity {
        user: "oidc:yunting-direct-operator",
        groups: &[],
        may: &["create /pods app", "patch apps/deployments app", "get /pods/log app"],
        may_not: &[
            "get /secrets app",
            "create /pods/exec app",
            "create /services app",
            "create /persistentvolumeclaims app",
        ],
    }
}
