//! The story that `make demo` tells.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use kube::Client;
use kube::api::{Api, ListParams};
use yunting_crds::Hall;
use yunting_crds::conditions::reason;
use yunting_crds::hall::{AvailabilityClass, HallRole};
use yunting_lab::spec::Lab;
use yunting_lab::state::State;

use super::shell::Shell;
use super::wait::until;
use super::{city, door};

/// Time after which a silent site must be told as such; its beat is given up after 15 s.
const SILENCE: Duration = Duration::from_mins(2);
/// The site that loses power: never the active one of the halls.
const VICTIM: &str = "mengcheng";
/// A bureau administrator of the sample.
const TENANT: (&str, &str) = ("li.na", "government-affairs-service-admins");
const BUREAU: &str = "bureau-government-affairs-service";

/// Tells it.
pub async fn tell(name: &str, samples: &Path) -> anyhow::Result<()> {
    let began = Instant::now();
    let lab = Lab::new(name, 3)?;
    let shell = Shell::new(name, &lab.dir)?;
    shell.title("Three sites and a hub, from nothing");
    shell.lab(&["up"])?;
    let up = began.elapsed();
    let client = yunting_lab::client::hub(&lab, &lab.sites[0]).await?;

    shell.title("The city of Bozhou: 46 bureaus, five VDCs, six halls");
    city::apply(&lab, &client, samples).await?;
    let took = until(&client, city::PATIENCE, super::wait::Picture::all_ready).await?;
    println!("every site, VDC and hall is ready after {} s", took.as_secs());

    tables(&shell)?;
    doors(&shell, &lab, &client, None).await?;
    refusals(&shell, &client).await?;
    on_the_wire(&shell, &lab, &client).await?;
    super::ciphertext::show(&shell, &lab).await?;
    power_cut(&shell, &lab, &client).await?;
    further(&shell, up, began.elapsed());
    Ok(())
}

fn tables(shell: &Shell) -> anyhow::Result<()> {
    shell.title("What there is now");
    shell.kubectl("hub", &["get", "sites,vdc,halls", "-A"])?;
    shell.kubectl(
        "hub",
        &["wait", "vdc/service-hall", "-n", BUREAU, "--for=condition=Ready", "--timeout=10s"],
    )?;
    println!("(`kubectl get yunting -A` shows the 46 bureaus and every slice, too)");
    shell.title("What is not claimed");
    let columns = "custom-columns=HALL:.metadata.name,CLASS:.spec.availabilityClass,REPLICATED:.status.conditions[?(@.type==\"Replicated\")].status,PROTECTED:.status.conditions[?(@.type==\"Protected\")].status,REASON:.status.conditions[?(@.type==\"Protected\")].reason";
    shell.kubectl("hub", &["get", "halls", "-A", "-o", columns])?;
    let columns = "custom-columns=VDC:.metadata.name,ISOLATED:.status.conditions[?(@.type==\"NetworkIsolated\")].reason,ENCRYPTED:.status.conditions[?(@.type==\"VolumesEncrypted\")].reason";
    shell.kubectl("hub", &["get", "vdc", "-A", "-o", columns])
}

/// Asks every hall at every site where it serves, except at a site that is down.
async fn doors(shell: &Shell, lab: &Lab, client: &Client, down: Option<&str>) -> anyhow::Result<()> {
    shell.title("Through the front doors");
    let ports = State::read(lab)?.context("the lab has no state")?.ports;
    let halls: Vec<Hall> = Api::<Hall>::all(client.clone()).list(&ListParams::default()).await?.items;
    let mut platinum = 0;
    for hall in &halls {
        let Some(portal) = &hall.spec.portal else { continue };
        let status = hall.status.clone().unwrap_or_default();
        let mut served = 0;
        for at in status.sites.iter().filter(|s| s.role == HallRole::Active && Some(s.site.as_str()) != down)
        {
            let port = ports.gateway(lab.site(&at.site)?);
            let answer = door::ask(port, &portal.host)?;
            let (title, pod) =
                (answer.title.unwrap_or_default(), answer.pod.unwrap_or_else(|| "-".to_owned()));
            println!("{:<10} http://{}/  ->  {} {title}  by pod {pod}", at.site, portal.host, answer.code);
            if answer.code != 200 || pod == "-" {
                bail!("hall {} does not serve at {}", portal.host, at.site);
            }
            served += 1;
        }
        let wanted = if hall.spec.availability_class == AvailabilityClass::Platinum { 2 } else { 1 };
        if served < wanted {
            bail!("hall {} serves at {served} sites, {wanted} are promised", portal.host);
        }
        platinum += usize::from(wanted == 2);
    }
    println!("{} halls answer, {platinum} of them at two sites or more", halls.len());
    let (example, port) = (&halls[0].spec.portal, ports.gateway(&lab.sites[0]));
    if let Some(portal) = example {
        println!("try it: curl -H 'Host: {}' http://127.0.0.1:{port}/", portal.host);
    }
    Ok(())
}

