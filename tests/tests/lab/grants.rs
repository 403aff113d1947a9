//! Two bureaus at one site: what one shares the other calls by name once both have agreed, and not before, not from another
//! component, not after either has withdrawn and not after its time. Each works as a person with the rights of its own bureau.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use yunting_crds::access_grant::{GrantPhase, GrantWay};
use yunting_crds::conditions::find;
use yunting_crds::{AccessGrant, Hall, HallSlice, SharedService, VirtualDataCenter, labels};
use yunting_tests::names::{Answer, address};
use yunting_tests::netns::{DROPPED, accepts, each, of_pods, run};
use yunting_tests::node::process::eventually;

use super::boundary;
use super::fixture::{PATIENCE, World, gone, namespace_of, ready, until};

const SITE: &str = "guoyang";
/// Who asks, and who shares.
const ASKS: &str = "asks";
const SHARES: &str = "shares";
const VDC: &str = "cloud";
const CALLER: &str = "desk";
const CALLED: &str = "registry";
const SERVICE: &str = "query";
const GRANT: &str = "lookup";
/// Each bureau's hall and its components.
const HALLS: [(&str, &str, [&str; 2]); 2] =
    [(ASKS, CALLER, ["caller", "other"]), (SHARES, CALLED, ["query", "inner"])];

pub fn agreed(world: &World) -> anyhow::Result<()> {
    let scene = Scene::made(world)?;
    let result = scene.played();
    world.runtime.block_on(scene.ended())?;
    result
}

struct Scene<'a> {
    world: &'a World,
    /// Administrators of the two bureaus, at the hub.
    asks: Client,
    shares: Client,
    /// Namespaces of their VDCs at the site.
    places: Vec<String>,
}

impl<'a> Scene<'a> {
    fn made(world: &'a World) -> anyhow::Result<Self> {
        let person = |bureau: &str| -> anyhow::Result<Client> {
            let token = world.token(&format!("{bureau}.admin"), &format!("{bureau}-admins"))?;
            world.runtime.block_on(world.as_person("hub", &token))
        };
        let places = world.runtime.block_on(async {
            let mut places = Vec::new();
            for (bureau, name, components) in HALLS {
                places.push(hall(world, bureau, name, &components).await?);
            }
            for (bureau, name, _) in HALLS {
                world.hall_ready(&format!("bureau-{bureau}"), name).await?;
            }
            anyhow::Ok(places)
        })?;
        Ok(Self { world, asks: person(ASKS)?, shares: person(SHARES)?, places })
    }

    fn grants(&self) -> Api<AccessGrant> {
        Api::namespaced(self.asks.clone(), &format!("bureau-{ASKS}"))
    }

    fn services(&self) -> Api<SharedService> {
        Api::namespaced(self.shares.clone(), &format!("bureau-{SHARES}"))
    }

    fn played(&self) -> anyhow::Result<()> {
        let on = |future| {
            self.world.runtime.block_on::<std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>>>>>(future)
        };
        let (caller, other) = (self.pod(0, "caller")?, self.pod(0, "other")?);
        let (query, inner) = (self.pod(1, "query")?, self.pod(1, "inner")?);
        // Nobody has agreed to anything.
        ensure!(!passes(&caller.0, query.1)?, "it passes before anybody asked");
        on(Box::pin(self.asked()))?;
        ensure!(!passes(&caller.0, query.1)?, "it passes because it was asked for");
        on(Box::pin(self.nobody_accepts_for_himself()))?;
        ensure!(!passes(&caller.0, query.1)?, "it passes though nobody accepted");
        // Both have.
        on(Box::pin(self.accepted()))?;
        let service = self.by_name(&caller.0)?.context("the name is not answered")?;
        ensure!(passes(&caller.0, service)?, "by its name");
        ensure!(passes(&caller.0, query.1)?, "by its address");
        let mut stream = open(&caller.0, service)?;
        ensure!(says(&mut stream), "the service says nothing");
        for (from, to, what) in [
            (&other.0, query.1, "another component calls it"),
            (&other.0, service, "another component calls it by its name"),
            (&caller.0, inner.1, "another component is called"),
            (&query.0, caller.1, "the producer calls back"),
        ] {
            ensure!(!passes(from, to)?, "{what}");
        }
        // What was granted counts as declared, and nothing else is open; and nothing of it is written again meanwhile.
        let before = self.world.runtime.block_on(self.written())?;
        boundary::agrees(self.world, self.world.lab.site(SITE)?)?;
        on(Box::pin(self.isolated()))?;
        let after = self.world.runtime.block_on(self.written())?;
        ensure!(before == after, "something was written again: {before:?} became {after:?}");
        // The producer takes it back: what stands ends, too, though neither hall can be carried out as it is written now.
        on(Box::pin(self.halls("ghost", "ReferenceInvalid")))?;
        on(Box::pin(self.taken_back()))?;
        ensure!(!says(&mut stream), "a connection goes on that was granted no more");
        ensure!(!passes(&caller.0, query.1)?, "it passes though the producer took it back");
        on(Box::pin(self.halls("", "AsAsked")))?;
        // Again, until an end that both know.
        on(Box::pin(self.accepted()))?;
        ensure!(passes(&caller.0, query.1)?, "when it was accepted again");
        let mut stream = open(&caller.0, query.1)?;
        ensure!(says(&mut stream), "the service says nothing");
        on(Box::pin(self.expired()))?;
        ensure!(!says(&mut stream), "a connection goes on after its time");
        ensure!(!passes(&caller.0, query.1)?, "it passes after its time");
        ensure!(self.by_name(&caller.0)?.is_none(), "the name is answered after its time");
        boundary::agrees(self.world, self.world.lab.site(SITE)?).map(drop)
    }

