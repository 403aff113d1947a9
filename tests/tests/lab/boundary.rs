//! The node boundary with real pods: who may reach whom is what was declared, before and after everything that happens to
//! a node's controller and to pods, and without it a pod has no network.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt};
use yunting_controller::node::facts::Seen;
use yunting_controller::node::links::routes;
use yunting_controller::node::tunnel;
use yunting_crds::conditions::find;
use yunting_crds::{SliceRecord, VirtualDataCenter, labels};
use yunting_lab::site::parts::{self, NODE_CONTROLLER};
use yunting_lab::spec::{Lab, Site};
use yunting_plan::boundary::matrix::{Matrix, Party};
use yunting_plan::boundary::{Facts, Link};
use yunting_tests::netns::{of_pods, passes, run, ways};

use super::fixture::{PATIENCE, World, gone, namespace_of, seen, until};
use super::provision::BUREAU;

const SITE: &str = "qiaocheng";
const HALL: &str = "gold";
/// What the sample's components listen at, DNS, the kubelet, API servers, and one that nobody declared.
const PORTS: [u16; 8] = [53, 1053, 5432, 6443, 7443, 8080, 9999, 10250];

pub fn matrix(world: &World) -> anyhow::Result<()> {
    let site = world.lab.site(SITE)?;
    let open = agrees(world, site).context("at first")?;
    ensure!(open >= 10, "only {open} ways are open: what was declared does not work");
    // Its end is not the boundary's end, and its start changes nothing.
    world.lab(&["kill", SITE, NODE_CONTROLLER])?;
    agrees(world, site).context("after the node's controller was killed")?;
    world.lab(&["stop", SITE, NODE_CONTROLLER])?;
    agrees(world, site).context("without the node's controller")?;
    // The same questions without the boundary: the test can fail.
    table(world, site, &["delete", "table", "inet", "yunting"])?;
    let wrong = differing(world, site)?.0;
    ensure!(wrong.len() > 20, "without a boundary only {} ways differ from what was declared", wrong.len());
    println!("without the boundary {} ways are open that must not be", wrong.len());
    world.lab(&["start", SITE, NODE_CONTROLLER])?;
    stands(world, site)?;
    agrees(world, site).context("after it came back")?;
    // Somebody flushes everything: it is put back.
    table(world, site, &["delete", "table", "inet", "yunting"])?;
    stands(world, site)?;
    agrees(world, site).context("after the table was deleted")?;
    world.runtime.block_on(renew(world))?;
    agrees(world, site).context("with new pods")?;
    Ok(())
}

