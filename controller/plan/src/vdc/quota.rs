//! ResourceQuota and LimitRange of a namespace, in the very text an API server prints back.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    LimitRange, LimitRangeItem, LimitRangeSpec, ResourceQuota, ResourceQuotaSpec,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;
use yunting_crds::labels;
use yunting_crds::resources::{Amounts, Kind};

use super::storage::quota_key;
use super::{ValidNamespace, ValidVdcSlice};
use crate::object::{Key, Object, api_kind};
use crate::quota::charge::Resource;
use crate::quota::shrink::{Hard, Limits, Shown};

/// Name of the ResourceQuota.
pub const QUOTA: &str = "yunting-quota";
/// Name of the LimitRange.
pub const LIMITS: &str = "yunting-limits";
/// Processor time of a container that asks for none, in millicores.
const DEFAULT_CPU: u64 = 100;
/// Memory of a container that asks for none.
const DEFAULT_MEMORY: u64 = 128 << 20;

/// Both; the quota as a namespace has it that never had another.
pub(super) fn objects(slice: &ValidVdcSlice, namespace: &ValidNamespace) -> [Object; 2] {
    let limits = LimitRange {
        metadata: slice.owner.metadata(LIMITS, &namespace.at_site),
        spec: Some(LimitRangeSpec { limits: vec![defaults(slice.overcommit_cpu)] }),
    };
    [object(slice, &namespace.at_site, &Limits::born(&target(slice, namespace))), Object::new(&limits)]
}

/// Key of a namespace's ResourceQuota.
pub fn key(namespace: &str) -> Key {
    Key { kind: api_kind::<ResourceQuota>(), namespace: Some(namespace.to_owned()), name: QUOTA.to_owned() }
}

/// The ResourceQuota of a namespace with these limits.
pub fn object(slice: &ValidVdcSlice, at_site: &str, limits: &Limits) -> Object {
    let mut metadata = slice.owner.metadata(QUOTA, at_site);
    metadata.annotations = Some([(labels::LIMITS.to_owned(), limits.annotation())].into());
    let text = |(key, amount): (&String, &u64)| {
        let unit = Resource::of_key(key).map_or(Kind::Pods, Resource::unit);
        (key.clone(), unit.quantity(*amount))
    };
    let hard: BTreeMap<String, Quantity> = limits.hard.iter().map(text).collect();
    let spec = Some(ResourceQuotaSpec { hard: Some(hard), ..ResourceQuotaSpec::default() });
    Object::new(&ResourceQuota { metadata, spec, ..ResourceQuota::default() })
}

/// Limits of a namespace as they are to be in the end.
pub fn target(slice: &ValidVdcSlice, namespace: &ValidNamespace) -> Hard {
    let quota = &namespace.quota;
    let of = |kind: Kind| quota.amount(kind);
    let cpu_limit = quota.scaled(u64::from(slice.overcommit_cpu), 100).amount(Kind::Cpu);
    let balancers = if slice.load_balancer { of(Kind::LoadBalancers) } else { 0 };
    let mut hard = Hard::from([
        ("requests.cpu".to_owned(), of(Kind::Cpu)),
        ("limits.cpu".to_owned(), cpu_limit),
        ("requests.memory".to_owned(), of(Kind::Memory)),
        ("limits.memory".to_owned(), of(Kind::Memory)),
        ("pods".to_owned(), of(Kind::Pods)),
        ("requests.storage".to_owned(), of(Kind::Storage)),
        ("services.loadbalancers".to_owned(), balancers),
        ("services.nodeports".to_owned(), 0),
    ]);
    if let Some(class) = &slice.storage_class {
        hard.insert(quota_key(class), of(Kind::Storage));
    }
    if quota.get(Kind::Services).is_some() {
        hard.insert("services".to_owned(), of(Kind::Services));
    }
    if quota.get(Kind::Gpu).is_some() {
        hard.insert(Resource::Gpu.key().to_owned(), of(Kind::Gpu));
    }
    hard
}

/// Limits of a namespace that is no longer asked for: none, by the same keys that its quota has.
pub fn nothing(shown: &Shown) -> Hard {
    shown.spec.keys().map(|key| (key.clone(), 0)).collect()
}

fn defaults(overcommit: u32) -> LimitRangeItem {
    let both = |cpu: u64| {
        BTreeMap::from([
            ("cpu".to_owned(), Kind::Cpu.quantity(cpu)),
            ("memory".to_owned(), Kind::Memory.quantity(DEFAULT_MEMORY)),
        ])
    };
    LimitRangeItem {
        type_: "Container".to_owned(),
        default: Some(both(DEFAULT_CPU * u64::from(overcommit) / 100)),
        default_request: Some(both(DEFAULT_CPU)),
        ..LimitRangeItem::default()
    }
}

/// What each resource of a VDC is counted by.
const COUNTED: [(Resource, Kind); 7] = [
    (Resource::RequestsCpu, Kind::Cpu),
    (Resource::RequestsMemory, Kind::Memory),
    (Resource::Storage, Kind::Storage),
    (Resource::Pods, Kind::Pods),
    (Resource::Services, Kind::Services),
    (Resource::LoadBalancers, Kind::LoadBalancers),
    (Resource::Gpu, Kind::Gpu),
];

/// Limits of a ResourceQuota as amounts of a VDC's quota.
pub fn amounts(hard: &Hard) -> Amounts {
    COUNTED.iter().filter_map(|(r, kind)| Some((*kind, *hard.get(r.key())?))).collect()
}

/// What a ResourceQuota's API server counts as used.
pub fn used(observed: &Value) -> Amounts {
    let map = observed.pointer("/status/used").and_then(Value::as_object);
    let amount = |(resource, kind): &(Resource, Kind)| {
        let text = map?.get(resource.key())?.as_str()?;
        Some((*kind, kind.parse(text).ok()?))
    };
    COUNTED.iter().filter_map(amount).collect()
}
