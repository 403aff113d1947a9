//! Two control planes with their controllers, and tenants on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context as _;
use futures::{StreamExt, stream};
use kube::api::DynamicObject;
use serde_json::Value;
use tokio::runtime::Runtime;
use yunting_tests::apiserver::Options;
use yunting_tests::mutations::{Mutation, TOKEN};
use yunting_tests::plane::controllers::Controllers;
use yunting_tests::plane::dump::{Dump, Found, everything, named};
use yunting_tests::plane::{Planes, directory};

use super::kubelet::Kubelet;
use super::tenant::Tenant;
use super::{base, gateway};

/// Without a write for so long, all has been done.
const QUIET: Duration = Duration::from_millis(3500);
/// Tenants that are made at once.
const AT_ONCE: usize = 4;

/// Of the short form: always the same changes, so that what a run of it says is said of the product and not of chance.
/// The long form makes every change whatever the seed.
const SEED: u64 = 1;

/// What is run, and of which chance.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    pub full: bool,
    /// Which part of how many of the long form: the whole takes hours.
    pub part: (usize, usize),
}

impl Plan {
    /// Says which seed and which form.
    pub fn from_environment() -> anyhow::Result<Self> {
        let given = std::env::var("YUNTING_CHANGES_SEED").ok().map(|s| s.parse()).transpose()?;
        let seed = given.unwrap_or(SEED);
        let full = std::env::var("YUNTING_CHANGES").is_ok_and(|v| v == "full");
        let form = if full { "full" } else { "short" };
        let part = std::env::var("YUNTING_CHANGES_PART").ok().filter(|_| full);
        let part = part.map_or(Ok((1, 1)), |part| read_part(&part))?;
        println!(
            "seed {seed} (YUNTING_CHANGES_SEED={seed} repeats it), {form} form, part {} of {}",
            part.0, part.1
        );
        Ok(Self { seed, full, part })
    }

    /// Of all changes those of this part.
    pub fn part<T>(self, all: Vec<T>) -> Vec<T> {
        let (part, of) = self.part;
        all.into_iter().skip(part - 1).step_by(of).collect()
    }
}

fn read_part(text: &str) -> anyhow::Result<(usize, usize)> {
    let (part, of) = text.split_once('/').context("YUNTING_CHANGES_PART is a part of how many, as 2/5")?;
    let (part, of) = (part.parse()?, of.parse()?);
    anyhow::ensure!((1..=of).contains(&part), "YUNTING_CHANGES_PART={text}: there is no such part");
    Ok((part, of))
}

/// The ground of the tests.
pub struct Stage {
    controllers: Controllers,
    _kubelet: Kubelet,
    pub planes: Planes,
    tenants: Mutex<usize>,
    // Last: everything above ends in it.
    pub runtime: Runtime,
}

/// How a tenant stands.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub dump: Dump,
    /// What its objects say that they may not, or do not say that they have to.
    pub silent: Vec<String>,
}

impl Stage {
    /// Starts everything and waits until the site works.
    pub fn start(plan: Plan) -> anyhow::Result<Self> {
        let runtime = Runtime::new()?;
        // The autoscaler's own pace is a quarter of a minute, longer than the quiet that is waited for.
        let pace = [("horizontal-pod-autoscaler-sync-period", "1s".to_owned())];
        let options = Options { controller_flags: pace.into(), ..Options::default() };
        let (planes, controllers, kubelet) = runtime.block_on(async {
            let directory = directory("yunting-changes-", "YUNTING_CHANGES_KEEP")?;
            let planes = Planes::start_with(directory, plan.seed, base::site(), &options).await?;
            gateway::kinds(planes.site.client()).await?;
            let kubelet = Kubelet::start(planes.site.client()).await?;
            let controllers = Controllers::start(&planes).await?;
            if let Err(late) = planes.ready().await {
                anyhow::bail!("{late}\n{}", controllers.tails());
            }
            anyhow::Ok((planes, controllers, kubelet))
        })?;
        Ok(Self { planes, controllers, _kubelet: kubelet, tenants: Mutex::new(1), runtime })
    }

