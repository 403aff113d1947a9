//! A hall's volume at another site, which nobody has to ask for: a database that is written all the time has its replica there
//! within the objective; a cut is told and made good; activated, the replica opens there with that site's own key and holds
//! what its point held.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use yunting_crds::conditions::{State, find, state_of};
use yunting_crds::{Hall, VirtualDataCenter, VolumeKey, VolumeReplica, VolumeReplication};
use yunting_lab::site::parts::{NODE_CONTROLLER, REPLICA_PORT};
use yunting_lab::spec::Lab;
use yunting_tests::netns::run;
use yunting_tests::tap::Tap;

use super::fixture::{PATIENCE, World, gone, namespace_of, until};
use super::provision::BUREAU;
use super::volumes::{Database, HALL, MOUNT, SITE, marker, occurrences};

const ABROAD: &str = "guoyang";
/// Recovery point objective of the test.
const RPO: u32 = 4;
/// Bytes of a point with a new database: that many came over the wire at least.
const POINT: u64 = 1 << 20;
/// Name of what the activated replica is used with.
const USED: &str = "from-abroad";

/// What the tables of the database say.
fn sql(statement: &str) -> String {
    format!(
        "psql --no-psqlrc -h /run/postgresql -U postgres -d hall -v ON_ERROR_STOP=1 -qAtc \"{statement}\""
    )
}

pub fn replicated(world: &World) -> anyhow::Result<()> {
    let database = world.runtime.block_on(Database::find(world, BUREAU, HALL, SITE))?;
    database.run(
        world,
        SITE,
        &sql("drop table if exists points; create table points (n int primary key)"),
    )?;
    database.run(world, SITE, &sql("insert into points select generate_series(1, 1000)"))?;
    let wire = Tap::start(&Lab::netns_file(&world.lab.site_netns(world.lab.site(ABROAD)?)), marker())?;
    database.write_marker(world, SITE)?;
    let replica = world.runtime.block_on(Replica::find(world, &database))?;
    world.runtime.block_on(async {
        replica.both_ready().await.context("the first point")?;
        replica.hall_says("True", "AsAsked").await
    })?;
    // Written all the time from here on.
    let insert = sql("insert into points select max(n) + 1 from points");
    let always = format!("rm -f /tmp/enough; until test -e /tmp/enough; do {insert}; done");
    let at_least = std::thread::scope(|scope| {
        let writer = scope.spawn(|| database.run(world, SITE, &always));
        let written = goes_on(world, &database, &replica);
        database.run(world, SITE, "touch /tmp/enough")?;
        writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        written
    })?;
    in_the_dark(world, wire)?;
    let at_most: u64 = database.run(world, SITE, &sql("select max(n) from points"))?.parse()?;
    world.lab(&["exec", ABROAD, "--", "sync"])?;
    let found = occurrences(&world.lab.site_dir(world.lab.site(ABROAD)?).disk_image())?;
    ensure!(found == 0, "what a pod wrote is {found} times in the clear on the disk of {ABROAD}");
    let read = replica.opened(world, &database)?;
    println!("at least {at_least} rows, at most {at_most}, read {read}");
    ensure!(at_least <= read && read <= at_most, "{read} rows, not {at_least} to {at_most}");
    world.runtime.block_on(replica.away())
}

/// Nothing that a pod wrote was in the clear on the wire between the sites; the same text is found there when it is sent so.
fn in_the_dark(world: &World, wire: Tap) -> anyhow::Result<()> {
    let heard = wire.heard()?;
    println!("{} bytes came by at {ABROAD}", heard.bytes);
    ensure!(heard.bytes > POINT, "only {} bytes came by: not even a point", heard.bytes);
    ensure!(heard.found == 0, "what a pod wrote came by {} times in the clear", heard.found);
    let abroad = world.lab.site(ABROAD)?;
    let wire = Tap::start(&Lab::netns_file(&world.lab.site_netns(abroad)), marker())?;
    let to = SocketAddr::from((abroad.address(), REPLICA_PORT));
    let clear = move || -> std::io::Result<()> {
        let mut plain = TcpStream::connect(to)?;
        plain.write_all(marker().as_bytes())?;
        // It is no hello of TLS: the other end says so, or hangs up.
        plain.read(&mut [0]).map(drop).or(Ok(()))
    };
    run(&Lab::netns_file(&world.lab.site_netns(world.lab.site(SITE)?)), clear)??;
    ensure!(wire.heard()?.found > 0, "a text in the clear was not heard: the tap proves nothing");
    Ok(())
}

