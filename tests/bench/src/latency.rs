//! How long single things take while nothing, or something else, goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use yunting_crds::labels;

use crate::city::{City, deadline, is_ready, person_bureau};
use crate::clients::{Who, merge, ours, path};
use crate::product::{bureau_of, name, vdc};
use crate::watch::Watch;

/// Drifts per second.
const DRIFTS_PER_SECOND: u32 = 10;
/// What a drift writes.
const DRIFTED: &str = "somebody-else";

/// Milliseconds from a change at the hub until the slice, and each site's own record of it, show it.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Changes {
    /// The slice at the hub.
    pub slice: Vec<f64>,
    /// The record at the last of the sites.
    pub record: Vec<f64>,
}

/// Changes one VDC after another and waits for each at every site.
pub async fn changes(city: &City, vdcs: usize, changes: usize) -> anyhow::Result<Changes> {
    let (_, mut slices) =
        Watch::start(&city.clients.person, &format!("{}?", ours("vdcslices", None, ""))).await?;
    let mut records = Vec::new();
    for site in &city.sites {
        let path = format!("{}?", ours("slicerecords", None, ""));
        records.push(Watch::start(site.server.client(), &path).await?.1);
    }
    let mut seen = Changes::default();
    for change in 0..changes {
        let vdc = change % vdcs;
        let path =
            ours("virtualdatacenters", Some(&format!("bureau-{}", bureau_of(vdc))), &format!("vdc{vdc}"));
        let call = merge(Who::Person, &path, &json!({"spec": {"displayName": format!("change {change}")}}));
        let answer: Value = serde_json::from_str(&city.clients.send(&call).await?)?;
        let at = Instant::now();
        let generation = answer["metadata"]["generation"].as_i64().context("no generation")?;
        let uid = answer["metadata"]["uid"].as_str().context("no uid")?;
        let shows = |source: &Value| source["uid"] == uid && source["generation"] == generation;
        let slice = until(&mut slices, |o| shows(&o["spec"]["source"])).await?;
        seen.slice.push(since(slice, at));
        let mut last = at;
        for watch in &mut records {
            last = last.max(until(watch, |o| shows(&o["spec"]["vdc"]["source"])).await?);
        }
        seen.record.push(since(last, at));
    }
    Ok(seen)
}

