//! The product: VDCs are asked for at the hub, and the controllers do the rest.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Context as _;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::city::{City, VDCS_PER_BUREAU, deadline, is_ready, person};
use crate::clients::{Call, ours};
use crate::floor::{SETTLE, Sample};
use crate::watch::Watch;

/// How long each VDC took, besides the whole.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Provisioned {
    /// The whole.
    pub sample: Sample,
    /// Seconds from each VDC's creation until it was seen to be ready.
    pub each: Vec<f64>,
}

/// A VDC as a person asks for it.
pub fn vdc(city: &City, bureau: &str, name: &str) -> Call {
    let sites: Vec<&str> = city.sites.iter().map(|s| s.name).collect();
    let spec = json!({
        "displayName": name, "quota": {"cpu": "12", "memory": "24Gi", "pods": 60, "storage": "120Gi"},
        "sites": {"names": sites}, "namespaces": [{"name": "app"}],
        "isolation": {"ingressFrom": ["Portal"], "egress": [{"cidr": "203.0.113.0/24", "ports": [443]}]},
    });
    person("virtualdatacenters", Some(&format!("bureau-{bureau}")), "VirtualDataCenter", name, &spec)
}

/// Asks for that many VDCs at once and waits until all are ready.
pub async fn run(city: &City, vdcs: usize, at_once: usize) -> anyhow::Result<Provisioned> {
    let (_, watch) =
        Watch::start(&city.clients.person, &format!("{}?", ours("virtualdatacenters", None, ""))).await?;
    let calls: Vec<(String, Call)> = (0..vdcs)
        .map(|n| {
            let name = format!("vdc{n}");
            let call = vdc(city, &bureau_of(n), &name);
            (name, call)
        })
        .collect();
    let before = city.usage();
    let began = Instant::now();
    let create = async {
        let creates = calls.iter().map(async |(name, call)| {
            let at = Instant::now();
            city.clients.send(call).await.map(|_| (name.clone(), at))
        });
        let creates: Vec<_> = creates.collect();
        stream::iter(creates).buffer_unordered(at_once).try_collect::<BTreeMap<_, _>>().await
    };
    let (created, ready) = tokio::try_join!(create, all_ready(watch, vdcs)).with_context(|| city.tails())?;
    let wall = ready.values().max().map_or(0.0, |at| at.duration_since(began).as_secs_f64());
    tokio::time::sleep(SETTLE).await;
    let cpu = city.usage().since(&before);
    let took = |(name, at): (&String, &Instant)| ready.get(name).map(|r| r.duration_since(*at).as_secs_f64());
    Ok(Provisioned {
        sample: Sample { wall, cpu, objects: 0 },
        each: created.iter().filter_map(took).collect(),
    })
}

/// Bureau of the VDC with that number.
pub fn bureau_of(vdc: usize) -> String {
    format!("bureau{}", vdc / VDCS_PER_BUREAU)
}

/// When each of that many VDCs was seen to be ready.
pub async fn all_ready(mut watch: Watch, vdcs: usize) -> anyhow::Result<BTreeMap<String, Instant>> {
    let since = Instant::now();
    let mut ready = BTreeMap::new();
    while ready.len() < vdcs {
        deadline("all VDCs to be ready", since)?;
        let next = tokio::time::timeout(crate::city::PATIENCE, watch.next());
        let event = next.await.with_context(|| format!("{} of {vdcs} VDCs are ready", ready.len()))??;
        if is_ready(&event.object) {
            ready.entry(name(&event.object)).or_insert(event.at);
        }
    }
    Ok(ready)
}

/// Name of an object.
pub fn name(object: &Value) -> String {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned()
}
