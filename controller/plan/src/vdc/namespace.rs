//! Namespaces of a VDC at a site.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use yunting_crds::labels;

use super::admission::Admission;
use super::{ValidNamespace, ValidVdcSlice};
use crate::object::Object;

/// Version that Pod Security is pinned to; `latest` would change under running halls.
pub const POD_SECURITY_VERSION: &str = "v1.36";
/// Label: the one StorageClass whose PVCs the namespace takes. Without it, none.
pub const STORAGE_CLASS: &str = "yunting.io/storage-class";
/// Label: Services of type LoadBalancer are taken. Without it, none.
pub const LOAD_BALANCER: &str = "yunting.io/load-balancer";

/// The namespace with everything the site's policies look at.
pub fn object(slice: &ValidVdcSlice, namespace: &ValidNamespace, admission: Admission) -> Object {
    let mut all = slice.owner.labels();
    let mut put = |k: &str, v: &str| all.insert(k.to_owned(), v.to_owned());
    put(labels::ACCESS, namespace.access.as_str());
    put(labels::ADMISSION, admission.label());
    for mode in ["enforce", "audit", "warn"] {
        put(&format!("pod-security.kubernetes.io/{mode}"), "restricted");
        put(&format!("pod-security.kubernetes.io/{mode}-version"), POD_SECURITY_VERSION);
    }
    if let Some(class) = &slice.storage_class {
        put(STORAGE_CLASS, class);
    }
    if slice.load_balancer {
        put(LOAD_BALANCER, "allowed");
    }
    let annotations = match admission {
        Admission::Closing(since) => Some([(labels::CLOSING.to_owned(), since.to_string())].into()),
        Admission::Open | Admission::Closed => None,
    };
    let name = Some(namespace.at_site.clone());
    let metadata = ObjectMeta { name, labels: Some(all), annotations, ..ObjectMeta::default() };
    Object::new(&Namespace { metadata, ..Namespace::default() })
}
