//! The API servers of a site, its own and the hub's, with what stands beside each.

use super::bootstrap::FirstObjects;
use super::etcd_auth::EtcdAuth;
use super::process::{Plan, Prepare, Process, Ready, flags, text};
use crate::error::{Error, Result};
use crate::issuer;
use crate::pki::write_secret;
use crate::spec::{HUB_API_PORT, HUB_ETCD, HUB_SERVICES, ISSUER_PORT, SITE_API_PORT, SITE_ETCD};

/// What the hub's controller manager runs, and nothing else: the hub has no workloads.
const HUB_CONTROLLERS: [&str; 8] = [
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "certificatesigningrequest-signing-controller",
    "certificatesigningrequest-cleaner-controller",
    "resourcequota-controller",
    "clusterrole-aggregation-controller",
];

/// The control planes of site and hub.
pub fn processes(plan: &Plan) -> Vec<Process> {
    vec![site_api(plan), site_manager(plan), scheduler(plan), hub_api(plan), hub_manager(plan)]
}

/// Writes the files that API servers read at start.
pub fn write_config(plan: &Plan) -> Result<()> {
    write_secret(&plan.dir.config("audit.yaml"), AUDIT)?;
    let ca = plan.dir.pki("issuer-ca.crt");
    let listen = format!("127.0.0.1:{ISSUER_PORT}");
    let ca = std::fs::read_to_string(&ca).map_err(Error::io("read", &ca))?;
    write_secret(&plan.dir.config("authentication.yaml"), &issuer::authentication_configuration(&ca, &listen))
}

/// Who did what, without bodies; the health checks of a lab would drown it.
const AUDIT: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: ['/healthz*', '/livez*', '/readyz*']
- level: Metadata
";

/// The flags both API servers have.
fn common(plan: &Plan, name: &str) -> Vec<String> {
    let audit = text(&plan.dir.log(&format!("{name}-audit")));
    flags([
        ("advertise-address", plan.site.address().to_string()),
        ("authentication-config", plan.config("authentication.yaml")),
        ("audit-policy-file", plan.config("audit.yaml")),
        ("audit-log-path", audit),
        ("audit-log-maxsize", "50".into()),
        ("audit-log-maxbackup", "3".into()),
        ("requestheader-allowed-names", "front-proxy-client".into()),
        ("requestheader-username-headers", "X-Remote-User".into()),
        ("requestheader-group-headers", "X-Remote-Group".into()),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-".into()),
        ("enable-admission-plugins", "NodeRestriction".into()),
        ("profiling", "false".into()),
        // Several copies and watches of a test's controllers come from few clients.
        ("max-requests-inflight", "800".into()),
        ("max-mutating-requests-inflight", "400".into()),
    ])
}

fn site_api(plan: &Plan) -> Process {
    let mut args = common(plan, "apiserver");
    args.extend(flags([
        ("etcd-servers", format!("https://127.0.0.1:{}", SITE_ETCD.client)),
        ("etcd-cafile", plan.pki("etcd-ca.crt")),
        ("etcd-certfile", plan.pki("etcd-client.crt")),
        ("etcd-keyfile", plan.pki("etcd-client.key")),
        ("secure-port", SITE_API_PORT.to_string()),
        ("service-cluster-ip-range", plan.site.services()),
        ("tls-cert-file", plan.pki("apiserver.crt")),
        ("tls-private-key-file", plan.pki("apiserver.key")),
        ("client-ca-file", plan.pki("cluster-ca.crt")),
        ("service-account-key-file", plan.pki("sa.pub")),
        ("service-account-signing-key-file", plan.pki("sa.key")),
        ("service-account-issuer", format!("https://{}.site.yunting.internal", plan.site.name)),
        ("encryption-provider-config", plan.pki("encryption.yaml")),
        ("requestheader-client-ca-file", plan.pki("front-proxy-ca.crt")),
        ("proxy-client-cert-file", plan.pki("front-proxy.crt")),
        ("proxy-client-key-file", plan.pki("front-proxy.key")),
        ("authorization-mode", "Node,RBAC".into()),
        ("kubelet-preferred-address-types", "InternalIP".into()),
        ("kubelet-certificate-authority", plan.pki("cluster-ca.crt")),
        ("kubelet-client-certificate", plan.pki("kubelet-client.crt")),
        ("kubelet-client-key", plan.pki("kubelet-client.key")),
        ("allow-privileged", "true".into()),
    ]));
    Process::new("apiserver", plan.bin("kube-apiserver"), args)
        .after(&["etcd", "issuer"])
        .prepare(Prepare::Objects(FirstObjects::new(plan, SITE_ETCD, "etcd-ca.crt", "etcd-client", true)))
        .ready(Ready::Https(SITE_API_PORT, "/readyz"))
}