    /// The producer shares, the consumer asks; nothing follows from that.
    async fn asked(&self) -> anyhow::Result<()> {
        let service: SharedService = object(
            "SharedService",
            SHARES,
            SERVICE,
            &json!({
            "vdcRef": {"name": VDC}, "hall": CALLED, "component": "query", "ports": ["http"], "displayName": "查询",
            "allowedBureaus": {"mode": "Listed", "names": [ASKS]}}),
        )?;
        self.services().create(&PostParams::default(), &service).await?;
        let end = jiff::Timestamp::now() + Duration::from_hours(1);
        let grant: AccessGrant = object(
            "AccessGrant",
            ASKS,
            GRANT,
            &json!({
            "serviceRef": {"bureau": SHARES, "name": SERVICE},
            "from": {"vdc": VDC, "hall": CALLER, "component": "caller"}, "purpose": "核验",
            "expires": format!("{end:.0}")}),
        )?;
        self.grants().create(&PostParams::default(), &grant).await?;
        self.says(GrantPhase::Pending, "NotAccepted").await
    }

    /// Who asks has no right in the producer's namespace, none to the grant's status, and may not change what was asked.
    async fn nobody_accepts_for_himself(&self) -> anyhow::Result<()> {
        let params = PatchParams::default();
        let foreign: Api<SharedService> = Api::namespaced(self.asks.clone(), &format!("bureau-{SHARES}"));
        let uid = self.grants().get(GRANT).await?.uid().unwrap_or_default();
        let accept = json!({"spec": {"accepted": [{"bureau": ASKS, "grant": GRANT, "uid": uid}]}});
        let status = json!({"status": {"phase": "Accepted"}});
        let other = json!({"spec": {"from": {"vdc": VDC, "hall": CALLER, "component": "other"}}});
        let refusals = [
            (403, foreign.patch(SERVICE, &params, &Patch::Merge(&accept)).await.map(drop)),
            (403, foreign.get(SERVICE).await.map(drop)),
            (403, self.grants().patch_status(GRANT, &params, &Patch::Merge(&status)).await.map(drop)),
            (422, self.grants().patch(GRANT, &params, &Patch::Merge(&other)).await.map(drop)),
        ];
        for (number, (code, result)) in refusals.into_iter().enumerate() {
            let Err(kube::Error::Api(said)) = &result else {
                anyhow::bail!("{number} was answered {result:?}")
            };
            ensure!(said.code == code, "{number} was refused with {said:?}");
        }
        self.says(GrantPhase::Pending, "NotAccepted").await
    }

    /// The producer sees the request in its own object, and accepts it there.
    async fn accepted(&self) -> anyhow::Result<()> {
        let listed = |s: &SharedService| s.status.as_ref().is_some_and(|s| s.asked.len() == 1);
        let service = until(self.services(), SERVICE, PATIENCE, listed).await?;
        let asked = service.status.map(|s| s.asked).unwrap_or_default();
        let entry: Vec<Value> =
            asked.iter().map(|a| json!({"bureau": a.bureau, "grant": a.grant, "uid": a.uid})).collect();
        self.accept(&json!(entry)).await?;
        let stands = |g: &AccessGrant| {
            let status = g.status.clone().unwrap_or_default();
            let open = status.sites.iter().any(|s| s.site == SITE && s.way == GrantWay::Open);
            ready(&status.conditions) && status.phase == GrantPhase::Accepted && open
        };
        until(self.grants(), GRANT, PATIENCE, stands).await.map(drop)
    }

    async fn accept(&self, entries: &Value) -> anyhow::Result<()> {
        let patch = json!({"spec": {"accepted": entries}});
        self.services().patch(SERVICE, &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop)?;
        Ok(())
    }

