//! Volumes of halls: what a pod writes is ciphertext on every disk of every site, outlives whatever happens to the node's
//! controller, to the pod and to the site's power, keeps its data key while the VDC's key changes, and opens no more once
//! the VDC is gone.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use serde_json::json;
use yunting_crds::conditions::find;
use yunting_crds::{VirtualDataCenter, VolumeKey};
use yunting_lab::site::parts::{
    HUB_CONTROLLER_PORT, NODE_CONTROLLER, NODE_CONTROLLER_PORT, SITE_CONTROLLER_PORT,
};

use super::certificate::Collected;
use super::fixture::{PATIENCE, World, gone, namespace_of, seen, until};
use super::provision::BUREAU;

pub(super) const SITE: &str = "qiaocheng";
pub(super) const HALL: &str = "gold";
/// Where the database's volume is in its pod.
pub(super) const MOUNT: &str = "/var/lib/postgresql";
/// A volume that no driver made.
const CLEAR: &str = "pvc-in-the-clear";
/// A text that is on no disk but as this pod writes it. In two halves, so that no command line has it whole.
const MARKER: [&str; 2] = ["Yunting-Marker-", "7f3c9e51-plain"];

/// The database of the hall that [`super::provision`] made.
pub(super) struct Database {
    namespace: String,
    pub(super) pod: Pod,
}

impl Database {
    /// One in a pod of that name.
    pub(super) fn of(namespace: &str, pod: &str) -> Self {
        let metadata = ObjectMeta { name: Some(pod.to_owned()), ..ObjectMeta::default() };
        Self { namespace: namespace.to_owned(), pod: Pod { metadata, ..Pod::default() } }
    }

    pub(super) async fn find(world: &World, bureau: &str, hall: &str, site: &str) -> anyhow::Result<Self> {
        let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.clone(), &format!("bureau-{bureau}"));
        let namespace = namespace_of(&vdcs.get("cloud").await?, "app");
        let pods: Api<Pod> = Api::namespaced(world.site(site).await?, &namespace);
        let ready = |p: &Pod| {
            let conditions = p.status.iter().flat_map(|s| s.conditions.iter().flatten());
            p.metadata.deletion_timestamp.is_none()
                && p.name_any().starts_with(&format!("{hall}-db-"))
                && conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
        };
        let pod = seen(pods, PATIENCE, ready).await.context("no database is ready")?;
        Ok(Self { namespace, pod })
    }

    /// What a shell in it prints.
    pub(super) fn run(&self, world: &World, site: &str, script: &str) -> anyhow::Result<String> {
        let kubeconfig = world.lab.kubeconfigs().join(format!("{site}.yaml"));
        let output = Command::new(world.lab.program("kubectl"))
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--namespace", &self.namespace, "exec", &self.pod.name_any(), "--", "sh", "-ec", script])
            .output()?;
        ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    pub(super) fn write_marker(&self, world: &World, site: &str) -> anyhow::Result<()> {
        let [one, two] = MARKER;
        let script = format!("m={one}; m=\"$m\"{two}; echo \"$m\" > {MOUNT}/$m; sync {MOUNT}/$m");
        self.run(world, site, &script).map(drop)
    }

    pub(super) fn has_marker(&self, world: &World, site: &str) -> anyhow::Result<()> {
        let text = MARKER.concat();
        let read = self.run(world, site, &format!("cat {MOUNT}/*-plain"))?;
        ensure!(read == text, "the volume has {read:?}");
        Ok(())
    }

    /// Its namespace at the site.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Name of its volume.
    pub(super) async fn volume(&self, world: &World, site: &str) -> anyhow::Result<String> {
        let client = world.site(site).await?;
        let claim = format!("data-{}", self.pod.name_any());
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &self.namespace);
        let claims = claims.list(&ListParams::default()).await?;
        let claim = claims.iter().find(|c| c.name_any().contains(&claim)).context("it has no claim")?;
        let name = claim.spec.as_ref().and_then(|s| s.volume_name.clone()).context("it is not bound")?;
        let volume = Api::<PersistentVolume>::all(client).get(&name).await?;
        let handle = volume.spec.and_then(|s| s.csi).map(|csi| csi.volume_handle);
        handle.context("its volume is not our driver's")
    }
}