/// Rows that are at the other site at least when it is activated.
fn goes_on(world: &World, database: &Database, replica: &Replica) -> anyhow::Result<u64> {
    let rows = || -> anyhow::Result<u64> {
        Ok(database.run(world, SITE, &sql("select max(n) from points"))?.parse()?)
    };
    // A cut is told, and what was written meanwhile comes after it.
    world.lab(&["cut", ABROAD])?;
    let told = world.runtime.block_on(replica.behind());
    let unknown = world.runtime.block_on(replica.hall_says("Unknown", "SiteSilent"));
    world.lab(&["heal", ABROAD])?;
    told.context("a cut is told")?;
    unknown.context("of a site that is silent nothing is known")?;
    let now = || -> anyhow::Result<Timestamp> {
        Ok(Timestamp::from_second(database.run(world, SITE, "date +%s")?.parse()?)?)
    };
    let since = now()?;
    world.runtime.block_on(async {
        replica.both_ready().await.context("after a cut")?;
        replica.confirmed_since(since).await.context("a point after the cut")
    })?;
    let counted = "exec 3<>/dev/tcp/127.0.0.1/9093; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; \
                   grep -q '^yunting_replication_oldest_point_timestamp_seconds [1-9]' <&3";
    world.lab(&["exec", SITE, "--", "bash", "-ec", counted]).context("how far it is, is not counted")?;
    // An end that answers nothing: it is told when the point is too old, not when somebody gives up waiting.
    world.lab(&["pause", ABROAD, NODE_CONTROLLER])?;
    let old = world.runtime.block_on(replica.said("ReplicationBehind"));
    world.lab(&["resume", ABROAD, NODE_CONTROLLER])?;
    old.context("a point that grows old is told")?;
    // Both ends anew; whatever they were at goes on.
    for site in [ABROAD, SITE] {
        world.lab(&["kill", site, NODE_CONTROLLER])?;
    }
    let since = now()?;
    world.runtime.block_on(replica.confirmed_since(since)).context("a point after both ends were killed")?;
    // The final point is one of a closed volume: not as long as its pod runs.
    world.runtime.block_on(replica.mode("Final", "it is closed: stop its pods"))?;
    world.runtime.block_on(replica.mode("Continuous", "new enough"))?;
    let (before, since) = (rows()?, now()?);
    world.runtime.block_on(async {
        replica.confirmed_since(since).await.context("a point after the rows")?;
        replica.activate().await
    })?;
    Ok(before)
}

pub(super) struct Replica {
    pub(super) name: String,
    namespace: String,
    home: Client,
    abroad: Client,
    pub(super) halls: Api<Hall>,
}

impl Replica {
    /// The one that the hall has by itself, with the objective of this test.
    pub(super) async fn find(world: &World, database: &Database) -> anyhow::Result<Self> {
        let bureau = format!("bureau-{BUREAU}");
        let vdc = Api::<VirtualDataCenter>::namespaced(world.hub.clone(), &bureau).get("cloud").await?;
        let own = Self {
            name: database.volume(world, SITE).await?,
            namespace: namespace_of(&vdc, "sandbox"),
            home: world.site(SITE).await?,
            abroad: world.site(ABROAD).await?,
            halls: Api::namespaced(world.hub.clone(), &bureau),
        };
        let objective = json!({"spec": {"rpoSeconds": RPO}});
        own.halls.patch(HALL, &PatchParams::default(), &Patch::Merge(&objective)).await?;
        let asked = |r: &VolumeReplication| r.spec.rpo_seconds == RPO;
        let sent =
            until(own.sent(), &own.sending(), PATIENCE, asked).await.context("nothing sends its points")?;
        let there = own.kept().get(&own.name).await?;
        ensure!(
            sent.spec.to.node == there.spec.node && there.spec.from.node == sent.spec.node,
            "{:?}",
            sent.spec
        );
        Ok(own)
    }

    /// Name of what sends its points.
    fn sending(&self) -> String {
        format!("{}.{ABROAD}", self.name)
    }