async fn until(watch: &mut Watch, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Instant> {
    let began = Instant::now();
    loop {
        deadline("a change to be seen", began)?;
        let event = watch.next().await?;
        if wanted(&event.object) {
            return Ok(event.at);
        }
    }
}

fn since(later: Instant, earlier: Instant) -> f64 {
    later.saturating_duration_since(earlier).as_secs_f64() * 1000.0
}

/// Kinds that drift: those that a VDC has at a site in any case.
const KINDS: [(&str, &str, &str); 3] = [
    ("networking.k8s.io", "v1", "networkpolicies"),
    ("", "v1", "limitranges"),
    ("rbac.authorization.k8s.io", "v1", "rolebindings"),
];

/// Milliseconds from each drift until it was undone, at ten drifts a second.
pub async fn drifts(city: &City, seconds: u32) -> anyhow::Result<Vec<f64>> {
    let mut undone = Vec::new();
    let each = seconds * DRIFTS_PER_SECOND / u32::try_from(KINDS.len())?;
    for (group, version, plural) in KINDS {
        undone.extend(drifts_of(city, &path(group, version, plural, None, ""), each as usize).await?);
    }
    Ok(undone)
}

async fn drifts_of(city: &City, collection: &str, count: usize) -> anyhow::Result<Vec<f64>> {
    let selector = format!("{}%3D{}", labels::MANAGED_BY, labels::MANAGER);
    let (items, watch) =
        Watch::start(&city.clients.sites[0], &format!("{collection}?labelSelector={selector}")).await?;
    let items: Vec<&Value> = items.iter().take(count).collect();
    let drift = async {
        let mut tick = tokio::time::interval(Duration::from_secs(1) / DRIFTS_PER_SECOND);
        let mut made = BTreeMap::new();
        for item in &items {
            tick.tick().await;
            let namespace = item.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
            let (root, plural) = collection.rsplit_once('/').context("no collection")?;
            let at = format!("{root}/namespaces/{namespace}/{plural}/{}", name(item));
            let patch = json!({"metadata": {"labels": {labels::BUREAU: DRIFTED}}});
            city.clients.send(&merge(Who::Site(0), &at, &patch)).await?;
            made.insert(key(item), Instant::now());
        }
        anyhow::Ok(made)
    };
    let (made, undone) = tokio::try_join!(drift, undone(watch, items.len()))?;
    Ok(made.iter().filter_map(|(key, at)| Some(since(*undone.get(key)?, *at))).collect())
}

fn key(object: &Value) -> String {
    format!(
        "{}/{}",
        object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default(),
        name(object)
    )
}

/// When each drifted object was first seen without the drift again.
async fn undone(mut watch: Watch, count: usize) -> anyhow::Result<BTreeMap<String, Instant>> {
    let began = Instant::now();
    let (mut drifted, mut undone) = (BTreeSet::new(), BTreeMap::new());
    while undone.len() < count {
        deadline("drift to be undone", began)?;
        let event = watch.next().await?;
        let key = key(&event.object);
        let bureau = event.object.pointer("/metadata/labels").and_then(|l| l.get(labels::BUREAU));
        if bureau.is_some_and(|b| b == DRIFTED) {
            drifted.insert(key);
        } else if drifted.contains(&key) {
            undone.entry(key).or_insert(event.at);
        }
    }
    Ok(undone)
}

/// Seconds for a single VDC of one bureau.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Turns {
    /// While nothing else goes on.
    pub idle: Vec<f64>,
    /// While another bureau has asked for many.
    pub crowded: Vec<f64>,
}

/// Asks for single VDCs, one after another: first alone, then while another bureau waits for many.
pub async fn turns(city: &City, single: usize, many: usize) -> anyhow::Result<Turns> {
    for bureau in ["single", "many"] {
        city.clients.send(&person_bureau(bureau)).await?;
    }
    city.are_ready("bureaus", &["single", "many"]).await?;
    let path = format!("{}?", ours("virtualdatacenters", Some("bureau-single"), ""));
    let (_, mut watch) = Watch::start(&city.clients.person, &path).await?;
    let mut turns = Turns::default();
    for n in 0..single {
        turns.idle.push(one(city, &mut watch, &format!("idle{n}")).await?);
    }
    let path = format!("{}?", ours("virtualdatacenters", Some("bureau-many"), ""));
    let (_, crowd) = Watch::start(&city.clients.person, &path).await?;
    let calls: Vec<_> = (0..many).map(|n| vdc(city, "many", &format!("vdc{n}"))).collect();
    let sends: Vec<_> = calls.iter().map(|call| city.clients.send(call)).collect();
    stream::iter(sends).buffer_unordered(32).try_for_each(async |_| Ok(())).await?;
    let mut crowd = std::pin::pin!(crate::product::all_ready(crowd, many));
    for n in 0..single {
        let name = format!("crowded{n}");
        let mut took = std::pin::pin!(one(city, &mut watch, &name));
        // Only those that were asked for while the others still waited are of interest.
        tokio::select! {
            biased;
            took = &mut took => turns.crowded.push(took?),
            all = &mut crowd => { all?; took.await?; return Ok(turns); }
        }
    }
    crowd.await?;
    Ok(turns)
}

async fn one(city: &City, watch: &mut Watch, vdc_name: &str) -> anyhow::Result<f64> {
    let at = Instant::now();
    city.clients.send(&vdc(city, "single", vdc_name)).await?;
    let ready = until(watch, |o| name(o) == vdc_name && is_ready(o)).await?;
    Ok(ready.duration_since(at).as_secs_f64())
}