/// Somebody opens a way that nobody declared, past the controller: it is found, told with who reached whom, closed, and
/// that is told, too. A node that says nothing proves nothing.
pub fn broken(world: &World) -> anyhow::Result<()> {
    let site = world.lab.site(SITE)?;
    let (portal, db) = world.runtime.block_on(async {
        let (client, namespace) = place(world).await?;
        let pods = Api::<Pod>::namespaced(client, &namespace).list(&ListParams::default()).await?;
        let one = |component: &str| {
            let found = pods.iter().find(|p| of_component(p, component) && running(p));
            found
                .and_then(|p| p.status.as_ref()?.pod_ip.clone())
                .with_context(|| format!("no {component} runs"))
        };
        anyhow::Ok((one("portal")?, one("db")?))
    })?;
    let of_class =
        table(world, site, &["get", "element", "inet", "yunting", "class", &format!("{{ {portal} }}")])?;
    let class =
        of_class.split_once(&format!("{portal} : ")).and_then(|(_, rest)| rest.split_whitespace().next());
    let way = format!("{{ {} . {db} . 5432 }}", class.context("the portal has no class")?);
    table(world, site, &["add", "element", "inet", "yunting", "calls", &way])?;
    let since = std::time::Instant::now();
    world.runtime.block_on(async {
        let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.clone(), &format!("bureau-{BUREAU}"));
        let vdc = until(vdcs.clone(), "cloud", PATIENCE, |v| isolation(v).0 == "Broken").await?;
        println!("told after {:?}", since.elapsed());
        let (_, message) = isolation(&vdc);
        ensure!(message.contains(&format!("at {db}:5432")) && message.contains("gold-portal"), "{message}");
        let events: Api<Event> = Api::namespaced(world.hub.clone(), &format!("bureau-{BUREAU}"));
        seen(events, PATIENCE, |e: &Event| e.reason.as_deref() == Some("IsolationBroken")).await?;
        anyhow::Ok(())
    })?;
    world.runtime.block_on(async {
        let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.clone(), &format!("bureau-{BUREAU}"));
        until(vdcs, "cloud", PATIENCE, |v| isolation(v).0 == "Verified").await?;
        gate(world, |s| s == ("True", true)).await.context("each node's gate is tested")?;
        world.lab(&["stop", SITE, NODE_CONTROLLER])?;
        let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.clone(), &format!("bureau-{BUREAU}"));
        let silent = until(vdcs, "cloud", PATIENCE, |v| isolation(v).0 == "Configured").await;
        let unknown = gate(world, |s| s == ("Unknown", false)).await;
        world.lab(&["start", SITE, NODE_CONTROLLER])?;
        unknown.context("of a node that is silent nobody knows how its gate stands")?;
        ensure!(isolation(&silent?).1.contains(&site.node()), "the silent node is not named");
        let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.clone(), &format!("bureau-{BUREAU}"));
        until(vdcs, "cloud", PATIENCE, |v| isolation(v).0 == "Verified").await.map(drop)
    })
}

/// Waits until the hub says of the site's gates: the condition's status, and whether there is a time of tests.
async fn gate(world: &World, wanted: impl Fn((&str, bool)) -> bool) -> anyhow::Result<()> {
    let said = |s: &yunting_crds::Site| {
        let Some(status) = &s.status else { return false };
        let armed = find(&status.conditions, "GateArmed");
        armed.is_some_and(|c| wanted((&c.status, status.gate_tested_at.is_some())))
    };
    until(Api::all(world.hub.clone()), SITE, PATIENCE, said).await.map(drop)
}

/// Reason and message.
fn isolation(vdc: &VirtualDataCenter) -> (String, String) {
    let conditions = vdc.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    let found = find(conditions, "NetworkIsolated");
    found.map(|c| (c.reason.clone(), c.message.clone())).unwrap_or_default()
}

/// A pod that starts meanwhile waits, says why, and starts when the controller is back.
pub fn without(world: &World) -> anyhow::Result<()> {
    world.lab(&["stop", SITE, NODE_CONTROLLER])?;
    let waits = world.runtime.block_on(async {
        let (client, namespace) = place(world).await?;
        let pod = approval(&client, &namespace).await?.name_any();
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        pods.delete(&pod, &DeleteParams::default()).await?;
        let told = |e: &Event| {
            e.message.as_deref().is_some_and(|m| m.contains("the node's controller does not answer"))
        };
        let events: Api<Event> = Api::namespaced(world.site(SITE).await?, &namespace);
        seen(events, PATIENCE, told).await.context("no event says why the pod waits")
    });
    world.lab(&["start", SITE, NODE_CONTROLLER])?;
    waits?;
    world.runtime.block_on(async {
        let (client, namespace) = place(world).await?;
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        seen(pods, PATIENCE, |p: &Pod| of_component(p, "approval") && running(p)).await?;
        world.hall_ready(&format!("bureau-{BUREAU}"), HALL).await
    })?;
    agrees(world, world.lab.site(SITE)?).map(drop)
}

async fn place(world: &World) -> anyhow::Result<(Client, String)> {
    let vdcs: Api<VirtualDataCenter> = Api::namespaced(world.hub.clone(), &format!("bureau-{BUREAU}"));
    let namespace = namespace_of(&vdcs.get("cloud").await?, "app");
    Ok((world.as_site_controller(SITE).await?, namespace))
}

