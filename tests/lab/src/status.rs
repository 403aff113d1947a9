//! `status`: what the sites and their processes are doing.

use comfy_table::{Table, presets};

use crate::cgroup;
use crate::daemon;
use crate::error::Result;
use crate::relay;
use crate::site::control::{Request, ask};
use crate::site::process::Phase;
use crate::spec::{Lab, Site};
use crate::state::State;
use crate::wan;

/// A table with one line per site, and what is not as it should be.
pub fn table(lab: &Lab, state: &State) -> Result<String> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["site", "power", "WAN", "memory", "processes", "site API", "hub API", "gateway"]);
    for site in &lab.sites {
        let on = daemon::alive(&lab.site_dir(site).pid_file()).is_some();
        let mut cuts = wan::cuts(lab, site)?;
        cuts.extend(relay::delay(lab, site).map(|delay| format!("delayed by {delay}")));
        let local = |port: u16| format!("127.0.0.1:{port}");
        table.add_row([
            site.name.clone(),
            if on { "on".into() } else { "off".into() },
            if cuts.is_empty() { "connected".into() } else { cuts.join("\n") },
            format!("{} MiB", cgroup::memory(&lab.cgroup(site)) >> 20),
            if on { processes(lab, site) } else { "none".into() },
            local(state.ports.site_api(site)),
            local(state.ports.hub_api(site)),
            local(state.ports.gateway(site)),
        ]);
    }
    Ok(format!("{table}\nkubeconfigs: {}", lab.kubeconfigs().display()))
}

fn processes(lab: &Lab, site: &Site) -> String {
    let answer = match ask(&lab.site_dir(site), &Request::Status) {
        Ok(answer) => answer,
        Err(e) => return e.to_string(),
    };
    let ready = answer.processes.values().filter(|c| c.phase == Phase::Ready).count();
    let mut lines = vec![format!("{ready} of {} ready", answer.processes.len())];
    for (name, condition) in
        answer.processes.iter().filter(|(_, c)| c.phase != Phase::Ready || c.restarts > 0)
    {
        let restarts = match condition.restarts {
            0 => String::new(),
            n => format!(", ended {n} times"),
        };
        lines.push(format!("{name}: {:?}{restarts}", condition.phase).to_lowercase());
    }
    lines.join("\n")
}
