//! What waits for room, a host, a domain or a parent is carried out when a change of another object gives it: nobody
//! has to touch it. Each step says first that it is refused, and why, then makes room as the refusal advises.

use std::time::Duration;

use kube::Api;
use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};
use yunting_tests::apiserver::wait;

use super::base;
use super::run::Wrong;
use super::stage::Stage;
use super::tenant::Tenant;

/// Time for what takes a second.
const PATIENCE: Duration = Duration::from_secs(15);

/// One who waits, and what helps.
struct Step {
    what: &'static str,
    /// Kind, name and spec of who comes too late.
    late: (&'static str, &'static str, Value),
    /// Reason that it gives.
    reason: &'static str,
    /// Kind and spec of what is changed then, of the tenant's or of its bureau's parent.
    helps: (&'static str, Value),
}

fn with(kind: &str, path: &str, value: Value) -> (&'static str, Value) {
    let kind = base::KINDS.into_iter().find(|k| *k == kind).unwrap();
    let mut spec = base::object(kind)["spec"].clone();
    *spec.pointer_mut(path).unwrap() = value;
    (kind, spec)
}

/// A hall of one component.
fn hall(cpu: &str, host: Option<&str>) -> Value {
    let mut hall = base::hall();
    let mut portal = hall["components"][0].clone();
    portal["resources"]["cpu"] = json!(cpu);
    portal["calls"] = json!([]);
    hall["components"] = json!([portal]);
    let portal = host.map(|host| json!({"host": host, "component": "portal"}));
    hall["portal"] = portal.unwrap_or(Value::Null);
    hall
}

/// Two rounds: all of a round come too late together, then are helped one after another, each as the ones before left
/// the tenant. The second comes seconds later, so that its hall is the youngest: age is told in seconds.
fn rounds() -> [Vec<Step>; 2] {
    let mut vdc = base::vdc();
    vdc["quota"]["cpu"] = json!("47");
    let child =
        |cpu: &str| json!({"displayName": "区局", "parentRef": {"name": "p-zq000a"}, "quota": {"cpu": cpu}});
    let mut parent = base::parent();
    parent["quota"]["cpu"] = json!("1000");
    let first = vec![
        Step {
            what: "a host that an older hall gives up",
            late: ("Hall", "rival", hall("5m", Some("desk.zq000a.example"))),
            reason: "HostConflict",
            helps: with("Hall", "/portal/host", json!("elsewhere.zq000a.example")),
        },
        Step {
            what: "a domain that the bureau gets",
            late: ("Hall", "foreign", hall("5m", Some("desk.late-zq000a.example"))),
            reason: "Invalid",
            helps: with("Bureau", "/domains", json!(["zq000a.example", "late-zq000a.example"])),
        },
        Step {
            what: "quota of the parent that a sister gives back",
            late: ("Bureau", "c-zq000a", child("150")),
            reason: "QuotaExceeded",
            helps: with("Bureau", "/quota/cpu", json!("50")),
        },
    ];
    let second = vec![
        Step {
            what: "room that an older hall gives back",
            late: ("Hall", "younger", hall("4370m", None)),
            reason: "QuotaExceeded",
            helps: with("Hall", "/components/1/autoscaling/maxReplicas", json!(1)),
        },
        Step {
            what: "quota of the bureau that another VDC gives back",
            late: ("VirtualDataCenter", "late", vdc),
            reason: "QuotaExceeded",
            helps: with("VirtualDataCenter", "/quota/cpu", json!("2")),
        },
        Step {
            what: "quota that the parent gets",
            late: ("Bureau", "d-zq000a", child("500")),
            reason: "QuotaExceeded",
            helps: ("parent", parent),
        },
    ];
    [first, second]
}

/// Goes through all of them.
pub async fn run(stage: &Stage, wrong: &mut Wrong) -> anyhow::Result<()> {
    let tenant = stage.one().await?;
    stage.settled().await?;
    for round in rounds() {
        let mut waiting = Vec::new();
        for step in round {
            match waits(stage, &tenant, &step).await {
                Ok(()) => waiting.push(step),
                Err(late) => tell(wrong, &step, &late),
            }
        }
        stage.settled().await?;
        for step in waiting {
            if let Err(late) = served(stage, &tenant, &step).await {
                tell(wrong, &step, &late);
            }
        }
    }
    Ok(())
}

fn tell(wrong: &mut Wrong, step: &Step, late: &anyhow::Error) {
    println!("{}: {late:#}", step.what);
    wrong.entry("waits").or_default().push(format!("{}: {late:#}", step.what));
}

/// It comes too late, and says why it waits.
async fn waits(stage: &Stage, tenant: &Tenant, step: &Step) -> anyhow::Result<()> {
    let (kind, name, spec) = &step.late;
    let name = tenant.own_text(name);
    tenant.make(&stage.planes, kind, &name, spec).await?;
    until(&tenant.api(&stage.planes, kind), &name, |ready| ready["reason"] == step.reason).await
}

/// What it waits for is given by a change of another object.
async fn served(stage: &Stage, tenant: &Tenant, step: &Step) -> anyhow::Result<()> {
    let (kind, spec) = &step.helps;
    if *kind == "parent" {
        let (api, name) = (tenant.api(&stage.planes, "Bureau"), tenant.own_text("p-zq000a"));
        let mut object = api.get(&name).await?;
        object.data["spec"] = spec.clone();
        api.replace(&name, &PostParams::default(), &object).await?;
    } else if let Err(refusal) = tenant.put(&stage.planes, kind, spec).await? {
        anyhow::bail!("the remedy is refused: {}", refusal.0);
    }
    let (kind, name, _) = &step.late;
    let api = tenant.api(&stage.planes, kind);
    until(&api, &tenant.own_text(name), |ready| ready["reason"] != step.reason).await
}

async fn until(api: &Api<DynamicObject>, name: &str, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
    let mut last = Value::Null;
    let look = async || {
        let object = api.get_opt(name).await.ok()??;
        let conditions = object.data["status"]["conditions"].as_array()?.clone();
        last = conditions.into_iter().find(|c| c["type"] == "Ready")?;
        wanted(&last).then_some(())
    };
    let found = wait(name, PATIENCE, look).await;
    found.map_err(|late| anyhow::anyhow!("{late}; it says {last}"))
}