    /// What the hub says of the hall's volumes.
    pub(super) async fn hall_says(&self, status: &str, reason: &str) -> anyhow::Result<()> {
        let said = |h: &Hall| {
            let conditions = h.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            find(conditions, "Replicated").is_some_and(|c| c.status == status && c.reason == reason)
        };
        until(self.halls.clone(), HALL, PATIENCE, said)
            .await
            .context(format!("Replicated={status}"))
            .map(drop)
    }

    fn sent(&self) -> Api<VolumeReplication> {
        Api::all(self.home.clone())
    }

    pub(super) fn kept(&self) -> Api<VolumeReplica> {
        Api::all(self.abroad.clone())
    }

    pub(super) async fn both_ready(&self) -> anyhow::Result<()> {
        let is = |conditions: &[_], type_: &str| state_of(conditions, type_) == State::True;
        until(self.kept(), &self.name, PATIENCE, |r: &VolumeReplica| {
            r.status.as_ref().is_some_and(|s| is(&s.conditions, "Ready") && is(&s.conditions, "KeyReady"))
        })
        .await?;
        until(self.sent(), &self.sending(), PATIENCE, |r: &VolumeReplication| {
            r.status.as_ref().is_some_and(|s| is(&s.conditions, "Ready"))
        })
        .await?;
        Ok(())
    }

    async fn behind(&self) -> anyhow::Result<()> {
        let told = until(self.sent(), &self.sending(), PATIENCE, |r: &VolumeReplication| {
            r.status.as_ref().is_some_and(|s| state_of(&s.conditions, "Ready") == State::False)
        })
        .await?;
        println!("cut: {}", told.status.map(|s| s.conditions[0].message.clone()).unwrap_or_default());
        Ok(())
    }

    /// Asks for another mode, and waits for what is said of it.
    async fn mode(&self, mode: &str, words: &str) -> anyhow::Result<()> {
        let asked = json!({"spec": {"mode": mode}});
        self.sent().patch(&self.sending(), &PatchParams::default(), &Patch::Merge(&asked)).await?;
        let said = |r: &VolumeReplication| {
            let conditions = r.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            conditions.iter().any(|c| c.message.contains(words))
        };
        until(self.sent(), &self.sending(), PATIENCE, said).await.context(words.to_owned()).map(drop)
    }

    /// Waits for a reason of `Ready`.
    async fn said(&self, reason: &str) -> anyhow::Result<()> {
        let said = |r: &VolumeReplication| {
            let conditions = r.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            conditions.iter().any(|c| c.type_ == "Ready" && c.reason == reason)
        };
        until(self.sent(), &self.sending(), PATIENCE, said).await.map(drop)
    }

    async fn confirmed_since(&self, moment: Timestamp) -> anyhow::Result<()> {
        until(self.sent(), &self.sending(), PATIENCE, |r: &VolumeReplication| {
            let point = r.status.as_ref().and_then(|s| s.confirmed.as_ref());
            point.is_some_and(|point| point.begun_at.0 > moment)
        })
        .await
        .map(drop)
    }

    /// Under a new token, as who fails over does; the old one sends in vain.
    async fn activate(&self) -> anyhow::Result<()> {
        let (at_home, here): (Api<VolumeKey>, Api<VolumeKey>) =
            (Api::all(self.home.clone()), Api::all(self.abroad.clone()));
        let (one, other) = (at_home.get(&self.name).await?, here.get(&self.name).await?);
        let kek = |key: &VolumeKey| key.spec.wrapped.as_ref().map(|w| w.kek.clone());
        ensure!(kek(&other).is_some() && kek(&one) != kek(&other), "{one:?} {other:?}");
        ensure!(other.spec.sealed.is_none(), "what was sealed stays: {:?}", other.spec);
        let active = json!({"spec": {"state": "Active", "token": {"generation": 0, "epoch": 1}}});
        self.kept().patch(&self.name, &PatchParams::default(), &Patch::Merge(&active)).await?;
        let activated = |r: &VolumeReplica| r.status.as_ref().is_some_and(|s| s.activated.is_some());
        until(self.kept(), &self.name, PATIENCE, activated).await?;
        let sending = self.sending();
        let over = until(self.sent(), &sending, PATIENCE, |r: &VolumeReplication| {
            let status = r.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            status.iter().any(|c| c.type_ == "Ready" && c.message.contains("is active"))
        });
        let over = over.await.context("the old site is told")?;
        let status = over.status.unwrap_or_default();
        let divergent = status.divergent.context("what diverged is not told")?;
        println!(
            "{} bytes since point {} are nowhere else",
            divergent.bytes,
            status.confirmed.map_or(0, |p| p.sequence)
        );
        ensure!(divergent.bytes > 0, "{divergent:?}");
        self.hall_says("False", "Divergent").await
    }