pub fn ciphertext(world: &World) -> anyhow::Result<()> {
    let database = world.runtime.block_on(Database::find(world, BUREAU, HALL, SITE))?;
    database.write_marker(world, SITE)?;
    database.has_marker(world, SITE)?;
    let volume = world.runtime.block_on(database.volume(world, SITE))?;
    for site in &world.lab.sites {
        world.lab(&["exec", &site.name, "--", "sync"])?;
        let found = occurrences(&world.lab.site_dir(site).disk_image())?;
        ensure!(found == 0, "what a pod wrote is {found} times in the clear on the disk of {}", site.name);
    }
    told_nowhere(world)?;
    // The same text outside a volume is found: the search can fail.
    let clear = world.lab.site_dir(world.lab.site(SITE)?).volumes().join("clear");
    let script = format!("m={}; echo \"$m\"{} > {}; sync", MARKER[0], MARKER[1], clear.display());
    world.lab(&["exec", SITE, "--", "sh", "-ec", &script])?;
    let found = occurrences(&world.lab.site_dir(world.lab.site(SITE)?).disk_image())?;
    world.lab(&["exec", SITE, "--", "rm", &clear.display().to_string()])?;
    ensure!(found > 0, "a text in the clear was not found: the search proves nothing");
    world.runtime.block_on(async {
        let keys: Api<VolumeKey> = Api::all(world.site(SITE).await?);
        let key = keys.get(&volume).await?;
        let status = key.status.clone().unwrap_or_default();
        ensure!(
            status.sealed.is_none() && key.spec.recipient.is_none(),
            "a key stays in the object: {status:?}"
        );
        ensure!(key.spec.wrapped.is_some() && key.spec.wrapped == status.wrapped, "{:?}", key.spec);
        Ok(())
    })
}

/// What a pod wrote is in no log and no metric of any site. Objects and events are in etcd, which is on the sites' disks.
fn told_nowhere(world: &World) -> anyhow::Result<()> {
    for site in &world.lab.sites {
        let log = world.lab.site_dir(site).log(NODE_CONTROLLER);
        let logs = log.parent().context("logs lie in a directory")?;
        let mut looked = 0;
        for file in std::fs::read_dir(logs)? {
            let file = file?.path();
            if file.is_file() {
                looked += 1;
                let found = occurrences(&file)?;
                ensure!(found == 0, "what a pod wrote is {found} times in {}", file.display());
            }
        }
        ensure!(log.is_file() && looked >= 10, "only {looked} logs in {}", logs.display());
        for port in [HUB_CONTROLLER_PORT, SITE_CONTROLLER_PORT, NODE_CONTROLLER_PORT] {
            let script = format!(
                "exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; text=$(cat <&3); \
                 m={}; case $text in *\"$m\"{}*) exit 1;; *yunting_*) ;; *) exit 2;; esac",
                MARKER[0], MARKER[1]
            );
            world
                .lab(&["exec", &site.name, "--", "bash", "-ec", &script])
                .with_context(|| format!("metrics at port {port} of {}", site.name))?;
        }
    }
    Ok(())
}

/// The text that pods write.
pub(super) fn marker() -> String {
    MARKER.concat()
}

/// Somebody opens an image by hand whose directory is not encrypted, as one of the VDC's volumes: the product itself tells.
pub fn clear(world: &World) -> anyhow::Result<()> {
    let database = world.runtime.block_on(Database::find(world, BUREAU, HALL, SITE))?;
    let volume = world.runtime.block_on(database.volume(world, SITE))?;
    let all = world.lab.site_dir(world.lab.site(SITE)?).volumes().join("yunting/volumes");
    let (all, at) = (all.display(), format!("/run/yunting/volumes/{CLEAR}"));
    let open = format!(
        "btrfs -q subvolume create {all}/{CLEAR}; truncate -s 32M {all}/{CLEAR}/image; \
         sed 's/\"volume\": \"{volume}\"/\"volume\": \"{CLEAR}\"/' {all}/{volume}/volume.json > {all}/{CLEAR}/volume.json; \
         mkfs.ext4 -q -F -b 4096 -m 0 -O encrypt {all}/{CLEAR}/image; mkdir -p {at}; \
         mount -o loop {all}/{CLEAR}/image {at}; mkdir {at}/data"
    );
    // A probe may be at it.
    let close = format!(
        "for i in $(seq 50); do mountpoint -q {at} || break; umount {at} || sleep 0.2; done; \
         rmdir {at}; btrfs -q subvolume delete {all}/{CLEAR}"
    );
    let since = std::time::Instant::now();
    let opened = world.lab(&["exec", SITE, "--", "sh", "-ec", &open]);
    let told = world.runtime.block_on(async {
        opened?;
        let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.clone(), &format!("bureau-{BUREAU}"));
        let told = until(vdcs, "cloud", PATIENCE, |v| encryption(v).0 == "Broken").await?;
        println!("told after {:?}", since.elapsed());
        ensure!(encryption(&told).1.contains(CLEAR), "{:?}", encryption(&told));
        let events: Api<Event> = Api::namespaced(world.hub.clone(), &format!("bureau-{BUREAU}"));
        seen(events, PATIENCE, |e: &Event| e.reason.as_deref() == Some("EncryptionBroken")).await.map(drop)
    });
    let closed = world.lab(&["exec", SITE, "--", "sh", "-ec", &close]);
    told?;
    closed?;
    world.runtime.block_on(async {
        let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.clone(), &format!("bureau-{BUREAU}"));
        until(vdcs, "cloud", PATIENCE, |v| encryption(v).0 == "Verified").await.map(drop)
    })
}