fn of_component(pod: &Pod, component: &str) -> bool {
    let label = |key: &str| pod.labels().get(key).map(String::as_str);
    label(labels::HALL) == Some(HALL) && label(labels::COMPONENT) == Some(component)
}

fn running(pod: &Pod) -> bool {
    let ready = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && ready.clone().any(|c| c.type_ == "Ready" && c.status == "True")
}

async fn approval(client: &Client, namespace: &str) -> anyhow::Result<Pod> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace).list(&ListParams::default()).await?;
    pods.into_iter().find(|p| of_component(p, "approval") && running(p)).context("no approval pod runs")
}

/// A pod is replaced, perhaps with its predecessor's address.
async fn renew(world: &World) -> anyhow::Result<()> {
    let (client, namespace) = place(world).await?;
    let old = approval(&client, &namespace).await?;
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    pods.delete(&old.name_any(), &DeleteParams::default()).await?;
    gone(pods.clone(), &old.name_any(), PATIENCE).await?;
    seen(pods, PATIENCE, |p: &Pod| of_component(p, "approval") && running(p)).await?;
    Ok(())
}

fn table(world: &World, site: &Site, words: &[&str]) -> anyhow::Result<String> {
    let net = format!("--net={}", netns(world, site).display());
    Ok(yunting_lab::cmd::run("ask the site's nftables", "nsenter", [&[net.as_str(), "nft"], words].concat())?)
}

fn netns(world: &World, site: &Site) -> PathBuf {
    Lab::netns_file(&world.lab.site_netns(site))
}

/// Waits until the table is there.
fn stands(world: &World, site: &Site) -> anyhow::Result<()> {
    let since = std::time::Instant::now();
    while table(world, site, &["list", "table", "inet", "yunting"]).is_err() {
        ensure!(since.elapsed() < PATIENCE, "the table did not come back");
        std::thread::sleep(std::time::Duration::from_millis(50)); // between two looks
    }
    Ok(())
}

/// How many ways are open; an error where that is not what was declared.
pub(super) fn agrees(world: &World, site: &Site) -> anyhow::Result<usize> {
    let (wrong, open) = differing(world, site)?;
    println!("{open} ways are open");
    ensure!(wrong.is_empty(), "{} differ from what was declared:\n{}", wrong.len(), wrong.join("\n"));
    Ok(open)
}

struct End<'a> {
    netns: PathBuf,
    party: Party<'a>,
    name: String,
}

