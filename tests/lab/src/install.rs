//! `install`: Yunting's kinds, policies, roles and accounts on hub and sites, the Site objects, and our controllers.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::client;
use crate::error::Result;
use crate::manifests::{self, Variables};
use crate::progress::Progress;
use crate::site::control::{Request, ask};
use crate::site::node::share;
use crate::site::parts::CONTROLLERS;
use crate::spec::{Lab, Site};
use crate::state::State;
use crate::stock::Stock;

const SITE_OBJECT: &str = include_str!("../cluster/site-object.yaml");

/// The checkout that has `crds/yaml` and `install`: `$YUNTING_TREE`, or where this program was built.
pub fn tree() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os("YUNTING_TREE").map_or(built, PathBuf::from)
}

/// Applies everything to hub and sites. Can be repeated, and must be after each change of the manifests.
pub async fn run(lab: &Lab, state: &State, progress: &Progress) -> Result<()> {
    let since = Instant::now();
    let stock = Stock::read(lab)?;
    let hub = async {
        hub(lab, state, &stock).await?;
        progress.done("hub", "kinds, policies, roles and Sites applied", since);
        Ok(())
    };
    let sites = lab.sites.iter().map(|site| async {
        let client = client::site(lab, site).await?;
        let variables = variables(lab, state, &stock, site);
        for dir in ["crds/yaml/site", "install/site"] {
            manifests::apply(&client, &manifests::read_dir(&tree().join(dir), &variables)?).await?;
        }
        progress.done(&site.name, "kinds, policies and roles applied", since);
        Ok(())
    });
    futures::future::try_join(hub, futures::future::try_join_all(sites)).await.map(drop)
}

async fn hub(lab: &Lab, state: &State, stock: &Stock) -> Result<()> {
    let client = client::hub(lab, &lab.sites[0]).await?;
    for dir in ["crds/yaml/hub", "install/hub"] {
        let objects = manifests::read_dir(&tree().join(dir), &variables(lab, state, stock, &lab.sites[0]))?;
        manifests::apply(&client, &objects).await?;
    }
    for site in &lab.sites {
        let objects = manifests::parse("the Site object", SITE_OBJECT, &variables(lab, state, stock, site))?;
        manifests::apply(&client, &objects).await?;
    }
    Ok(())
}

/// Starts or stops our controllers at every site that has power, and remembers it for sites that come back.
pub fn controllers(lab: &Lab, state: &State, run: bool) -> Result<()> {
    State { controllers: run, ..state.clone() }.write(lab)?;
    for site in lab.sites.iter().filter(|site| crate::power::is_on(lab, site)) {
        for name in CONTROLLERS {
            let name = name.to_owned();
            ask(&lab.site_dir(site), &if run { Request::Start(name) } else { Request::Stop(name) })?;
        }
    }
    Ok(())
}

/// What `${name}` stands for in manifests of a site.
pub fn variables(lab: &Lab, state: &State, stock: &Stock, site: &Site) -> Variables {
    let (cpu, memory) = share(lab.sites.len());
    let own = [
        ("lab", lab.name.clone()),
        ("site", site.name.clone()),
        ("site_display_name", display_name(site).into()),
        ("site_address", site.address().to_string()),
        ("site_cpu", format!("{cpu}m")),
        ("site_memory", format!("{memory}Ki")),
        ("node", site.node()),
        ("node_pod_address", site.pods().replace(".0.0/16", ".0.1")),
        ("dns_service", site.dns_service().to_string()),
        ("gateway_port", state.ports.gateway(site).to_string()),
    ];
    let mut variables = stock.variables();
    variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
    variables
}

fn display_name(site: &Site) -> &'static str {
    match site.index {
        1 => "谯城数据中心",
        2 => "涡阳数据中心",
        _ => "蒙城数据中心",
    }
}