/// Reason and message.
fn encryption(vdc: &VirtualDataCenter) -> (String, String) {
    let conditions = vdc.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    let found = find(conditions, "VolumesEncrypted");
    found.map(|c| (c.reason.clone(), c.message.clone())).unwrap_or_default()
}

/// How often the marker is in what a file with holes holds.
pub(super) fn occurrences(file: &Path) -> anyhow::Result<usize> {
    let mut grep = Command::new("grep")
        .args(["--text", "--only-matching", "--fixed-strings", "-e", &MARKER.concat()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut to = grep.stdin.take().context("no way into grep")?;
    let mut from = File::open(file).with_context(|| file.display().to_string())?;
    let copied = std::thread::spawn(move || -> anyhow::Result<()> {
        let mut at = 0;
        loop {
            at = match seek(&from, SeekFrom::Data(at)) {
                Ok(at) => at,
                Err(Errno::NXIO) => return Ok(()),
                Err(error) => bail!(error),
            };
            let end = seek(&from, SeekFrom::Hole(at))?;
            from.seek(std::io::SeekFrom::Start(at))?;
            std::io::copy(&mut (&from).take(end - at), &mut to)?;
            // A hole is a border that nothing is found across.
            to.write_all(b"\n")?;
            at = end;
        }
    });
    let output = grep.wait_with_output()?;
    copied.join().map_err(|_| anyhow::anyhow!("the copy panicked"))??;
    Ok(String::from_utf8_lossy(&output.stdout).lines().count())
}

pub fn outlives(world: &World) -> anyhow::Result<()> {
    let database = world.runtime.block_on(Database::find(world, BUREAU, HALL, SITE))?;
    // The kernel keeps what is open, whatever becomes of the controller.
    world.lab(&["stop", SITE, NODE_CONTROLLER])?;
    let goes_on = database.has_marker(world, SITE);
    world.lab(&["start", SITE, NODE_CONTROLLER])?;
    goes_on.context("while the node's controller is away")?;
    world.lab(&["kill", SITE, NODE_CONTROLLER])?;
    database.has_marker(world, SITE).context("after the node's controller was killed")?;
    world.runtime.block_on(async {
        // Nobody else may end a hall's pod.
        let pods: Api<Pod> = Api::namespaced(world.as_site_controller(SITE).await?, &database.namespace);
        pods.delete(&database.pod.name_any(), &DeleteParams::default()).await?;
        let fresh = |p: &Pod| p.name_any() == database.pod.name_any() && p.uid() != database.pod.uid();
        seen(pods, PATIENCE, fresh).await
    })?;
    let again = world.runtime.block_on(Database::find(world, BUREAU, HALL, SITE))?;
    again.has_marker(world, SITE).context("in a new pod")
}

/// A new key of the VDC: the data key is wrapped with it, the old one is destroyed, and nothing is mounted anew.
pub fn rotation(world: &World) -> anyhow::Result<()> {
    let database = world.runtime.block_on(Database::find(world, BUREAU, HALL, SITE))?;
    let before = database.run(world, SITE, &format!("grep ' {MOUNT} ' /proc/self/mountinfo"))?;
    let uid = world.runtime.block_on(async {
        let volume = database.volume(world, SITE).await?;
        let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.clone(), &format!("bureau-{BUREAU}"));
        let newer = json!({"spec": {"encryption": {"keyGeneration": 7}}});
        let vdc = vdcs.patch("cloud", &PatchParams::default(), &Patch::Merge(&newer)).await?;
        let keys: Api<VolumeKey> = Api::all(world.site(SITE).await?);
        let kept = |k: &VolumeKey| k.spec.wrapped.as_ref().is_some_and(|w| w.generation == 7);
        until(keys, &volume, PATIENCE, kept).await?;
        vdc.uid().context("no uid")
    })?;
    let script = format!(
        "for i in $(seq 200); do grep -q '\"generation\":1,' {0} || exit 0; sleep 0.1; done; echo the old key is still there; exit 1",
        keys_of(world, SITE, &uid)?
    );
    world.lab(&["exec", SITE, "--", "sh", "-ec", &script])?;
    let after = database.run(world, SITE, &format!("grep ' {MOUNT} ' /proc/self/mountinfo"))?;
    ensure!(before == after, "mounted anew: {before} was, {after} is");
    database.has_marker(world, SITE)?;
    // What is opened next opens by the new key alone.
    outlives(world)
}

fn keys_of(world: &World, site: &str, vdc: &str) -> anyhow::Result<String> {
    let disk = world.lab.site_dir(world.lab.site(site)?).disk();
    Ok(disk.join("keys").join(format!("{vdc}.json")).display().to_string())
}

/// The keys go with the VDC; a copy of the volume that somebody kept opens no more, neither here nor with all that can be
/// collected, and the hub has a certificate of it.
pub fn shredded(world: &World) -> anyhow::Result<()> {
    let (bureau, site) = ("shred", "guoyang");
    let database = world.runtime.block_on(async {
        let namespace = world.bureau(bureau).await?;
        world.vdc(&namespace, "cloud", &[site]).await?;
        world.hall(&namespace, HALL, "cloud", "Silver", true).await?;
        world.hall_ready(&namespace, HALL).await?;
        Database::find(world, bureau, HALL, site).await
    })?;
    database.write_marker(world, site)?;
    let volume = world.runtime.block_on(database.volume(world, site))?;
    let volumes = world.lab.site_dir(world.lab.site(site)?).volumes();
    let kept = volumes.join("kept");
    let copy = format!(
        "sync; btrfs -q subvolume snapshot -r {} {}",
        volumes.join("yunting/volumes").join(&volume).display(),
        kept.display()
    );
    world.lab(&["exec", site, "--", "sh", "-ec", &copy])?;
    let namespace = format!("bureau-{bureau}");
    let uid = world.runtime.block_on(async {
        let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.clone(), &namespace);
        vdcs.get("cloud").await?.uid().context("no uid")
    })?;
    let collected = Collected::read(world, site, &uid)?;
    world.runtime.block_on(async {
        let halls: Api<yunting_crds::Hall> = Api::namespaced(world.hub.clone(), &namespace);
        halls.delete(HALL, &DeleteParams::default()).await?;
        world.end_vdc(&namespace, "cloud").await?;
        // Closed by its node, and removed.
        gone(Api::<PersistentVolume>::all(world.site(site).await?), &volume, PATIENCE).await
    })?;
    // The certificate is there before the VDC is gone.
    collected.certified(world)?;
    collected.opens_no_more(world)?;
    // No key is left at the site, and the copy shows neither the content nor the name.
    let (keys, marker) = (keys_of(world, site, &uid)?, MARKER.concat());
    let tried = format!(
        "test ! -e {keys}; cp {0}/image {0}.img; mkdir -p {0}.at; mount -o loop {0}.img {0}.at; n=$(ls {0}.at/data | wc -l); \
         shown=$(ls {0}.at/data | grep -c '^{1}' || true); opened=$(cat {0}.at/data/* 2>/dev/null | wc -c); \
         umount {0}.at; rm -r {0}.at {0}.img; btrfs -q subvolume delete {0}; \
         echo names $n shown $shown opened $opened; test $n -gt 0 -a $shown -eq 0 -a $opened -eq 0",
        kept.display(),
        &marker[..8]
    );
    world.lab(&["exec", site, "--", "sh", "-ec", &tried]).context("the kept copy opens, or a key is left")
}