    /// Makes tenants, each with its change or without any.
    pub async fn tenants(
        &self,
        changes: &[Option<&Mutation>],
        silent: &[bool],
    ) -> Vec<anyhow::Result<Tenant>> {
        let first = {
            let mut next = self.tenants.lock().unwrap();
            let first = *next;
            *next += changes.len();
            first
        };
        let making: Vec<_> = changes
            .iter()
            .zip(silent)
            .enumerate()
            .map(|(index, (change, silent))| self.tenant(Tenant::new(first + index, *silent), *change))
            .collect();
        stream::iter(making).buffered(AT_ONCE).collect().await
    }

    /// One that is as all others.
    pub async fn one(&self) -> anyhow::Result<Tenant> {
        self.tenants(&[None], &[false]).await.remove(0)
    }

    async fn tenant(&self, mut tenant: Tenant, change: Option<&Mutation>) -> anyhow::Result<Tenant> {
        let change = change.filter(|m| m.kind != "Site").map(|m| (m.kind, &m.spec));
        tenant.create(&self.planes, change).await?;
        Ok(tenant)
    }

    /// Waits until all has been done.
    pub async fn settled(&self) -> anyhow::Result<()> {
        let quiet = self.controllers.quiet(QUIET).await;
        quiet.map_err(|late| anyhow::anyhow!("{late}\n{}", self.controllers.tails()))
    }

    /// How tenants stand now.
    pub async fn views(&self, tenants: &[&Tenant]) -> anyhow::Result<Vec<View>> {
        let all = everything(&self.planes).await?;
        let mut of: BTreeMap<String, Vec<&Found>> = BTreeMap::new();
        for found in &all {
            let text = serde_json::to_string(&found.object)?;
            for token in tokens(&text) {
                of.entry(token).or_default().push(found);
            }
        }
        let none = Vec::new();
        let view = |tenant: &&Tenant| {
            let found = of.get(&tenant.token).unwrap_or(&none);
            let mut dump = named(found.iter().copied(), &tenant.names)?;
            dump.values_mut().for_each(forget_history);
            let silent = found.iter().filter_map(|f| trouble(&f.object)).collect();
            Ok(View { dump, silent })
        };
        tenants.iter().map(view).collect()
    }
}

/// Tenants that a text speaks of.
fn tokens(text: &str) -> BTreeSet<String> {
    let begins = text.match_indices(&TOKEN[..2]).map(|(at, _)| at);
    let token = |at: usize| text.get(at..at + TOKEN.len());
    let ours = |t: &&str| t.ends_with(&TOKEN[5..]) && t.as_bytes()[2..5].iter().all(u8::is_ascii_digit);
    begins.filter_map(token).filter(ours).map(str::to_owned).collect()
}

/// Takes out what tells how often something was changed and in which order, not how it stands. That a limit is still on
/// its way down is kept. What is used is the API server's own count, which runs behind where much is made at once;
/// suite `storms` looks at it.
fn forget_history(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for passing in ["volumeName", "used"] {
                fields.remove(passing);
            }
            if fields.contains_key("placement") {
                fields.remove("summary");
            }
            if let Some(source) = fields.get_mut("source").and_then(Value::as_object_mut) {
                source.remove("generation");
            }
            if let Some(limits) = fields.get_mut("yunting.io/limits") {
                let frozen = limits.as_str().is_some_and(|text| text.contains("frozen@"));
                *limits = Value::Bool(frozen);
            }
            fields.values_mut().for_each(forget_history);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_history),
        _ => (),
    }
}

/// Whoever asked must be told: of this generation, and, where it is not ready, why.
fn trouble(object: &DynamicObject) -> Option<String> {
    let kind = object.types.as_ref()?.kind.as_str();
    if !["Bureau", "VirtualDataCenter", "Hall"].contains(&kind) {
        return None;
    }
    let name = format!("{kind} {}", object.metadata.name.as_deref().unwrap_or_default());
    let status = &object.data["status"];
    if status["observedGeneration"].as_i64() != object.metadata.generation {
        return Some(format!("{name} says nothing of its last change"));
    }
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let Some(ready) = conditions.into_iter().find(|c| c["type"] == "Ready") else {
        return Some(format!("{name} does not say whether it is ready"));
    };
    let says = |field: &str| ready[field].as_str().is_some_and(|text| !text.is_empty());
    let told = ready["status"] == "True" || says("reason") && says("message");
    (!told).then(|| format!("{name} is not ready and does not say why: {ready}"))
}
