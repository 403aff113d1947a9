//! What one pod, volume claim or Service costs of a ResourceQuota, counted as an API server counts it, and when it
//! came into being.

use serde_json::Value;
use yunting_crds::resources::Kind;

/// A resource that a ResourceQuota of ours limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Pods that have not ended.
    Pods,
    /// Processor time asked, in millicores.
    RequestsCpu,
    /// Processor time at most.
    LimitsCpu,
    /// Memory asked, in bytes.
    RequestsMemory,
    /// Memory at most.
    LimitsMemory,
    /// Accelerators.
    Gpu,
    /// Space of volumes, in bytes.
    Storage,
    /// Services.
    Services,
    /// Services of type LoadBalancer.
    LoadBalancers,
    /// Ports on nodes.
    NodePorts,
}

/// Key of a ResourceQuota for each resource; the space of one StorageClass has a key of its own besides.
const KEYS: [(Resource, &str, Kind); 10] = [
    (Resource::Pods, "pods", Kind::Pods),
    (Resource::RequestsCpu, "requests.cpu", Kind::Cpu),
    (Resource::LimitsCpu, "limits.cpu", Kind::Cpu),
    (Resource::RequestsMemory, "requests.memory", Kind::Memory),
    (Resource::LimitsMemory, "limits.memory", Kind::Memory),
    (Resource::Gpu, "requests.nvidia.com/gpu", Kind::Gpu),
    (Resource::Storage, "requests.storage", Kind::Storage),
    (Resource::Services, "services", Kind::Services),
    (Resource::LoadBalancers, "services.loadbalancers", Kind::LoadBalancers),
    (Resource::NodePorts, "services.nodeports", Kind::Services),
];
/// Ending of the key for the space of one StorageClass.
const OF_CLASS: &str = ".storageclass.storage.k8s.io/requests.storage";

impl Resource {
    /// The resource that a key of a ResourceQuota limits. A VDC has one class, so its space is all its space.
    pub fn of_key(key: &str) -> Option<Self> {
        let known = KEYS.iter().find(|(_, k, _)| *k == key).map(|(resource, ..)| *resource);
        known.or_else(|| key.ends_with(OF_CLASS).then_some(Self::Storage))
    }

    /// Its key.
    pub fn key(self) -> &'static str {
        KEYS.iter().find(|(r, ..)| *r == self).map_or("", |(_, key, _)| *key)
    }

    /// What it is counted in.
    pub fn unit(self) -> Kind {
        KEYS.iter().find(|(r, ..)| *r == self).map_or(Kind::Pods, |(.., unit)| *unit)
    }

    /// What costs it.
    pub fn of(self) -> What {
        match self {
            Self::Storage => What::Claim,
            Self::Services | Self::LoadBalancers | Self::NodePorts => What::Service,
            _ => What::Pod,
        }
    }
}

/// A kind of object that costs quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// `Pod`.
    Pod,
    /// `PersistentVolumeClaim`.
    Claim,
    /// `Service`.
    Service,
}

/// A moment, in the versions of the site's etcd where it is known so, otherwise in its servers' seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// Version of the LIST or write that made it.
    pub version: u64,
    /// Creation time, in seconds, of the newest object that was there then.
    pub at: i64,
}

impl Since {
    /// Before anything was there.
    pub const BIRTH: Self = Self { version: 0, at: i64::MIN };
}

/// When an object came into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Born {
    /// Its creation time, in seconds.
    pub at: i64,
    /// Version in which it was first seen: no older than that of its creation.
    pub seen: u64,
    /// A watch showed it as new, so `seen` is the version of its creation.
    pub exact: bool,
}

impl Born {
    /// Whether it surely came after that moment. A doubt is decided for the object: within one second nothing but
    /// versions can tell.
    pub fn after(&self, since: Since) -> bool {
        if since == Since::BIRTH {
            return true;
        }
        if self.seen <= since.version {
            return false;
        }
        self.exact || self.at > since.at
    }
}

