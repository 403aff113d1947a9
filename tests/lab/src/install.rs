//! `install`: Yunting's kinds, policies, roles and accounts on hub and sites, the Site objects, and our controllers.

use std::path::{Path, PathBuf};
use std::time::Instant;

use kube::ResourceExt;

use crate::client;
use crate::error::{Error, Result};
use crate::manifests::{self, Variables};
use crate::progress::Progress;
use crate::site::control::{Request, ask};
use crate::site::parts::{CONTROLLERS, NODE_CONTROLLER};
use crate::spec::{Lab, SITES, Site};
use crate::state::State;
use crate::stock::Stock;

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
    let sites = lab.sites.iter().map(|at| async {
        site(lab, state, &stock, at).await?;
        progress.done(&at.name, "kinds, policies and roles applied", since);
        Ok(())
    });
    futures::future::try_join(hub, futures::future::try_join_all(sites)).await.map(drop)
}

/// Applies a site's part. Where the node controller keeps the boundary it comes before the first pod, because that one
/// needs to know kinds and pods.
pub async fn site(lab: &Lab, state: &State, stock: &Stock, site: &Site) -> Result<()> {
    let client = client::site(lab, site).await?;
    let variables = variables(lab, state, stock, site);
    for dir in ["crds/yaml/site", "install/site"] {
        manifests::apply(&client, &manifests::read_dir(&tree().join(dir), &variables)?).await?;
    }
    Ok(())
}

async fn hub(lab: &Lab, state: &State, stock: &Stock) -> Result<()> {
    let client = client::hub(lab, &lab.sites[0]).await?;
    for dir in ["crds/yaml/hub", "install/hub"] {
        let objects = manifests::read_dir(&tree().join(dir), &variables(lab, state, stock, &lab.sites[0]))?;
        manifests::apply(&client, &objects).await?;
    }
    // The sample's Sites: the demo applies the same file, so the two never differ.
    let path = tree().join("crds/samples/bozhou/lab/1-sites.yaml");
    let text = std::fs::read_to_string(&path).map_err(Error::io("read the Sites", &path))?;
    let name = path.display().to_string();
    let mut sites = manifests::parse(&name, &text, &variables(lab, state, stock, &lab.sites[0]))?;
    sites.retain(|object| lab.site(&object.name_any()).is_ok());
    manifests::apply(&client, &sites).await?;
    Ok(())
}

/// Ends what runs of our controllers, so that what is started next is the newer program.
pub fn restart(lab: &Lab, state: &State) -> Result<()> {
    if state.controllers {
        controllers(lab, state, false)?;
    }
    for site in lab.sites.iter().filter(|site| state.boundary && crate::power::is_on(lab, site)) {
        for request in [Request::Stop, Request::Start] {
            ask(&lab.site_dir(site), &request(NODE_CONTROLLER.to_owned()))?;
        }
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

const COREFILE: &str = include_str!("../../../install/site/dns/Corefile");

/// What `${name}` stands for in manifests of a site.
pub fn variables(lab: &Lab, state: &State, stock: &Stock, site: &Site) -> Variables {
    let own = [
        ("lab", lab.name.clone()),
        ("site", site.name.clone()),
        ("node", site.node()),
        ("dns_service", site.dns_service().to_string()),
        // A text in one line is YAML, too.
        ("corefile", serde_json::Value::from(COREFILE.replace("${pods}", &site.pods())).to_string()),
    ];
    let mut variables = stock.variables();
    variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
    // All of them: a manifest may speak of a site that this lab does not have.
    for (index, name) in (1_u8..).zip(SITES) {
        let port = state.ports.gateway(&Site { name: name.into(), index });
        variables.insert(format!("gateway-{name}"), format!("127.0.0.1:{port}"));
    }
    variables
}
