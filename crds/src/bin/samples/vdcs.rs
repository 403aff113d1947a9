//! The virtual data centres: one for the service hall, one for each shared database.

use yunting_crds::common::NameRef;
use yunting_crds::vdc::{
    Access, DrReserve, DrReserveMode, Encryption, IngressSource, Isolation, Lifecycle, LifecycleState,
    PlacementRule, Sites, Spread, VdcNamespace,
};
use yunting_crds::{VdcSpec, VirtualDataCenter};

use super::scale::{Scale, Vdc};

/// The bureau that owns the halls.
pub const HALL_BUREAU: &str = "government-affairs-service";
/// The VDC the halls run in.
pub const HALL_VDC: &str = "service-hall";

/// The VDCs.
pub fn vdcs(scale: Scale) -> Vec<VirtualDataCenter> {
    vec![
        service_hall(scale),
        shared(
            "public-security",
            "population",
            "人口基础数据库",
            "large",
            &["guoyang", "qiaocheng"],
            scale.vdc(Vdc::Population),
        ),
        shared(
            "public-security",
            "city-video",
            "城市监控视频库",
            "large",
            &["mengcheng", "guoyang"],
            scale.vdc(Vdc::CityVideo),
        ),
        shared(
            "market-regulation",
            "legal-persons",
            "法人基础数据库",
            "medium",
            &["guoyang", "mengcheng"],
            scale.vdc(Vdc::LegalPersons),
        ),
        shared(
            "data-resources",
            "licences",
            "电子证照库",
            "medium",
            &["mengcheng", "guoyang"],
            scale.vdc(Vdc::Licences),
        ),
    ]
}

/// Six halls, active at Qiaocheng; Platinum ones serve at all three sites.
fn service_hall(scale: Scale) -> VirtualDataCenter {
    let mut spec = base("网上办事大厅", "large", &["qiaocheng", "guoyang", "mengcheng"]);
    spec.quota = scale.vdc(Vdc::ServiceHall);
    spec.dr_reserve = Some(DrReserve { mode: DrReserveMode::Full, fixed: None });
    spec.isolation = Some(Isolation {
        egress: Vec::new(),
        ingress_from: vec![IngressSource::Portal],
        allow_load_balancer: false,
    });
    spec.namespaces = vec![namespace("app", Access::HallsOnly, 5), namespace("sandbox", Access::Direct, 1)];
    named(HALL_BUREAU, HALL_VDC, spec)
}

/// Data that other bureaus will ask for: two sites, nothing comes in from outside.
fn shared(
    bureau: &str,
    name: &str,
    display: &str,
    template: &str,
    sites: &[&str],
    quota: yunting_crds::common::Quota,
) -> VirtualDataCenter {
    let mut spec = base(display, template, sites);
    spec.quota = quota;
    spec.isolation = Some(Isolation::default());
    spec.namespaces = vec![namespace("data", Access::HallsOnly, 1)];
    named(bureau, name, spec)
}

/// A VDC within Bozhou, at the sites in that order while they have room.
fn base(display: &str, template: &str, sites: &[&str]) -> VdcSpec {
    let placement = PlacementRule {
        count: u32::try_from(sites.len()).unwrap_or(u32::MAX),
        preferred: sites.iter().map(|&site| site.to_owned()).collect(),
        required: Vec::new(),
        residency: vec!["bozhou".to_owned()],
    };
    VdcSpec {
        display_name: Some(display.to_owned()),
        template_ref: Some(NameRef { name: template.to_owned() }),
        quota: yunting_crds::common::Quota::default(),
        sites: Sites { names: Vec::new(), placement: Some(placement), spread: Spread::FailureDomain },
        dr_reserve: None,
        namespaces: Vec::new(),
        isolation: None,
        encryption: Encryption::default(),
        lifecycle: Lifecycle { state: LifecycleState::Active, cooling_off_hours: 72, lease_days: None },
    }
}

fn namespace(name: &str, access: Access, weight: u32) -> VdcNamespace {
    VdcNamespace { name: name.to_owned(), access, weight }
}

fn named(bureau: &str, name: &str, spec: VdcSpec) -> VirtualDataCenter {
    let mut vdc = VirtualDataCenter::new(name, spec);
    vdc.metadata.namespace = Some(format!("bureau-{bureau}"));
    vdc
}