/// Asks the member beside it only: a site cut off has no majority either way, and nothing waits for far members.
fn hub_api(plan: &Plan) -> Process {
    let mut args = common(plan, "hub-apiserver");
    args.extend(flags([
        ("etcd-servers", format!("https://127.0.0.1:{}", HUB_ETCD.client)),
        ("etcd-cafile", plan.pki("hub-etcd-ca.crt")),
        ("etcd-certfile", plan.pki("hub-etcd-client.crt")),
        ("etcd-keyfile", plan.pki("hub-etcd-client.key")),
        ("secure-port", HUB_API_PORT.to_string()),
        ("service-cluster-ip-range", HUB_SERVICES.into()),
        ("tls-cert-file", plan.pki("hub-serving.crt")),
        ("tls-private-key-file", plan.pki("hub-serving.key")),
        ("client-ca-file", plan.pki("hub-clients-ca.crt")),
        ("service-account-key-file", plan.pki("hub-sa.pub")),
        ("service-account-signing-key-file", plan.pki("hub-sa.key")),
        ("service-account-issuer", "https://hub.yunting.internal".into()),
        ("encryption-provider-config", plan.pki("hub-encryption.yaml")),
        ("requestheader-client-ca-file", plan.pki("hub-front-proxy-ca.crt")),
        ("proxy-client-cert-file", plan.pki("hub-front-proxy.crt")),
        ("proxy-client-key-file", plan.pki("hub-front-proxy.key")),
        ("authorization-mode", "RBAC".into()),
    ]));
    Process::new("hub-apiserver", plan.bin("kube-apiserver"), args)
        .after(&["hub-etcd", "issuer"])
        .prepare(Prepare::Hub(
            FirstObjects::new(plan, HUB_ETCD, "hub-etcd-ca.crt", "hub-etcd-client", false),
            EtcdAuth::new(plan),
        ))
        .ready(Ready::Https(HUB_API_PORT, "/readyz"))
}

/// The flags both controller managers have.
fn manager(plan: &Plan, kubeconfig: &str) -> Vec<String> {
    let kubeconfig = plan.kube(kubeconfig);
    flags([
        ("kubeconfig", kubeconfig.clone()),
        ("authentication-kubeconfig", kubeconfig.clone()),
        ("authorization-kubeconfig", kubeconfig),
        ("bind-address", "127.0.0.1".into()),
        ("use-service-account-credentials", "true".into()),
        // The defaults of 20 and 30 would be what a test of many objects measures.
        ("kube-api-qps", "300".into()),
        ("kube-api-burst", "600".into()),
        ("concurrent-resource-quota-syncs", "10".into()),
        ("concurrent-namespace-syncs", "20".into()),
        ("profiling", "false".into()),
    ])
}

fn site_manager(plan: &Plan) -> Process {
    let mut args = manager(plan, "controller-manager.yaml");
    args.extend(flags([
        ("leader-elect", "false".into()),
        ("secure-port", "10257".into()),
        ("service-account-private-key-file", plan.pki("sa.key")),
        ("root-ca-file", plan.pki("cluster-ca.crt")),
        ("cluster-signing-cert-file", plan.pki("cluster-ca.crt")),
        ("cluster-signing-key-file", plan.pki("cluster-ca.key")),
    ]));
    Process::new("controller-manager", plan.bin("kube-controller-manager"), args)
        .after(&["apiserver"])
        .ready(Ready::Https(10257, "/healthz"))
}

fn hub_manager(plan: &Plan) -> Process {
    let mut args = manager(plan, "hub-controller-manager.yaml");
    args.extend(flags([
        ("leader-elect", "true".into()),
        ("controllers", HUB_CONTROLLERS.join(",")),
        ("secure-port", "11257".into()),
        ("service-account-private-key-file", plan.pki("hub-sa.key")),
        ("root-ca-file", plan.pki("hub-serving-ca.crt")),
        ("cluster-signing-kube-apiserver-client-cert-file", plan.pki("hub-clients-ca.crt")),
        ("cluster-signing-kube-apiserver-client-key-file", plan.pki("hub-clients-ca.key")),
    ]));
    Process::new("hub-controller-manager", plan.bin("kube-controller-manager"), args)
        .after(&["hub-apiserver"])
        .ready(Ready::Https(11257, "/healthz"))
}

fn scheduler(plan: &Plan) -> Process {
    let kubeconfig = plan.kube("scheduler.yaml");
    let args = flags([
        ("kubeconfig", kubeconfig.clone()),
        ("authentication-kubeconfig", kubeconfig.clone()),
        ("authorization-kubeconfig", kubeconfig),
        ("bind-address", "127.0.0.1".into()),
        ("leader-elect", "false".into()),
        ("profiling", "false".into()),
    ]);
    Process::new("scheduler", plan.bin("kube-scheduler"), args)
        .after(&["apiserver"])
        .ready(Ready::Https(10259, "/healthz"))
}