/// An object that costs quota: as much of it as is needed to judge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// Of which kind.
    pub what: What,
    /// Its name.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
    /// Uid of its hall, if it is of one.
    pub hall: Option<Box<str>>,
    /// When it came.
    pub born: Born,
    /// A pod that runs, a claim that has its volume.
    pub started: bool,
    /// It is on its way out, or has ended: it costs nothing.
    pub leaving: bool,
    /// What it costs; nothing that is zero.
    pub charges: Box<[(Resource, u64)]>,
}

impl Thing {
    /// What it costs of one resource.
    pub fn charge(&self, resource: Resource) -> u64 {
        self.charges.iter().find(|(r, _)| *r == resource).map_or(0, |(_, amount)| *amount)
    }
}

/// What an object costs, and whether it has started, and whether it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// What it costs; nothing that is zero.
    pub charges: Box<[(Resource, u64)]>,
    /// A pod that runs, a claim that has its volume.
    pub started: bool,
    /// It has ended.
    pub ended: bool,
}

/// Cost of an object, from its `spec` and `status`. What cannot be read costs nothing: its API server has read it.
pub fn cost(what: What, object: &Value) -> Cost {
    let phase = object.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
    let charges: Vec<(Resource, u64)> = match what {
        What::Pod => pod(object),
        What::Claim => {
            vec![(Resource::Storage, amount(object, "/spec/resources/requests/storage", Kind::Storage))]
        }
        What::Service => service(object),
    };
    Cost {
        charges: charges.into_iter().filter(|(_, amount)| *amount > 0).collect(),
        started: matches!(phase, "Running" | "Bound"),
        ended: what == What::Pod && matches!(phase, "Succeeded" | "Failed"),
    }
}

fn amount(object: &Value, path: &str, unit: Kind) -> u64 {
    let text = object.pointer(path).and_then(Value::as_str);
    text.and_then(|t| unit.parse(t).ok()).unwrap_or(0)
}

fn service(object: &Value) -> Vec<(Resource, u64)> {
    let balanced = object.pointer("/spec/type").and_then(Value::as_str) == Some("LoadBalancer");
    let ports = object.pointer("/spec/ports").and_then(Value::as_array);
    let on_nodes = ports.into_iter().flatten().filter(|p| p.get("nodePort").is_some()).count();
    vec![
        (Resource::Services, 1),
        (Resource::LoadBalancers, u64::from(balanced)),
        (Resource::NodePorts, u64::try_from(on_nodes).unwrap_or(u64::MAX)),
    ]
}

fn pod(object: &Value) -> Vec<(Resource, u64)> {
    let of = |side: &str, name: &str, unit: Kind| pod_amount(object, side, name, unit);
    vec![
        (Resource::Pods, 1),
        (Resource::RequestsCpu, of("requests", "cpu", Kind::Cpu)),
        (Resource::LimitsCpu, of("limits", "cpu", Kind::Cpu)),
        (Resource::RequestsMemory, of("requests", "memory", Kind::Memory)),
        (Resource::LimitsMemory, of("limits", "memory", Kind::Memory)),
        (Resource::Gpu, of("requests", "nvidia.com~1gpu", Kind::Gpu)),
    ]
}

