//! The three data centres.

use yunting_crds::site::{
    Capacity, IngressKind, IngressProvider, NetworkKind, NetworkProvider, Overcommit, Providers, SiteState,
    StorageEncryption, StorageProvider, StorageReplication,
};
use yunting_crds::{Site, SiteSpec};

use super::scale::Scale;

const SITES: [(&str, &str); 3] =
    [("qiaocheng", "谯城数据中心"), ("guoyang", "涡阳数据中心"), ("mengcheng", "蒙城数据中心")];

/// The sites; the first is the largest.
pub fn sites(scale: Scale) -> Vec<Site> {
    (1..).zip(SITES).map(|(index, (name, display_name))| site(scale, index, name, display_name)).collect()
}

fn site(scale: Scale, index: u8, name: &str, display_name: &str) -> Site {
    let spec = SiteSpec {
        display_name: display_name.to_owned(),
        region: "bozhou".to_owned(),
        failure_domain: format!("{name}-1"),
        state: SiteState::Enabled,
        capacity: Capacity {
            declared: Some(scale.site(index == 1)),
            overcommit_percent: Overcommit { cpu: 200, memory: 100 },
            dr_reserve_percent: 20,
        },
        providers: providers(scale, index, name),
    };
    Site::new(name, spec)
}

/// Yunting's own driver keeps volumes; in the lab Yunting's own boundary keeps the network.
fn providers(scale: Scale, index: u8, name: &str) -> Providers {
    let storage = StorageProvider {
        name: "yunting-encrypted".to_owned(),
        driver: "volumes.yunting.io".to_owned(),
        encryption: StorageEncryption::PerVolume,
        replication: StorageReplication::Native,
    };
    // The lab's gateway is a process of the node, not a pod: it calls pods from these addresses.
    let sources = vec![format!("10.1{index}.0.1/32"), format!("192.168.77.{index}/32")];
    let ingress = IngressProvider {
        kind: IngressKind::Gateway,
        class_name: "yunting-lab".to_owned(),
        address: Some(scale.pick(format!("gateway.{name}.bozhou.example"), format!("${{gateway-{name}}}"))),
        source_cidrs: scale.pick(Vec::new(), sources),
    };
    Providers {
        network: NetworkProvider { kind: scale.pick(NetworkKind::NetworkPolicy, NetworkKind::Node) },
        storage: vec![storage],
        ingress: Some(ingress),
    }
}
