//! The objects that are changed: one of each kind that people write, with everything optional set that can be.

use serde_json::{Value, json};
use yunting_tests::mutations::TOKEN;
use yunting_tests::plane::SITE;

/// The VDC of every tenant.
pub const VDC: &str = "cloud";
/// The hall of every tenant.
pub const HALL: &str = "desk";
/// The kinds of a tenant, in the order in which they are made.
pub const KINDS: [&str; 4] = ["VdcTemplate", "Bureau", "VirtualDataCenter", "Hall"];

/// Where an object of that kind is: its namespace and its name.
pub fn place(kind: &str) -> (Option<String>, String) {
    let bureau = Some(format!("bureau-{TOKEN}"));
    match kind {
        "Site" => (None, SITE.to_owned()),
        "VdcTemplate" => (None, format!("t-{TOKEN}")),
        "Bureau" => (None, TOKEN.to_owned()),
        "VirtualDataCenter" => (bureau, VDC.to_owned()),
        _ => (bureau, HALL.to_owned()),
    }
}

/// The whole object of that kind.
pub fn object(kind: &str) -> Value {
    let (namespace, name) = place(kind);
    let spec = match kind {
        "Site" => site(),
        "VdcTemplate" => template(),
        "Bureau" => bureau(),
        "VirtualDataCenter" => vdc(),
        _ => hall(),
    };
    json!({"apiVersion": "yunting.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

/// The site, with room for every tenant at once.
pub fn site() -> Value {
    json!({"displayName": "谯城数据中心", "region": "bozhou", "failureDomain": "qiaocheng-1", "state": "Enabled",
        "capacity": {"declared": {"cpu": "100000", "memory": "1000Ti", "storage": "1000Ti", "pods": 900_000,
                "services": 900_000, "loadBalancers": 90_000, "gpu": 90_000},
            "overcommitPercent": {"cpu": 200, "memory": 100}, "drReservePercent": 20},
        "providers": {"network": {"kind": "NetworkPolicy"},
            "storage": [{"name": "local-path", "driver": "rancher.io/local-path", "encryption": "None", "replication": "None"}],
            "ingress": {"kind": "Gateway", "className": "yunting", "address": "127.0.0.1:8081",
                "sourceCidrs": ["192.0.2.0/28"]}}})
}

/// The bureau that the tenant's is carved from.
pub fn parent() -> Value {
    json!({"displayName": "市政府", "quota": {"cpu": "200", "memory": "400Gi", "storage": "4Ti"}})
}

/// The tenant's bureau.
pub fn bureau() -> Value {
    let member =
        |kind: &str, name: &str, role: &str| json!({"subject": {"kind": kind, "name": name}, "role": role});
    let mut vendor = member("User", "vendor", "AppVendor");
    vendor["halls"] = json!([HALL]);
    json!({"displayName": "测试局", "parentRef": {"name": format!("p-{TOKEN}")},
        "domains": [format!("{TOKEN}.example"), format!("second.{TOKEN}.example")],
        "quota": {"cpu": "60", "memory": "100Gi", "storage": "1Ti", "gpu": 8, "loadBalancers": 8, "halls": 5, "vdcs": 5},
        "members": [member("Group", "admins", "Admin"), vendor, member("User", "王芳", "Viewer")]})
}

/// What the tenant's VDC takes where it is silent.
pub fn template() -> Value {
    json!({"displayName": "中型", "description": "for halls", "quota": quota(),
        "drReserve": reserve(), "isolation": isolation()})
}

fn quota() -> Value {
    json!({"cpu": "6", "memory": "6Gi", "storage": "24Gi", "pods": 60, "services": 40, "loadBalancers": 4, "gpu": 4})
}

fn reserve() -> Value {
    json!({"mode": "Fixed", "fixed": {"cpu": "1", "memory": "1Gi", "storage": "1Gi", "pods": 4, "services": 2,
        "loadBalancers": 1, "gpu": 1}})
}

fn isolation() -> Value {
    json!({"egress": [{"cidr": "203.0.113.0/24", "ports": [443, 8443]}], "ingressFrom": ["Portal"],
        "allowLoadBalancer": true})
}

/// The tenant's VDC.
pub fn vdc() -> Value {
    let mut spec = silent_vdc();
    spec["quota"] = quota();
    spec["drReserve"] = reserve();
    spec["isolation"] = isolation();
    spec
}

/// The same where the template speaks.
pub fn silent_vdc() -> Value {
    json!({"displayName": "测试云", "templateRef": {"name": format!("t-{TOKEN}")},
        "sites": {"names": [SITE], "spread": "FailureDomain"},
        "namespaces": [{"name": "app", "access": "HallsOnly", "weight": 3}, {"name": "sandbox", "access": "Direct", "weight": 1}],
        "encryption": {"keyProvider": "Embedded", "rotationDays": 30, "transport": "Preferred"},
        "lifecycle": {"state": "Active", "coolingOffHours": 24, "leaseDays": 365}})
}

fn image(digit: char) -> String {
    format!("localhost/yunting-hall@sha256:{}", digit.to_string().repeat(64))
}

/// The tenant's hall: a portal, a back end that grows with load, a database.
pub fn hall() -> Value {
    json!({"vdcRef": {"name": VDC}, "displayName": "测试厅", "availabilityClass": "Gold", "priority": 120,
        "slo": {"availabilityPermille": 990},
        "portal": {"host": format!("desk.{TOKEN}.example"), "paths": ["/", "/api"], "component": "portal"},
        "components": [portal(), back(), database()]})
}

fn portal() -> Value {
    json!({"name": "portal", "namespace": "app", "zone": "Portal", "kind": "Stateless", "image": image('a'),
        "command": ["/bin/hall"], "args": ["portal", "--verbose"], "replicas": 1,
        "resources": {"cpu": "20m", "memory": "48Mi"},
        "ports": [{"name": "http", "port": 8080}, {"name": "extra", "port": 8081}],
        "env": [{"name": "GREETING", "value": "您好"}, {"name": "SECOND", "value": "$(GREETING)!"},
            {"name": "TOKEN", "secretKey": {"name": "desk-tokens", "key": "api"}}],
        "configFiles": [{"path": "/etc/hall/a.conf", "content": "a"}, {"path": "/etc/hall/b.conf", "content": "b"}],
        "secretRefs": [{"name": "desk-tokens", "mountPath": "/run/tokens", "generate": ["api", "admin"]}],
        "writablePaths": ["/tmp", "/var/cache"], "runAsUser": 10001,
        "probes": {"ready": {"http": "/healthz", "port": "http", "periodSeconds": 7, "failureThreshold": 4},
            "live": {"tcp": "Open", "periodSeconds": 10}, "start": {"exec": ["/bin/hall", "check"], "failureThreshold": 30}},
        "calls": [{"component": "back"}], "rollout": {"maxUnavailable": 1, "maxSurge": 0}})
}

fn back() -> Value {
    json!({"name": "back", "zone": "Approval", "image": image('a'), "resources": {"cpu": "20m", "memory": "48Mi"},
        "ports": [{"name": "http", "port": 8080}], "calls": [{"component": "db"}],
        "autoscaling": {"minReplicas": 1, "maxReplicas": 3, "cpuPercent": 60}})
}

fn database() -> Value {
    json!({"name": "db", "zone": "Data", "kind": "Stateful", "image": image('b'), "replicas": 2,
        "resources": {"cpu": "20m", "memory": "48Mi"}, "ports": [{"name": "postgres", "port": 5432}], "runAsUser": 70,
        "secretRefs": [{"name": "desk-db", "generate": ["password"]}],
        "env": [{"name": "POSTGRES_PASSWORD", "secretKey": {"name": "desk-db", "key": "password"}}],
        "volumes": [{"name": "data", "size": "1Gi", "mountPath": "/var/lib/postgresql"}]})
}
