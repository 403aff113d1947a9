//! What is seen late: the last object of a VDC after its slice, the answer to a deletion after its event, and nothing
//! at all on one watch.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::ensure;
use kube::Api;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use yunting_crds::SliceRecord;
use yunting_crds::names::{SliceKind, slice};
use yunting_faults::call::Kind;
use yunting_faults::plan::{Fault, Match, Rule};
use yunting_faults::watch::WatchFault;
use yunting_tests::apiserver::wait;

use super::away::ready;
use super::controllers::Site;
use super::dump::Names;
use super::life::Life;
use super::world::{PATIENCE, World};

/// Kind whose watch at the site is kept back.
const KEPT_BACK: &str = "networkpolicies";
/// Time without a sign of life after which a process says that it is not ready, and one look more.
const NAMED_WITHIN: Duration = Duration::from_secs(65);

/// Every watch begins anew, and those of one kind show nothing from then on.
async fn keep_back(site: &Site) -> anyhow::Result<()> {
    let on = Match::kind(Kind::Watch).path(KEPT_BACK);
    site.own_end.rules(vec![Rule::new(on, Fault::Watch(WatchFault::Hold))]);
    site.own_end.expire();
    let held = async || {
        let entries = site.own_end.record().entries();
        entries
            .iter()
            .any(|e| e.fault == Some(Fault::Watch(WatchFault::Hold)) && e.code == Some(200))
            .then_some(())
    };
    wait("the watch that shows nothing", PATIENCE, held).await
}

/// What was kept back comes; no other watch begins anew, so that nothing else wakes anybody.
fn let_go(site: &Site) {
    site.own_end.rules(Vec::new());
    site.own_end.release();
}

pub fn arrives(world: &mut World) -> anyhow::Result<()> {
    let course = world.course()?;
    let world = &*world;
    world.runtime.clone().block_on(async {
        let both = world.controllers().await?;
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "cloud" };
        life.create_vdc().await?;
        let uid = ready(world, "cloud").await?;
        life.release().await?;
        keep_back(&both.site).await?;
        // The slice is deleted, which the hub's sums see; the VDC's own reconcile hears of it ten seconds later.
        let deletion =
            Match { method: Some("DELETE".to_owned()), ..Match::kind(Kind::Write).path("/vdcslices/") };
        both.hub.end.rules(vec![Rule::new(deletion, Fault::StallBody).times(1)]);
        life.delete_vdc().await?;
        let records: Api<SliceRecord> = Api::all(world.site.client().clone());
        let record = records.get_opt(&slice(SliceKind::Vdc, &uid)).await?;
        ensure!(record.is_some(), "the record went although objects of the VDC were still seen");
        let_go(&both.site);
        life.stands(&course["rest"]).await
    })
}

pub fn blocked(world: &mut World) -> anyhow::Result<()> {
    let world = &*world;
    world.runtime.clone().block_on(async {
        let both = world.controllers().await?;
        let life = Life { world, controllers: &both, names: Names::default(), vdc: "blocked" };
        let ops = both.site.ops;
        wait("readiness", PATIENCE, async || readyz(ops).await.filter(|said| said.ends_with("ok"))).await?;
        keep_back(&both.site).await?;
        let since = Instant::now();
        // Other kinds go on: what needs no news of this one comes into being.
        life.create_vdc().await?;
        ready(world, "blocked").await?;
        ensure!(since.elapsed() < NAMED_WITHIN, "a VDC took {:?} beside a blocked watch", since.elapsed());
        let named =
            async || readyz(ops).await.filter(|said| said.contains(" 503 ") && said.contains(KEPT_BACK));
        let said = wait("word of the blocked watch", PATIENCE, named).await?;
        println!("after {:?}: {}", since.elapsed(), said.lines().last().unwrap_or_default());
        ensure!(since.elapsed() < NAMED_WITHIN, "it took {:?}", since.elapsed());
        life.resize("3").await?;
        ready(world, "blocked").await?;
        let_go(&both.site);
        wait("readiness again", PATIENCE, async || readyz(ops).await.filter(|said| said.ends_with("ok")))
            .await?;
        life.end().await
    })
}

/// What the process says of its readiness; nothing when it does not answer.
async fn readyz(ops: SocketAddr) -> Option<String> {
    let mut stream = tokio::net::TcpStream::connect(ops).await.ok()?;
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await.ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await.ok()?;
    Some(said.trim_end().to_owned())
}
