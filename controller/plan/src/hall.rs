//! What a hall becomes at a site: a checked slice in, objects in the order of their application out.
//!
//! Owns: the objects of components; the check of a hall's slice against its VDC's at this site is in [`check`].
//! Must never: touch a namespace that is not its VDC's, or refer to one.

pub mod check;
pub mod config;
pub mod disruption;
pub mod door;
pub mod elsewhere;
pub mod grants;
pub mod network;
pub mod replica;
pub mod route;
pub mod service;
#[cfg(test)]
pub(crate) mod tests;
pub mod volume;
pub mod workload;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use yunting_crds::hall::{Autoscaling, Component, ComponentKind};
use yunting_crds::labels;
use yunting_crds::names::{ComponentName, HallName, long_hash};

use crate::object::{ApiKind, Key, Object, api_kind};
use crate::vdc::network::matching;
use crate::vdc::{Owner, SiteFacts, Uid, ValidVdcSlice};

/// A hall's slice that was checked against its VDC's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidHallSlice {
    /// Whose VDC it runs in.
    pub owner: Owner,
    /// Its name.
    pub name: HallName,
    /// Its uid.
    pub uid: Uid,
    /// How clients reach it; only where the component runs here.
    pub portal: Option<ValidPortal>,
    /// Its components.
    pub components: Vec<ValidComponent>,
    /// It is active at all sites of its VDC, so that a component may be called from where it does not run.
    pub everywhere: bool,
    /// The hall at other sites, as far as what is said of it is believed.
    pub elsewhere: Vec<elsewhere::Abroad>,
    /// Grants to and from halls of other VDCs that have not ended.
    pub grants: grants::Grants,
}

/// How clients reach a hall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidPortal {
    /// Host name.
    pub host: String,
    /// Path prefixes.
    pub paths: BTreeSet<String>,
    /// Component that answers, by its place in the list.
    pub component: usize,
}

/// A component that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidComponent {
    /// Its name.
    pub name: ComponentName,
    /// Name of its objects.
    pub object: String,
    /// Its namespace at the site.
    pub namespace: String,
    /// Whether it runs here; otherwise everything is there with no replicas.
    pub active: bool,
    /// Processor time of a replica in millicores.
    pub cpu: u64,
    /// Memory of a replica in bytes.
    pub memory: u64,
    /// Sizes of its volumes in bytes, in the order of the spec.
    pub volumes: Vec<u64>,
    /// Components that it calls, by their places in the list.
    pub calls: BTreeSet<usize>,
    /// Components that call it.
    pub callers: BTreeSet<usize>,
    /// Its Secrets: name in the bureau, and hash of the content.
    pub secrets: BTreeMap<String, SecretCopy>,
    /// As the bureau wrote it.
    pub spec: Component,
}

/// A Secret as it comes to the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretCopy {
    /// Name of the copy in the site's hub namespace.
    pub copy: String,
    /// Name in the VDC's namespace. Halls do not share: the end of one takes nothing from another.
    pub name: String,
    /// Keyed hash of the content.
    pub hash: String,
}

impl ValidHallSlice {
    /// Labels of everything that belongs to the hall.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut all = self.owner.labels();
        all.insert(labels::HALL.to_owned(), self.name.to_string());
        all.insert(labels::HALL_UID.to_owned(), self.uid.as_str().to_owned());
        all
    }

    fn component_labels(&self, component: &ValidComponent) -> BTreeMap<String, String> {
        let mut all = self.labels();
        all.insert(labels::COMPONENT.to_owned(), component.name.to_string());
        all.insert(labels::ZONE.to_owned(), component.spec.zone.as_str().to_owned());
        all
    }

    fn metadata(&self, component: &ValidComponent) -> ObjectMeta {
        self.metadata_named(component, component.object.clone())
    }

    fn metadata_named(&self, component: &ValidComponent, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(component.namespace.clone()),
            labels: Some(self.component_labels(component)),
            ..ObjectMeta::default()
        }
    }

    /// Selects the pods of a component; never changes, because workloads cannot change theirs.
    fn selector(&self, component: &ValidComponent) -> LabelSelector {
        matching([(labels::HALL_UID, self.uid.as_str()), (labels::COMPONENT, component.name.as_str())])
    }
}

impl ValidComponent {
    /// Pods asked here, where load does not decide.
    pub fn replicas(&self) -> u32 {
        if self.active { self.spec.replicas } else { 0 }
    }

    /// Pods that it begins with where its load decides: what is asked, within what its load may make of it.
    pub fn start(&self) -> u32 {
        let within = |a: &Autoscaling| self.spec.replicas.max(a.min_replicas).min(a.max_replicas);
        self.spec.autoscaling.as_ref().map_or(self.spec.replicas, within)
    }

    /// Fewest pods that are asked here.
    pub fn least(&self) -> u32 {
        let least = self.spec.autoscaling.as_ref().map_or(self.spec.replicas, |a| a.min_replicas);
        if self.active { least } else { 0 }
    }

    /// Key of its workload.
    pub fn workload(&self) -> Key {
        let kind = if self.stateful() { api_kind::<StatefulSet>() } else { api_kind::<Deployment>() };
        Key { kind, namespace: Some(self.namespace.clone()), name: self.object.clone() }
    }

    /// Whether it keeps data.
    pub fn stateful(&self) -> bool {
        self.spec.kind == ComponentKind::Stateful
    }
}

/// Name in a VDC's namespace of a bureau's Secret as one hall reads it.
pub fn secret_name(hall_uid: &Uid, hall: &HallName, secret: &str) -> String {
    format!("{hall}-s-{}", long_hash(format!("{}/{secret}", hall_uid.as_str()).as_bytes()))
}

/// Kinds that are created in an open namespace only, because the site's policies refuse them in a closed one.
pub fn needs_open(kind: &ApiKind) -> bool {
    matches!(kind.kind, "Deployment" | "StatefulSet" | "Service" | "PersistentVolumeClaim")
}

/// Every object of the hall at the site but its Secrets, in order of application: what a pod needs comes before it,
/// what leads to it comes after.
pub fn hall_objects(hall: &ValidHallSlice, vdc: &ValidVdcSlice, site: &SiteFacts) -> Vec<Object> {
    let each =
        |f: &dyn Fn(&ValidComponent) -> Vec<Object>| hall.components.iter().flat_map(f).collect::<Vec<_>>();
    let mut all = each(&|c| vec![network::policy(hall, c)]);
    all.extend(each(&|c| vec![config::service_account(hall, c)]));
    all.extend(each(&|c| config::files(hall, c).into_iter().collect()));
    all.extend(each(&|c| service::services(hall, c)));
    all.extend(each(&|c| elsewhere::endpoints(hall, c).into_iter().collect()));
    all.extend(each(&|c| disruption::budget(hall, c).into_iter().collect()));
    all.extend(each(&|c| vec![workload::workload(hall, c, vdc, site)]));
    all.extend(each(&|c| disruption::autoscaler(hall, c).into_iter().collect()));
    all.extend(route::route(hall));
    all
}
