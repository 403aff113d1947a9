//! A tenant: template, bureau under a bureau, VDC and hall, all of it its own, so that many stand side by side.

use std::collections::BTreeSet;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, PostParams};
use kube::core::ApiResource;
use kube::{Api, ResourceExt};
use serde_json::Value;
use yunting_crds::names::{ComponentName, HallName, secret_copy};
use yunting_crds::{Bureau, Hall, Site, VdcTemplate, VirtualDataCenter};
use yunting_plan::hall::secret_name;
use yunting_plan::vdc::Uid;
use yunting_tests::mutations::TOKEN;
use yunting_tests::plane::dump::Names;
use yunting_tests::plane::{Planes, until};

use super::base::{self, HALL, VDC};

/// Tries of a write that meets another's.
const TRIES: usize = 5;

/// One tenant.
pub struct Tenant {
    /// In all its names.
    pub token: String,
    /// Its names of this run and what stands for them.
    pub names: Names,
    /// Its VDC is silent where its template speaks.
    silent: bool,
    uids: Option<(String, String)>,
}

/// Why an API server did not take an object.
#[derive(Debug, Clone)]
pub struct Refusal(pub String);

fn resource(kind: &str) -> ApiResource {
    match kind {
        "Site" => ApiResource::erase::<Site>(&()),
        "VdcTemplate" => ApiResource::erase::<VdcTemplate>(&()),
        "Bureau" => ApiResource::erase::<Bureau>(&()),
        "VirtualDataCenter" => ApiResource::erase::<VirtualDataCenter>(&()),
        _ => ApiResource::erase::<Hall>(&()),
    }
}

impl Tenant {
    /// A tenant of which nothing stands yet. Where a template is looked at, the VDC says nothing that it could say.
    pub fn new(number: usize, silent: bool) -> Self {
        let token = format!("zq{number:03}a");
        assert_eq!(token.len(), TOKEN.len(), "a thousand tenants are the most");
        Self { token, names: Names::default(), silent, uids: None }
    }

    /// Whether its VDC says nothing that its template says.
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// A name with the tenant's own part.
    pub fn own_text(&self, text: &str) -> String {
        text.replace(TOKEN, &self.token)
    }

    fn own(&self, value: &Value) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.own_text(&value.to_string()))?)
    }

    /// The spec that an object of the tenant has.
    pub fn spec(&self, kind: &str) -> Value {
        if kind == "VirtualDataCenter" && self.silent {
            base::silent_vdc()
        } else {
            base::object(kind)["spec"].clone()
        }
    }

    /// Where the tenant's objects of a kind are.
    pub fn api(&self, planes: &Planes, kind: &str) -> Api<DynamicObject> {
        let (namespace, _) = base::place(kind);
        let client = planes.hub.client().clone();
        match namespace {
            Some(name) => Api::namespaced_with(client, &self.own_text(&name), &resource(kind)),
            None => Api::all_with(client, &resource(kind)),
        }
    }

    fn name(&self, kind: &str) -> String {
        self.own_text(&base::place(kind).1)
    }

    /// Makes everything of it, one kind otherwise if so asked.
    pub async fn create(&mut self, planes: &Planes, changed: Option<(&str, &Value)>) -> anyhow::Result<()> {
        let spec = |kind: &str| match changed {
            Some((other, spec)) if other == kind => spec.clone(),
            _ => self.spec(kind),
        };
        let specs = base::KINDS.map(|kind| (kind, spec(kind)));
        self.make(planes, "Bureau", &format!("p-{}", self.token), &base::parent()).await?;
        let mut uids = Vec::new();
        for (kind, spec) in &specs {
            let made = self.make(planes, kind, &self.name(kind), spec).await?;
            if *kind == "Bureau" {
                let namespaces: Api<Namespace> = Api::all(planes.hub.client().clone());
                until(namespaces, &format!("bureau-{}", self.token), |_| true).await?;
            }
            uids.push(made.uid().unwrap_or_default());
        }
        self.uids = Some((uids[2].clone(), uids[3].clone()));
        self.learn(&specs[3].1);
        self.names.add(&self.token, "<tenant>".to_owned());
        Ok(())
    }

    /// Makes an object of the tenant's.
    pub async fn make(
        &self,
        planes: &Planes,
        kind: &str,
        name: &str,
        spec: &Value,
    ) -> anyhow::Result<DynamicObject> {
        let object =
            DynamicObject::new(name, &resource(kind)).data(serde_json::json!({"spec": self.own(spec)?}));
        let made = self.api(planes, kind).create(&PostParams::default(), &object).await;
        made.with_context(|| format!("{kind} {name} is not taken: {spec}"))
    }

    /// Names that follow from a hall's components and Secrets.
    pub fn learn(&self, hall: &Value) {
        let Some((vdc, uid)) = &self.uids else { return };
        let texts = |list: &Value, field: &str| -> Vec<String> {
            let all = list.as_array().into_iter().flatten();
            all.filter_map(|i| i[field].as_str().map(str::to_owned)).collect()
        };
        let components = hall["components"].as_array().into_iter().flatten();
        let secrets: BTreeSet<String> = components.flat_map(|c| texts(&c["secretRefs"], "name")).collect();
        for secret in &secrets {
            self.names.add(&secret_copy(vdc, secret), format!("<copy-of-{secret}>"));
            if let (Ok(uid), Ok(hall)) = (Uid::new(uid), HallName::new(HALL)) {
                self.names.add(&secret_name(&uid, &hall, secret), format!("<secret-{secret}>"));
            }
        }
        let mut parts = texts(&hall["components"], "name");
        parts.retain(|part| ComponentName::new(part).is_ok());
        self.names.hall(HALL, uid, &parts.iter().map(String::as_str).collect::<Vec<_>>());
        self.names.vdc(VDC, vdc, &[]);
    }

    /// Gives an object of it another spec, as a person's editor does.
    pub async fn put(
        &self,
        planes: &Planes,
        kind: &str,
        spec: &Value,
    ) -> anyhow::Result<Result<(), Refusal>> {
        if kind == "Hall" {
            self.learn(spec);
        }
        let (api, name) = (self.api(planes, kind), self.name(kind));
        for _ in 0..TRIES {
            let mut object = api.get(&name).await?;
            object.data["spec"] = self.own(spec)?;
            match api.replace(&name, &PostParams::default(), &object).await {
                Ok(_) => return Ok(Ok(())),
                Err(kube::Error::Api(status)) if status.code == 409 => (),
                Err(kube::Error::Api(status)) => return Ok(Err(Refusal(status.message.clone()))),
                Err(error) => return Err(error.into()),
            }
        }
        anyhow::bail!("{kind} {name} is written by others all the time")
    }
}
