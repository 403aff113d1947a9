//! The life of a VDC with a hall, step by step, and how everything stands after each step.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use yunting_crds::conditions::{State, state_of};
use yunting_crds::{Hall, VirtualDataCenter};
use yunting_tests::apiserver::wait;

use super::controllers::Controllers;
use super::dump::{Dump, Names, difference, dump};
use super::world::{BUREAU, PATIENCE, SITE, World, apply, gone, until};

/// Without a write for so long, all has been done.
pub const QUIET: Duration = Duration::from_millis(3500);
/// Parts of a hall.
const COMPONENTS: [&str; 3] = ["portal", "approval", "db"];

/// The steps.
pub const STEPS: [&str; 9] = [
    "create",
    "resize",
    "freeze",
    "unfreeze",
    "change image",
    "delete hall",
    "release",
    "delete vdc",
    "rest",
];

/// How everything stands after each step.
pub type Course = BTreeMap<&'static str, Dump>;

/// One VDC and its hall.
pub struct Life<'a> {
    pub world: &'a World,
    pub controllers: &'a Controllers,
    pub names: Names,
    pub vdc: &'a str,
}

impl Life<'_> {
    fn vdcs(&self) -> Api<VirtualDataCenter> {
        Api::namespaced(self.world.hub.client().clone(), BUREAU)
    }

    fn halls(&self) -> Api<Hall> {
        Api::namespaced(self.world.hub.client().clone(), BUREAU)
    }

    fn hall(&self) -> String {
        format!("{}-hall", self.vdc)
    }

    /// Makes the VDC only; its uid.
    pub async fn create_vdc(&self) -> anyhow::Result<String> {
        let made = apply::<VirtualDataCenter>(self.world.hub.client(), Some(BUREAU), self.vdc, vdc_spec("2"))
            .await?;
        let uid = made.uid().unwrap_or_default();
        self.names.vdc(self.vdc, &uid, &[&format!("{}-db", self.hall())]);
        Ok(uid)
    }

    /// Makes the VDC and its hall.
    pub async fn create(&self) -> anyhow::Result<()> {
        let (client, hall) = (self.world.hub.client(), self.hall());
        self.create_vdc().await?;
        let made = apply::<Hall>(client, Some(BUREAU), &hall, hall_spec(self.vdc, &hall)).await?;
        self.names.hall(&hall, &made.uid().unwrap_or_default(), &COMPONENTS);
        Ok(())
    }

    /// Changes what the VDC is to be.
    pub async fn patch(&self, spec: Value) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.vdcs().patch(self.vdc, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Sets the life cycle.
    pub async fn lifecycle(&self, lifecycle: Value) -> anyhow::Result<()> {
        self.patch(json!({"lifecycle": lifecycle})).await
    }

    /// Sets the quota's cpu.
    pub async fn resize(&self, cpu: &str) -> anyhow::Result<()> {
        self.patch(json!({"quota": {"cpu": cpu}})).await
    }

    /// Ends the hall.
    pub async fn delete_hall(&self) -> anyhow::Result<()> {
        self.ask_end_of_hall().await?;
        self.hall_gone().await
    }

    /// Asks for the end of the hall.
    pub async fn ask_end_of_hall(&self) -> anyhow::Result<()> {
        self.halls().delete(&self.hall(), &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits for the end of the hall.
    pub async fn hall_gone(&self) -> anyhow::Result<()> {
        gone(self.halls(), &self.hall()).await
    }

    /// Asks for the end of the VDC.
    pub async fn ask_end_of_vdc(&self) -> anyhow::Result<()> {
        self.vdcs().delete(self.vdc, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Asks for the VDC's release.
    pub async fn release(&self) -> anyhow::Result<()> {
        self.lifecycle(json!({"state": "Released", "coolingOffHours": 0})).await?;
        let deletable = |v: &VirtualDataCenter| {
            state_of(&v.status.clone().unwrap_or_default().conditions, "Deletable") == State::True
        };
        until(self.vdcs(), self.vdc, deletable).await.map(drop)
    }

    /// Ends the VDC.
    pub async fn delete_vdc(&self) -> anyhow::Result<()> {
        self.ask_end_of_vdc().await?;
        gone(self.vdcs(), self.vdc).await
    }

    /// Takes everything away that may be left.
    pub async fn end(&self) -> anyhow::Result<()> {
        if self.halls().get_opt(&self.hall()).await?.is_some() {
            self.delete_hall().await?;
        }
        if self.vdcs().get_opt(self.vdc).await?.is_some() {
            self.release().await?;
            self.delete_vdc().await?;
        }
        self.forget_secret().await
    }

    /// A generated Secret is the bureau's and outlives its hall; the next life makes its own.
    async fn forget_secret(&self) -> anyhow::Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.world.hub.client().clone(), BUREAU);
        let name = format!("{}-db", self.hall());
        if secrets.get_opt(&name).await?.is_some() {
            secrets.delete(&name, &DeleteParams::default()).await?;
        }
        Ok(())
    }

    async fn step(&self, step: &str) -> anyhow::Result<()> {
        let state = |state: &str| json!({"lifecycle": {"state": state}});
        match step {
            "create" => self.create().await,
            "resize" => self.resize("3").await,
            "freeze" => self.patch(state("Frozen")).await,
            "unfreeze" => self.patch(state("Active")).await,
            "change image" => {
                let mut spec = hall_spec(self.vdc, &self.hall());
                spec["components"][1]["image"] = json!(image('b'));
                apply::<Hall>(self.world.hub.client(), Some(BUREAU), &self.hall(), spec).await.map(drop)
            }
            "delete hall" => self.delete_hall().await,
            "release" => self.release().await,
            "delete vdc" => self.delete_vdc().await,
            _ => self.forget_secret().await,
        }
    }

    /// Goes through all steps without a fault and sees how everything stands after each.
    pub async fn undisturbed(&self) -> anyhow::Result<Course> {
        let mut course = Course::new();
        for step in STEPS {
            self.step(step)
                .await
                .map_err(|e| anyhow::anyhow!("{step}: {e:#}\n{}", self.controllers.tails()))?;
            self.controllers.quiet(QUIET).await?;
            course.insert(step, dump(self.world, &self.names).await?);
        }
        Ok(course)
    }

    /// Goes through all steps and waits after each until everything stands as it did without faults.
    pub async fn same(&self, course: &Course, mut before: impl FnMut(&str)) -> anyhow::Result<()> {
        for step in STEPS {
            before(step);
            self.step(step)
                .await
                .map_err(|e| anyhow::anyhow!("{step}: {e:#}\n{}", self.controllers.tails()))?;
            self.stands(&course[step]).await.map_err(|e| anyhow::anyhow!("{step}: {e:#}"))?;
        }
        Ok(())
    }

    /// Waits until everything stands like that.
    pub async fn stands(&self, wanted: &Dump) -> anyhow::Result<()> {
        let mut last = Vec::new();
        let look = async || {
            let now = dump(self.world, &self.names).await.ok()?;
            last = difference(wanted, &now);
            last.is_empty().then_some(())
        };
        if let Err(late) = wait("the same end", PATIENCE, look).await {
            bail!("{late}\n{}\n{}", last.join("\n"), self.controllers.tails());
        }
        Ok(())
    }
}

fn image(digit: char) -> String {
    format!("localhost/yunting-hall@sha256:{}", digit.to_string().repeat(64))
}

/// A VDC at the site.
pub fn vdc_spec(cpu: &str) -> Value {
    json!({"quota": {"cpu": cpu, "memory": "2Gi", "pods": 24, "storage": "6Gi"}, "sites": {"names": [SITE]},
        "namespaces": [{"name": "app", "weight": 3}, {"name": "sandbox", "access": "Direct"}],
        "isolation": {"ingressFrom": ["Portal"]}})
}

/// A hall with a portal, an approval back end and a database.
pub fn hall_spec(vdc: &str, name: &str) -> Value {
    let part = |name: &str, zone: &str, more: Value| {
        let mut part = json!({"name": name, "zone": zone, "image": image('a'), "resources": {"cpu": "20m", "memory": "48Mi"}});
        part.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        part
    };
    let http = json!([{"name": "http", "port": 8080}]);
    let secret = format!("{name}-db");
    let components = [
        part("portal", "Portal", json!({"ports": http, "calls": [{"component": "approval"}]})),
        part(
            "approval",
            "Approval",
            json!({"ports": http, "configFiles": [{"path": "/etc/hall/a.conf", "content": "a"}]}),
        ),
        part(
            "db",
            "Data",
            json!({"kind": "Stateful", "ports": [{"name": "postgres", "port": 5432}], "runAsUser": 70,
            "secretRefs": [{"name": secret, "generate": ["password"]}],
            "env": [{"name": "POSTGRES_PASSWORD", "secretKey": {"name": secret, "key": "password"}}],
            "volumes": [{"name": "data", "size": "1Gi", "mountPath": "/var/lib/postgresql"}]}),
        ),
    ];
    json!({"vdcRef": {"name": vdc}, "displayName": "测试厅", "availabilityClass": "Gold",
        "portal": {"host": format!("{name}.faults.example"), "component": "portal"}, "components": components})
}