    /// Uses it at the other site as a bureau does; how many rows its database has.
    fn opened(&self, world: &World, database: &Database) -> anyhow::Result<u64> {
        let image =
            database.pod.spec.as_ref().and_then(|s| s.containers[0].image.clone()).context("no image")?;
        world.runtime.block_on(async {
            let params = PatchParams::apply("suite");
            let volumes: Api<PersistentVolume> = Api::all(self.abroad.clone());
            volumes.patch(USED, &params, &Patch::Apply(&self.volume(world)?)).await?;
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.abroad.clone(), &self.namespace);
            claims.patch(USED, &params, &Patch::Apply(&claim())).await?;
            let pods: Api<Pod> = Api::namespaced(self.abroad.clone(), &self.namespace);
            pods.patch(USED, &params, &Patch::Apply(&pod(&image))).await?;
            let ready = |p: &Pod| {
                let conditions = p.status.iter().flat_map(|s| s.conditions.iter().flatten());
                conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
            };
            until(pods, USED, PATIENCE, ready).await
        })?;
        let there = Database::of(&self.namespace, USED);
        there.has_marker(world, ABROAD)?;
        let missing = there.run(world, ABROAD, &sql("select count(*) <> max(n) from points"))?;
        ensure!(missing == "f", "rows are missing in the middle");
        Ok(there.run(world, ABROAD, &sql("select max(n) from points"))?.parse()?)
    }

    fn volume(&self, world: &World) -> anyhow::Result<Value> {
        let node = world.lab.site(ABROAD)?.node();
        let term = json!({"key": "volumes.yunting.io/node", "operator": "In", "values": [node]});
        Ok(json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": USED, "annotations": {"pv.kubernetes.io/provisioned-by": "volumes.yunting.io"}},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "yunting-encrypted",
                "persistentVolumeReclaimPolicy": "Delete",
                "claimRef": {"namespace": self.namespace, "name": USED},
                "csi": {"driver": "volumes.yunting.io", "volumeHandle": self.name},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}},
            },
        }))
    }

    /// Everything of it goes, the volume with its claim.
    async fn away(&self) -> anyhow::Result<()> {
        let now = DeleteParams::default();
        let pods: Api<Pod> = Api::namespaced(self.abroad.clone(), &self.namespace);
        pods.delete(USED, &now).await?;
        gone(pods, USED, PATIENCE).await?;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.abroad.clone(), &self.namespace);
        claims.delete(USED, &now).await?;
        gone(Api::<PersistentVolume>::all(self.abroad.clone()), USED, PATIENCE).await?;
        // A hall does without no replica: one that was used and is not any more is made anew, from the beginning.
        let before = self.kept().get(&self.name).await?.uid();
        self.kept().delete(&self.name, &now).await?;
        until(self.kept(), &self.name, PATIENCE, |r: &VolumeReplica| r.uid() != before).await?;
        self.both_ready().await.context("the replica made anew")?;
        self.hall_says("True", "AsAsked").await
    }
}

fn claim() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": USED},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "yunting-encrypted",
            // What is left of the quota here; a claim may be bound to a volume that has more.
            "resources": {"requests": {"storage": "512Mi"}},
        },
    })
}

fn pod(image: &str) -> Value {
    let volumes = json!([
        {"name": "data", "persistentVolumeClaim": {"claimName": USED}},
        {"name": "run", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}},
    ]);
    let mounts = json!([
        {"name": "data", "mountPath": MOUNT}, {"name": "run", "mountPath": "/run/postgresql"}, {"name": "tmp", "mountPath": "/tmp"},
    ]);
    let security = json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
    });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": USED},
        "spec": {
            "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 5,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 70, "runAsGroup": 70, "fsGroup": 70,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "db", "image": image, "volumeMounts": mounts, "securityContext": security,
                "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"cpu": "200m", "memory": "160Mi"}},
                "readinessProbe": {"tcpSocket": {"port": 5432}, "periodSeconds": 1},
            }],
            "volumes": volumes,
        },
    })
}
