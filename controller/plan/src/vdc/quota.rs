//! ResourceQuota and LimitRange of a namespace, in the very text an API server prints back.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    LimitRange, LimitRangeItem, LimitRangeSpec, ResourceQuota, ResourceQuotaSpec,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;
use yunting_crds::resources::{Amounts, Kind};

use super::storage::quota_key;
use super::{ValidNamespace, ValidVdcSlice};
use crate::object::Object;

/// Name of the ResourceQuota.
pub const QUOTA: &str = "yunting-quota";
/// Name of the LimitRange.
pub const LIMITS: &str = "yunting-limits";
/// Processor time of a container that asks for none, in millicores.
const DEFAULT_CPU: u64 = 100;
/// Memory of a container that asks for none.
const DEFAULT_MEMORY: u64 = 128 << 20;
const GPU: &str = "requests.nvidia.com/gpu";

/// Both.
pub(super) fn objects(slice: &ValidVdcSlice, namespace: &ValidNamespace) -> [Object; 2] {
    let quota = ResourceQuota {
        metadata: slice.owner.metadata(QUOTA, &namespace.at_site),
        spec: Some(ResourceQuotaSpec { hard: Some(hard(slice, namespace)), ..ResourceQuotaSpec::default() }),
        ..ResourceQuota::default()
    };
    let limits = LimitRange {
        metadata: slice.owner.metadata(LIMITS, &namespace.at_site),
        spec: Some(LimitRangeSpec { limits: vec![defaults(slice.overcommit_cpu)] }),
    };
    [Object::new(&quota), Object::new(&limits)]
}

fn hard(slice: &ValidVdcSlice, namespace: &ValidNamespace) -> BTreeMap<String, Quantity> {
    let quota = &namespace.quota;
    let of = |kind: Kind| kind.quantity(quota.amount(kind));
    let cpu_limit = quota.scaled(u64::from(slice.overcommit_cpu), 100).amount(Kind::Cpu);
    let balancers = if slice.load_balancer { quota.amount(Kind::LoadBalancers) } else { 0 };
    let mut hard = BTreeMap::from([
        ("requests.cpu".to_owned(), of(Kind::Cpu)),
        ("limits.cpu".to_owned(), Kind::Cpu.quantity(cpu_limit)),
        ("requests.memory".to_owned(), of(Kind::Memory)),
        ("limits.memory".to_owned(), of(Kind::Memory)),
        ("pods".to_owned(), of(Kind::Pods)),
        ("requests.storage".to_owned(), of(Kind::Storage)),
        ("services.loadbalancers".to_owned(), Kind::LoadBalancers.quantity(balancers)),
        ("services.nodeports".to_owned(), Kind::Services.quantity(0)),
    ]);
    if let Some(class) = &slice.storage_class {
        hard.insert(quota_key(class), of(Kind::Storage));
    }
    if quota.get(Kind::Services).is_some() {
        hard.insert("services".to_owned(), of(Kind::Services));
    }
    if quota.get(Kind::Gpu).is_some() {
        hard.insert(GPU.to_owned(), of(Kind::Gpu));
    }
    hard
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

/// Limit and use of a ResourceQuota as its API server shows them (`status`): hard, used.
pub fn read(observed: &Value) -> (Amounts, Amounts) {
    let read = |field: &str| {
        let map = observed.pointer(&format!("/status/{field}")).and_then(Value::as_object);
        let amount = |(key, kind): (&str, Kind)| {
            let text = map?.get(key)?.as_str()?;
            Some((kind, kind.parse(text).ok()?))
        };
        let keys = [
            ("requests.cpu", Kind::Cpu),
            ("requests.memory", Kind::Memory),
            ("requests.storage", Kind::Storage),
            ("pods", Kind::Pods),
            ("services", Kind::Services),
            ("services.loadbalancers", Kind::LoadBalancers),
            (GPU, Kind::Gpu),
        ];
        keys.into_iter().filter_map(amount).collect::<Amounts>()
    };
    (read("hard"), read("used"))
}
