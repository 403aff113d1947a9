//! May this object be written for this VDC at all? Asked before each write at a site, whatever planned it.

use std::collections::{BTreeMap, BTreeSet};

use yunting_crds::labels;
use yunting_crds::names::is_site_namespace_of;

use crate::object::{Key, Object};
use crate::vdc::{Owner, Uid, ValidVdcSlice};

/// Where one VDC, or one hall in it, may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    owner: Owner,
    hall: Option<Uid>,
    namespaces: BTreeSet<String>,
}

/// Kinds that tenants' isolation rests on and that a hall never writes; the VDC alone does.
const VDC_ONLY: [&str; 4] = ["Namespace", "ResourceQuota", "LimitRange", "RoleBinding"];
/// Everything that is ever written into a VDC.
const KNOWN: [&str; 15] = [
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "RoleBinding",
    "ServiceAccount",
    "ConfigMap",
    "Secret",
    "Service",
    "EndpointSlice",
    "Deployment",
    "StatefulSet",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "HTTPRoute",
];

/// An object that is not the VDC's to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Of a kind that is never written, or not for a hall.
    #[error("{0} is of a kind that is not written here")]
    Kind(Box<Key>),
    /// Outside the VDC's namespaces.
    #[error("{0} is outside the VDC's namespaces")]
    Namespace(Box<Key>),
    /// Without the labels that say whose it is.
    #[error("{0} does not carry the labels of its owner")]
    Labels(Box<Key>),
    /// An object of that name exists and is another's: it is never adopted.
    #[error("{key} exists and belongs to {other}; it is left alone. Remove it if nobody needs it")]
    Collision {
        /// Which.
        key: Box<Key>,
        /// Whose it is.
        other: String,
    },
}

impl Scope {
    /// Of a VDC.
    pub fn vdc(slice: &ValidVdcSlice) -> Self {
        let namespaces = slice.namespaces.iter().map(|n| n.at_site.clone()).collect();
        Self { owner: slice.owner.clone(), hall: None, namespaces }
    }

    /// Of a VDC in namespaces that it named before: only those that are named for its uid.
    pub fn left_over(slice: &ValidVdcSlice, names: &BTreeSet<String>) -> Self {
        let uid = slice.owner.uid.as_str();
        let own = |name: &&String| is_site_namespace_of(name, uid);
        Self {
            owner: slice.owner.clone(),
            hall: None,
            namespaces: names.iter().filter(own).cloned().collect(),
        }
    }

    /// Of a hall in it.
    pub fn hall(slice: &ValidVdcSlice, hall: &Uid) -> Self {
        Self { hall: Some(hall.clone()), ..Self::vdc(slice) }
    }

    /// Whether the object may be written, given the labels of what is there under its name.
    pub fn check(&self, object: &Object, standing: Option<&BTreeMap<String, String>>) -> Result<(), Refused> {
        let key = || Box::new(object.key.clone());
        let kind = object.key.kind.kind;
        if !KNOWN.contains(&kind) || (self.hall.is_some() && VDC_ONLY.contains(&kind)) {
            return Err(Refused::Kind(key()));
        }
        let place = if object.key.kind.namespaced {
            object.key.namespace.as_deref()
        } else {
            Some(object.key.name.as_str())
        };
        if !place.is_some_and(|p| self.namespaces.contains(p)) {
            return Err(Refused::Namespace(key()));
        }
        let ours = object.body.pointer("/metadata/labels");
        let label = |name: &str| ours.and_then(|l| l.get(name)).and_then(serde_json::Value::as_str);
        let wanted = self.owner.labels();
        let hall = self.hall.as_ref().map(Uid::as_str);
        if !wanted.iter().all(|(k, v)| label(k) == Some(v)) || label(labels::HALL_UID) != hall {
            return Err(Refused::Labels(key()));
        }
        match standing {
            Some(labels) => {
                self.adopt(&object.key, labels).map_err(|other| Refused::Collision { key: key(), other })
            }
            None => Ok(()),
        }
    }

    /// Whether what is there is ours to change. Within a namespace of the VDC a lost label is drift; a namespace
    /// itself must say whose it is.
    fn adopt(&self, key: &Key, standing: &BTreeMap<String, String>) -> Result<(), String> {
        match standing.get(labels::VDC_UID) {
            Some(uid) if uid != self.owner.uid.as_str() => return Err(format!("the VDC of uid {uid}")),
            None if !key.kind.namespaced => return Err("nobody that Yunting knows".to_owned()),
            _ => (),
        }
        match standing.get(labels::HALL_UID) {
            Some(uid) if self.hall.as_ref().map(Uid::as_str) != Some(uid) => {
                Err(format!("the hall of uid {uid}"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