    /// Both halls call something, or nothing, and it is said how that is.
    async fn halls(&self, calls: &str, reason: &str) -> anyhow::Result<()> {
        for (bureau, name, components) in HALLS {
            let namespace = format!("bureau-{bureau}");
            self.world.apply::<Hall>(Some(&namespace), name, spec(self.world, &components, calls)).await?;
            let said = |h: &Hall| {
                let Some(status) = &h.status else { return false };
                let ready = find(&status.conditions, "Ready");
                status.observed_generation == h.metadata.generation
                    && ready.is_some_and(|c| c.reason == reason)
            };
            until(Api::namespaced(self.world.hub.clone(), &namespace), name, PATIENCE, said).await?;
        }
        Ok(())
    }

    async fn taken_back(&self) -> anyhow::Result<()> {
        self.accept(&json!([])).await?;
        self.says(GrantPhase::Pending, "NotAccepted").await?;
        self.without_alias().await
    }

    /// The consumer brings its end near; nobody does anything then.
    async fn expired(&self) -> anyhow::Result<()> {
        let end = jiff::Timestamp::now() + Duration::from_secs(6);
        let patch = json!({"spec": {"expires": format!("{end:.0}")}});
        self.grants().patch(GRANT, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        self.says(GrantPhase::Expired, "Expired").await?;
        self.without_alias().await
    }

    /// Versions of what the grant is written into; of slices their generations, as sites write their statuses.
    async fn written(&self) -> anyhow::Result<Vec<String>> {
        let version = |m: &kube::api::ObjectMeta| m.resource_version.clone().unwrap_or_default();
        let mut all = vec![
            version(&self.grants().get(GRANT).await?.metadata),
            version(&self.services().get(SERVICE).await?.metadata),
        ];
        let slices: Api<HallSlice> = Api::namespaced(self.world.hub.clone(), &format!("site-{SITE}"));
        for slice in slices.list(&ListParams::default()).await? {
            if !slice.spec.grants.is_empty() {
                all.push(format!("{} {:?}", slice.name_any(), slice.metadata.generation));
            }
        }
        ensure!(all.len() == 4, "both halls' slices carry the grant: {all:?}");
        let services: Api<Service> = Api::namespaced(self.world.site(SITE).await?, &self.places[0]);
        let labelled = ListParams::default().labels(&format!("{}=caller", labels::COMPONENT));
        all.extend(services.list(&labelled).await?.iter().map(|s| version(&s.metadata)));
        Ok(all)
    }

    /// Both VDCs are seen to be closed.
    async fn isolated(&self) -> anyhow::Result<()> {
        for bureau in [ASKS, SHARES] {
            let vdcs: Api<VirtualDataCenter> =
                Api::namespaced(self.world.hub.clone(), &format!("bureau-{bureau}"));
            let verified = |v: &VirtualDataCenter| {
                let conditions = v.status.as_ref().map_or(&[][..], |s| &s.conditions);
                find(conditions, "NetworkIsolated").is_some_and(|c| c.reason == "Verified")
            };
            until(vdcs, VDC, PATIENCE, verified).await?;
        }
        Ok(())
    }

    async fn says(&self, phase: GrantPhase, reason: &str) -> anyhow::Result<()> {
        let said = |g: &AccessGrant| {
            let status = g.status.clone().unwrap_or_default();
            let ready = find(&status.conditions, "Ready");
            status.phase == phase && ready.is_some_and(|c| c.status == "False" && c.reason == reason)
        };
        until(self.grants(), GRANT, PATIENCE, said).await.map(drop)
    }

    /// Waits until the site has taken the name away, by which it has heard.
    async fn without_alias(&self) -> anyhow::Result<()> {
        let services: Api<Service> = Api::namespaced(self.world.site(SITE).await?, &self.places[0]);
        let all = services.list(&ListParams::default()).await?;
        match all.iter().find(|s| s.name_any().starts_with(&format!("{SERVICE}-"))) {
            Some(alias) => gone(services, &alias.name_any(), PATIENCE).await,
            None => Ok(()),
        }
    }

    /// Asks for the name as the caller does, and where its Service is; nothing where the name is not answered.
    fn by_name(&self, from: &Path) -> anyhow::Result<Option<SocketAddr>> {
        let server = SocketAddr::from((self.world.lab.site(SITE)?.dns_service(), 53));
        let status = self.world.runtime.block_on(self.grants().get(GRANT))?.status.unwrap_or_default();
        let Some(name) = status.address else { return Ok(None) };
        let full = format!("{name}.cluster.local");
        // What is answered of a name is kept for five seconds, a no, too.
        eventually(&format!("the name {full}"), || {
            let full = full.clone();
            let answer = run(from, move || address(server, &full));
            matches!(answer, Ok(Ok(Answer::Found))).then_some(())
        })?;
        let alias = name.split('.').next().unwrap_or_default().to_owned();
        let service = self.world.runtime.block_on(async {
            let services: Api<Service> = Api::namespaced(self.world.site(SITE).await?, &self.places[0]);
            anyhow::Ok(services.get(&alias).await?)
        })?;
        let address: IpAddr =
            service.spec.and_then(|s| s.cluster_ip).context("the alias has no address")?.parse()?;
        Ok(Some(SocketAddr::new(address, 8080)))
    }

    /// The network namespace of a component's pod, and where it listens.
    fn pod(&self, bureau: usize, component: &str) -> anyhow::Result<(PathBuf, SocketAddr)> {
        let pod = self.world.runtime.block_on(async {
            let pods: Api<Pod> = Api::namespaced(self.world.site(SITE).await?, &self.places[bureau]);
            let labelled = ListParams::default().labels(&format!("{}={component}", labels::COMPONENT));
            pods.list(&labelled).await?.items.into_iter().next().with_context(|| format!("no {component}"))
        })?;
        let address: Ipv4Addr =
            pod.status.as_ref().and_then(|s| s.pod_ip.as_deref()).context("it has no address")?.parse()?;
        let all = of_pods(&self.world.lab, self.world.lab.site(SITE)?)?;
        let netns = all.get(&address).cloned().with_context(|| format!("no namespace has {address}"))?;
        Ok((netns, SocketAddr::new(address.into(), 8080)))
    }

    async fn ended(&self) -> anyhow::Result<()> {
        let _ = self.grants().delete(GRANT, &DeleteParams::default()).await;
        let _ = self.services().delete(SERVICE, &DeleteParams::default()).await;
        for (bureau, hall, _) in HALLS {
            let namespace = format!("bureau-{bureau}");
            let halls: Api<Hall> = Api::namespaced(self.world.hub.clone(), &namespace);
            halls.delete(hall, &DeleteParams::default()).await?;
            gone(halls, hall, PATIENCE).await?;
            self.world.end_vdc(&namespace, VDC).await?;
        }
        Ok(())
    }
}

fn object<K: serde::de::DeserializeOwned>(
    kind: &str,
    bureau: &str,
    name: &str,
    spec: &Value,
) -> anyhow::Result<K> {
    let metadata = json!({"name": name, "namespace": format!("bureau-{bureau}")});
    let body = json!({"apiVersion": "yunting.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec});
    Ok(serde_json::from_value(body)?)
}

/// A bureau with a VDC at the site and a hall of these components; the namespace there.
async fn hall(world: &World, bureau: &str, name: &str, components: &[&str]) -> anyhow::Result<String> {
    let namespace = world.bureau(bureau).await?;
    world.small_vdc(&namespace, VDC, &[SITE]).await?;
    let vdc = world.vdc_ready(&namespace, VDC).await?;
    world.apply::<Hall>(Some(&namespace), name, spec(world, components, "")).await?;
    Ok(namespace_of(&vdc, "app"))
}

/// A hall of these components, the first of which calls something or nothing.
fn spec(world: &World, components: &[&str], calls: &str) -> Value {
    let image = world.images.get("hall").cloned().unwrap_or_default();
    let component = |(i, name): (usize, &&str)| {
        let calls = if i == 0 && !calls.is_empty() { json!([{"component": calls}]) } else { json!([]) };
        json!({"name": name, "zone": "Approval", "image": image, "resources": {"cpu": "20m", "memory": "48Mi"},
            "ports": [{"name": "http", "port": 8080}], "probes": {"ready": {"http": "/healthz"}}, "calls": calls,
            "env": [{"name": "HALL_MODE", "value": "approval"}, {"name": "HALL_NAME", "value": "测试厅"}]})
    };
    let components: Vec<Value> = components.iter().enumerate().map(component).collect();
    json!({"vdcRef": {"name": VDC}, "displayName": "测试厅", "components": components})
}

/// Whether somebody accepts a connection; what is to pass has several chances.
fn passes(from: &Path, to: SocketAddr) -> anyhow::Result<bool> {
    for _ in 0..5 {
        if each(from, vec![to], accepts)?.contains(&true) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A connection that stays.
fn open(from: &Path, to: SocketAddr) -> anyhow::Result<TcpStream> {
    Ok(run(from, move || TcpStream::connect_timeout(&to, DROPPED))??)
}

/// Whether an answer comes over it to a request that leaves it open.
fn says(stream: &mut TcpStream) -> bool {
    let ask = b"GET /livez HTTP/1.1\r\nHost: query\r\n\r\n";
    let mut answer = [0; 4096];
    stream.set_read_timeout(Some(DROPPED)).is_ok()
        && stream.write_all(ask).is_ok()
        && stream.read(&mut answer).is_ok_and(|n| n > 0)
}
