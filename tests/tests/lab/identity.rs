//! Who has done anything at any API server of the lab, read from their audit logs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::fixture::World;

/// What an API server calls itself when it asks itself, inside its own process. No certificate says so.
const ITSELF: &str = "system:apiserver";
/// Everybody who has business at an API server: exact names, or what a name begins with where a name follows.
const KNOWN: [&str; 18] = [
    ITSELF,
    "system:anonymous",
    "system:kube-controller-manager",
    "system:kube-scheduler",
    "system:kube-proxy",
    "system:node:",
    "system:serviceaccount:kube-system:",
    "yunting:local-path",
    "yunting:volumes-provisioner",
    "yunting:volumes-resizer",
    "yunting:volumes-snapshotter",
    "yunting:snapshot-controller",
    "yunting:hub:",
    "yunting:site:",
    "yunting:node:",
    "yunting:site-controller",
    "yunting:gateway",
    "yunting:lab-admin",
];
/// People, by the lab's issuer.
const PEOPLE: &str = "oidc:";

pub fn nobody_is_master(world: &World) -> anyhow::Result<()> {
    let seen = seen(world)?;
    let masters: BTreeSet<&str> = seen
        .iter()
        .filter(|(user, groups)| user.as_str() != ITSELF && groups.contains("system:masters"))
        .map(|(user, _)| user.as_str())
        .collect();
    ensure!(masters.is_empty(), "somebody works as system:masters: {masters:?}");
    let known = |user: &str| {
        user.starts_with(PEOPLE)
            || KNOWN.iter().any(|k| if k.ends_with(':') { user.starts_with(k) } else { user == *k })
    };
    let strangers: Vec<&String> = seen.keys().filter(|user| !known(user)).collect();
    ensure!(strangers.is_empty(), "nobody knows who these are: {strangers:?}");
    // The logs speak of the parts that are known to work, so that an empty one proves nothing.
    for site in &world.lab.sites {
        for user in [format!("yunting:hub:{}", site.name), format!("yunting:site:{}", site.name)] {
            ensure!(seen.contains_key(&user), "{user} is in no audit log; there are {:?}", seen.keys());
        }
    }
    ensure!(seen.contains_key("yunting:site-controller"), "no site controller is in any audit log");
    Ok(())
}

/// Every user in every audit log, with all groups.
fn seen(world: &World) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for site in &world.lab.sites {
        for server in ["apiserver", "hub-apiserver"] {
            let path = world.lab.site_dir(site).log(&format!("{server}-audit"));
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read the audit log of {server} at {}", site.name))?;
            // The last line may be in writing.
            for record in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
                let user = user(&record);
                let groups = record["user"]["groups"].as_array().into_iter().flatten();
                seen.entry(user).or_default().extend(groups.filter_map(Value::as_str).map(str::to_owned));
            }
        }
    }
    Ok(seen)
}

/// Whose request it was; one without a name is told by what it asked and what it was answered.
fn user(record: &Value) -> String {
    match record["user"]["username"].as_str() {
        Some(user) if !user.is_empty() => user.to_owned(),
        _ => format!(
            "somebody without a name: {} {} {} {}",
            record["verb"], record["requestURI"], record["responseStatus"], record["sourceIPs"]
        ),
    }
}
