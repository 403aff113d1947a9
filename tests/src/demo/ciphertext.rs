//! What of a database is in its pod, and what of it is on the node's disk.

use anyhow::{Context, ensure};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use yunting_crds::VolumeKey;
use yunting_lab::spec::Lab;

use super::shell::Shell;

/// Where it is looked.
const SITE: &str = "qiaocheng";
/// The beginning of a file that every PostgreSQL has.
const TEXT: &str = "PostgreSQL configuration file";

/// Looks for it in a volume as its pod sees it, and as the disk has it.
pub async fn show(shell: &Shell, lab: &Lab) -> anyhow::Result<()> {
    let site = lab.site(SITE)?;
    let keys: Api<VolumeKey> = Api::all(yunting_lab::client::site(lab, site).await?);
    let keys = keys.list(&ListParams::default()).await?;
    let volume = keys.iter().next().context("no volume has a key")?.name_any();
    let image = lab.site_dir(site).volumes().join("yunting/volumes").join(&volume).join("image");
    shell.title(&format!("On the disk: what is in volume {volume} at {SITE}"));
    for (place, name, clear) in [
        (format!("/run/yunting/volumes/{volume}"), "as its pod sees it", true),
        (image.display().to_string(), "on the node's disk", false),
    ] {
        let script =
            format!("sync; if grep -rqa -m1 '{TEXT}' {place}; then echo there; else echo not there; fi");
        let found = shell.lab_output(&["exec", SITE, "--", "sh", "-c", &script])?;
        println!("{TEXT:?} {name}: {found}");
        ensure!((found == "there") == clear, "{TEXT:?} is {found} {name}");
    }
    Ok(())
}