/// A tenant asks for more than it may, and tries to get out.
async fn refusals(shell: &Shell, client: &Client) -> anyhow::Result<()> {
    shell.title("A bureau administrator asks for too much");
    let token = shell.lab_output(&["token", "--user", TENANT.0, "--group", TENANT.1])?;
    let greedy = format!(
        "apiVersion: yunting.io/v1alpha1\nkind: VirtualDataCenter\nmetadata: {{name: greedy, namespace: {BUREAU}}}\nspec:\n  quota: {{cpu: \"9000\", memory: 1Ti, pods: 10}}\n  namespaces: [{{name: app}}]\n"
    );
    shell.kubectl_with("hub", &["apply", "-f", "-"], &greedy, Some(&token))?;
    shell
        .kubectl("hub", &["wait", "vdc/greedy", "-n", BUREAU, "--for=condition=Stalled", "--timeout=30s"])?;
    shell.kubectl(
        "hub",
        &[
            "get",
            "vdc",
            "greedy",
            "-n",
            BUREAU,
            "-o",
            "jsonpath={.status.conditions[?(@.type==\"Ready\")].message}{\"\\n\"}",
        ],
    )?;
    let foreign = "apiVersion: yunting.io/v1alpha1\nkind: Hall\nmetadata: {name: intruder, namespace: bureau-public-security}\nspec:\n  vdcRef: {name: population}\n  displayName: 越权\n  components: []\n";
    refused(&shell.kubectl_with("hub", &["apply", "-f", "-"], foreign, Some(&token))?)?;

    shell.title("... and tries to get out of its namespace at a site");
    let namespace = namespace_of(client).await?;
    let escape = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: escape, namespace: {namespace}}}\nspec:\n  hostNetwork: true\n  containers:\n  - {{name: c, image: \"localhost/busybox:1\", securityContext: {{privileged: true}}}}\n"
    );
    refused(&shell.kubectl_with("qiaocheng", &["create", "-f", "-"], &escape, Some(&token))?)?;
    println!("(even the platform's own administrator is held by the site's policies)");
    refused(&shell.kubectl_with("qiaocheng", &["create", "-f", "-"], &escape, None)?)?;
    shell.kubectl(
        "hub",
        &[
            "patch",
            "vdc",
            "greedy",
            "-n",
            BUREAU,
            "--type=merge",
            "-p",
            "{\"spec\":{\"lifecycle\":{\"state\":\"Released\",\"coolingOffHours\":0}}}",
        ],
    )?;
    shell.kubectl(
        "hub",
        &["wait", "vdc/greedy", "-n", BUREAU, "--for=condition=Deletable", "--timeout=30s"],
    )?;
    shell.kubectl("hub", &["delete", "vdc", "greedy", "-n", BUREAU])
}

/// Packets go where it was declared, and probes show it.
async fn on_the_wire(shell: &Shell, lab: &Lab, client: &Client) -> anyhow::Result<()> {
    super::wire::show(shell, lab, &namespace_of(client).await?).await?;
    println!(
        "(the nodes' probers ask like this every ten seconds; what they find is a condition of the VDC)"
    );
    let wait = ["wait", "vdc/service-hall", "-n", BUREAU, "--for=condition=NetworkIsolated", "--timeout=90s"];
    shell.kubectl("hub", &wait)?;
    let message = "jsonpath={range .status.conditions[?(@.type==\"NetworkIsolated\")]}{.reason}: {.message}{\"\\n\"}{end}";
    shell.kubectl("hub", &["get", "vdc", "service-hall", "-n", BUREAU, "-o", message])
}

fn refused(out: &std::process::Output) -> anyhow::Result<()> {
    if out.status.success() {
        bail!("that was accepted, and must not be");
    }
    // A server that does not answer has refused nothing.
    if !String::from_utf8_lossy(&out.stderr).contains("forbidden") {
        bail!("that failed, but not by a refusal");
    }
    Ok(())
}

/// First namespace of the service hall's VDC at its sites.
async fn namespace_of(client: &Client) -> anyhow::Result<String> {
    let vdc: yunting_crds::VirtualDataCenter =
        Api::namespaced(client.clone(), BUREAU).get("service-hall").await?;
    let first = vdc.status.iter().flat_map(|s| &s.sites).flat_map(|s| &s.namespaces).next();
    first.cloned().context("the VDC shows no namespace")
}

async fn power_cut(shell: &Shell, lab: &Lab, client: &Client) -> anyhow::Result<()> {
    shell.title(&format!("{VICTIM} loses power"));
    shell.lab(&["poweroff", VICTIM])?;
    let took = until(client, SILENCE, |p| {
        p.reasons.iter().any(|r| r.starts_with(&format!("site {VICTIM}")) && r.contains(reason::SITE_SILENT))
    })
    .await?;
    println!("told as SiteSilent after {} s", took.as_secs());
    shell.kubectl("hub", &["get", "sites"])?;
    let columns = "custom-columns=HALL:.metadata.name,CLASS:.spec.availabilityClass,READY:.status.conditions[?(@.type==\"Ready\")].status,REASON:.status.conditions[?(@.type==\"Ready\")].reason,SERVING:.status.siteSummary";
    shell.kubectl("hub", &["get", "halls", "-A", "-o", columns])?;
    doors(shell, lab, client, Some(VICTIM)).await?;
    shell.title("The hub goes on: a change is carried out while the site is dark");
    shell.kubectl("hub", &["annotate", "--overwrite", "bureau", "education", "demo=while-a-site-is-dark"])?;
    shell.title("Power returns");
    shell.lab(&["poweron", VICTIM])?;
    let took = until(client, city::PATIENCE, super::wait::Picture::all_ready).await?;
    println!("everything is ready again after {} s", took.as_secs());
    shell.kubectl("hub", &["get", "halls", "-A"])
}

fn further(shell: &Shell, up: Duration, all: Duration) {
    shell.title("How to go further");
    println!("The lab took {} s to start, the whole demo {} s. It stays up:", up.as_secs(), all.as_secs());
    println!("  export KUBECONFIG=$(target/debug/yunting-lab kubeconfig hub)");
    println!("  kubectl get yunting -A            # everything of Yunting");
    println!("  kubectl explain vdc.spec.quota    # every field is documented");
    println!("  target/debug/yunting-lab status   # sites, processes, addresses");
    println!("  target/debug/yunting-lab cut guoyang / heal / poweroff / poweron");
    println!("  make demo-down                    # removes everything (lab {})", shell.name);
}
