//! Volumes of a component's pods: what is mounted where, and the claims of a stateful component.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    SecretVolumeSource, Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use yunting_crds::hall_volume::HallClaim;
use yunting_crds::resources::Kind;

use super::config::file_key;
use super::{ValidComponent, ValidHallSlice};
use crate::vdc::ValidVdcSlice;

/// Most that a writable path may hold: it is the node's own disk.
const WRITABLE: u64 = 1 << 30;
/// Files of a Secret are for the component's user and group.
const SECRET_MODE: i32 = 0o440;
const CONFIG: &str = "config";

/// Volumes of the pod that are no claims.
pub(super) fn volumes(c: &ValidComponent) -> Vec<Volume> {
    let mut all = Vec::new();
    if !c.spec.config_files.is_empty() {
        let source = ConfigMapVolumeSource { name: c.object.clone(), ..ConfigMapVolumeSource::default() };
        all.push(Volume { name: CONFIG.to_owned(), config_map: Some(source), ..Volume::default() });
    }
    for (i, reference) in c.spec.secret_refs.iter().enumerate().filter(|(_, r)| r.mount_path.is_some()) {
        let Some(copy) = c.secrets.get(&reference.name) else { continue };
        let source = SecretVolumeSource {
            secret_name: Some(copy.name.clone()),
            default_mode: Some(SECRET_MODE),
            ..SecretVolumeSource::default()
        };
        all.push(Volume { name: format!("secret-{i}"), secret: Some(source), ..Volume::default() });
    }
    for i in 0..c.spec.writable_paths.len() {
        let source =
            EmptyDirVolumeSource { size_limit: Some(Kind::Storage.quantity(WRITABLE)), medium: None };
        all.push(Volume { name: format!("writable-{i}"), empty_dir: Some(source), ..Volume::default() });
    }
    all
}

/// Where they are mounted, claims included.
pub(super) fn mounts(c: &ValidComponent) -> Vec<VolumeMount> {
    let mount = |name: String, path: &str| VolumeMount {
        name,
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    };
    let mut all = Vec::new();
    for file in &c.spec.config_files {
        let sub_path = Some(file_key(&file.path));
        all.push(VolumeMount { sub_path, read_only: Some(true), ..mount(CONFIG.to_owned(), &file.path) });
    }
    for (i, reference) in c.spec.secret_refs.iter().enumerate() {
        if let Some(path) = &reference.mount_path {
            all.push(VolumeMount { read_only: Some(true), ..mount(format!("secret-{i}"), path) });
        }
    }
    for (i, path) in c.spec.writable_paths.iter().enumerate() {
        all.push(mount(format!("writable-{i}"), path));
    }
    all.extend(c.spec.volumes.iter().map(|v| mount(claim_name(&v.name), &v.mount_path)));
    all
}

/// A claim's name cannot meet that of another volume of the pod.
fn claim_name(volume: &str) -> String {
    format!("data-{volume}")
}

/// Templates of the claims of each replica, on the VDC's class.
pub(super) fn claims(
    hall: &ValidHallSlice,
    c: &ValidComponent,
    vdc: &ValidVdcSlice,
) -> Vec<PersistentVolumeClaim> {
    let claim = |(v, size): (&yunting_crds::hall::Volume, &u64)| PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(claim_name(&v.name)),
            labels: Some(hall.component_labels(c)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: vdc.storage_class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), storage(*size))].into()),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    };
    c.spec.volumes.iter().zip(&c.volumes).map(claim).collect()
}

/// Which volume of the hall a claim is, by its name as a `StatefulSet` makes it; nothing where it is none of the hall's.
pub fn claim_of(hall: &ValidHallSlice, namespace: &str, name: &str) -> Option<HallClaim> {
    let of = |c: &ValidComponent, volume: &str| {
        let prefix = format!("{}-{}-", claim_name(volume), c.object);
        let number = name.strip_prefix(&prefix)?;
        // As it is counted, without a leading zero or a sign.
        let ordinal = number.parse::<u32>().ok().filter(|n| n.to_string() == number)?;
        Some(HallClaim { component: c.name.to_string(), volume: volume.to_owned(), ordinal })
    };
    let here = hall.components.iter().filter(|c| c.namespace == namespace && c.stateful());
    here.flat_map(|c| c.spec.volumes.iter().map(move |v| (c, v))).find_map(|(c, v)| of(c, &v.name))
}

fn storage(size: u64) -> Quantity {
    Kind::Storage.quantity(size)
}