/// Kubernetes' rule: what containers and sidecars ask together, or what the greediest step of the start asks,
/// whichever is more; what the pod says as a whole goes before its containers.
fn pod_amount(object: &Value, side: &str, name: &str, unit: Kind) -> u64 {
    let path = format!("/resources/{side}/{name}");
    let list = |field: &str| object.pointer(&format!("/spec/{field}")).and_then(Value::as_array);
    let running: u64 =
        list("containers").into_iter().flatten().map(|c| amount(c, &path, unit)).fold(0, u64::saturating_add);
    let (mut sidecars, mut start) = (0u64, 0u64);
    for c in list("initContainers").into_iter().flatten() {
        let own = amount(c, &path, unit);
        if c.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            sidecars = sidecars.saturating_add(own);
            start = start.max(sidecars);
        } else {
            start = start.max(sidecars.saturating_add(own));
        }
    }
    let containers = running.saturating_add(sidecars).max(start);
    let whole =
        object.pointer(&format!("/spec{path}")).map(|_| amount(object, &format!("/spec{path}"), unit));
    let asked = whole.unwrap_or(containers);
    let overhead = amount(object, &format!("/spec/overhead/{name}"), unit);
    if side == "limits" && asked == 0 { 0 } else { asked.saturating_add(overhead) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(resource: Resource, cost: &Cost) -> u64 {
        cost.charges.iter().find(|(r, _)| *r == resource).map_or(0, |(_, a)| *a)
    }

    #[test]
    fn a_pod_costs_what_its_api_server_counts() {
        let c = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu, "memory": "1Mi"}, "limits": {"cpu": cpu}}});
        let sidecar = |cpu: &str| {
            let mut c = c(cpu);
            c["restartPolicy"] = json!("Always");
            c
        };
        let table = [
            (json!({"containers": [c("100m"), c("200m")]}), 300),
            (json!({"containers": [c("100m")], "initContainers": [c("500m"), c("300m")]}), 500),
            (json!({"containers": [c("100m")], "initContainers": [sidecar("50m")]}), 150),
            (json!({"containers": [c("100m")], "initContainers": [sidecar("50m"), c("200m")]}), 250),
            (json!({"containers": [c("100m")], "overhead": {"cpu": "10m"}}), 110),
            (json!({"containers": [c("100m")], "resources": {"requests": {"cpu": "1"}}}), 1000),
        ];
        for (spec, cpu) in table {
            let cost = cost(What::Pod, &json!({"spec": spec}));
            assert_eq!((of(Resource::RequestsCpu, &cost), of(Resource::Pods, &cost)), (cpu, 1), "{spec}");
        }
    }

    #[test]
    fn what_has_ended_is_told_and_what_runs_too() {
        let phase = |phase: &str| cost(What::Pod, &json!({"spec": {}, "status": {"phase": phase}}));
        assert!(phase("Succeeded").ended && phase("Failed").ended && !phase("Pending").ended);
        assert!(phase("Running").started && !phase("Pending").started);
        let claim =
            json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Bound"}});
        let claim = cost(What::Claim, &claim);
        assert!(claim.started && of(Resource::Storage, &claim) == 1 << 30);
    }

    #[test]
    fn a_load_balancer_is_a_service_too() {
        let cost = cost(
            What::Service,
            &json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 1, "nodePort": 30000}]}}),
        );
        assert_eq!(
            *cost.charges,
            [(Resource::Services, 1), (Resource::LoadBalancers, 1), (Resource::NodePorts, 1)]
        );
    }

    #[test]
    fn the_same_second_is_decided_for_the_object() {
        let since = Since { version: 10, at: 100 };
        let born = |at, seen, exact| Born { at, seen, exact };
        let table = [
            (born(100, 10, true), false),
            (born(100, 11, true), true),
            (born(100, 11, false), false),
            (born(101, 11, false), true),
            (born(101, 9, false), false),
        ];
        for (born, after) in table {
            assert_eq!(born.after(since), after, "{born:?}");
        }
        assert!(born(0, 1, false).after(Since::BIRTH));
    }

    #[test]
    fn every_resource_has_its_key() {
        for (resource, key, _) in KEYS {
            assert_eq!(Resource::of_key(key), Some(resource));
            assert_eq!(resource.key(), key);
        }
        assert_eq!(
            Resource::of_key("fast.storageclass.storage.k8s.io/requests.storage"),
            Some(Resource::Storage)
        );
        assert_eq!(Resource::of_key("count/secrets"), None);
    }
}