/// Every pod of the site, its node and another site's node to each of these and some addresses more.
fn differing(world: &World, site: &Site) -> anyhow::Result<(Vec<String>, usize)> {
    let facts = world.runtime.block_on(facts(world, site))?;
    let (matrix, ends) = (Matrix::new(&facts), ends(world, site, &facts)?);
    let others = world.lab.sites.iter().filter(|s| s.name != site.name);
    let beyond = others.flat_map(|s| [s.address(), s.api_service(), s.dns_service()]);
    let beyond =
        beyond.chain([site.api_service(), Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(203, 0, 113, 7)]);
    let targets: Vec<(Party<'_>, Ipv4Addr)> = facts
        .pods
        .iter()
        .map(|p| (Party::Pod(p), p.address))
        .chain([(Party::Node, site.address())])
        .chain(beyond.map(|a| (Party::Other(a), a)))
        .collect();
    let (mut wrong, mut open) = (Vec::new(), 0);
    for from in &ends {
        let pairs: Vec<_> = targets.iter().flat_map(|(to, a)| PORTS.map(|port| (to, *a, port))).collect();
        let pairs: Vec<_> = pairs.into_iter().filter(|(to, ..)| decided(from.party, **to)).collect();
        let wanted = pairs.iter().map(|(to, a, port)| {
            // The other site's node lets nothing of its own out to pods of this one, whatever this one would take.
            let kept = matches!((from.party, **to), (Party::Other(_), Party::Pod(_)));
            (SocketAddr::new(IpAddr::V4(*a), *port), !kept && matrix.may(from.party, **to, *port))
        });
        let wanted: Vec<_> = wanted.collect();
        let seen = ways(&from.netns, &wanted, passes)?;
        for ((to, address, port), (reached, (_, may))) in pairs.iter().zip(seen.into_iter().zip(wanted)) {
            open += usize::from(reached);
            if reached != may {
                wrong.push(format!("{} to {address}:{port} ({to:?}): {reached}", from.name));
            }
        }
    }
    Ok((wrong, open))
}

/// What this node decides, and what leads anywhere when it lets it through: from a pod to another site nothing answers
/// where the other site's node does not, too, so only what must not pass is asked.
fn decided(from: Party<'_>, to: Party<'_>) -> bool {
    match (from, to) {
        (Party::Pod(a), Party::Pod(b)) => a.address != b.address,
        (Party::Pod(a), Party::Other(_)) => a.namespace != "kube-system",
        (Party::Pod(_) | Party::Other(_), Party::Node) | (Party::Node | Party::Other(_), Party::Pod(_)) => {
            true
        }
        _ => false,
    }
}

async fn facts(world: &World, site: &Site) -> anyhow::Result<Facts> {
    let client = world.site(&site.name).await?;
    let (records, pods, nodes) =
        (all::<SliceRecord>(&client).await?, all::<Pod>(&client).await?, all::<Node>(&client).await?);
    // What is going away has packets of its own until it is gone; which ones it may still send is a matter of time.
    let pods: Vec<_> = pods.into_iter().filter(|p| p.metadata.deletion_timestamp.is_none()).collect();
    let links = run(&netns(world, site), routes)?;
    let outer = parts::OUTER_LINKS.map(Link::new).into_iter().collect::<Result<BTreeSet<_>, _>>()?;
    let inside = parts::inside().iter().map(|n| n.parse()).collect::<Result<_, _>>()?;
    let abroad = parts::abroad(site).iter().map(|n| n.parse()).collect::<Result<_, _>>()?;
    let node = site.node();
    let site = Seen {
        now: jiff::Timestamp::now(),
        node: &node,
        records: &records,
        pods: &pods,
        nodes: &nodes,
        outer: &outer,
        inside: &inside,
        abroad: &abroad,
        tunnel: tunnel::link(),
        platform: &parts::platform().map(str::to_owned).into(),
        attached: &|_, _| None,
        routes: &links,
    };
    Ok(site.facts())
}

async fn all<K>(client: &Client) -> anyhow::Result<Vec<Arc<K>>>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let found = Api::<K>::all(client.clone()).list(&ListParams::default()).await?;
    Ok(found.into_iter().map(Arc::new).collect())
}

/// The namespaces of pods by their address, and those of the node and of another site's.
fn ends<'a>(world: &World, site: &Site, facts: &'a Facts) -> anyhow::Result<Vec<End<'a>>> {
    let by_address = of_pods(&world.lab, site)?;
    let pods = facts.pods.iter().map(|pod| {
        let netns = by_address.get(&pod.address).cloned();
        let netns =
            netns.with_context(|| format!("no network namespace has {} of {}", pod.address, pod.name))?;
        Ok(End { netns, party: Party::Pod(pod), name: format!("{}/{}", pod.namespace, pod.name) })
    });
    let node = End { netns: netns(world, site), party: Party::Node, name: "the node".to_owned() };
    let other = world.lab.sites.iter().find(|s| s.name != site.name).context("there is no other site")?;
    let foreign = End {
        netns: netns(world, other),
        party: Party::Other(other.address()),
        name: "another site's node".to_owned(),
    };
    pods.chain([Ok(node), Ok(foreign)]).collect()
}
