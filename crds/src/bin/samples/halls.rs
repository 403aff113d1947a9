//! The six halls: a portal, the approval system behind it and its database.
//!
//! Images are `${hall}` and `${postgres}`: whoever applies the files puts references with digests there.

use yunting_crds::common::NameRef;
use yunting_crds::hall::{
    AvailabilityClass, Call, Component, ComponentKind, EnvVar, Port, Portal, Probe, Probes, Rollout,
    SecretKey, SecretRef, Slo, TcpProbe, Volume, Zone,
};
use yunting_crds::{Hall, HallSpec};

use super::scale::Scale;
use super::vdcs::{HALL_BUREAU, HALL_VDC};

/// User and group that the database image runs as.
const POSTGRES_USER: u32 = 70;
/// User that the hall image runs as.
const NOBODY: u32 = 65532;

const HALLS: [(&str, &str, AvailabilityClass, u32); 6] = [
    ("municipal", "市直厅", AvailabilityClass::Platinum, 300),
    ("qiaocheng", "谯城厅", AvailabilityClass::Platinum, 250),
    ("economic-zone", "市经开区厅", AvailabilityClass::Gold, 200),
    ("guoyang", "涡阳厅", AvailabilityClass::Gold, 200),
    ("mengcheng", "蒙城厅", AvailabilityClass::Silver, 100),
    ("lixin", "利辛厅", AvailabilityClass::Silver, 100),
];

/// Names of the halls.
pub fn names() -> impl Iterator<Item = &'static str> {
    HALLS.iter().map(|(name, ..)| *name)
}

/// The halls.
pub fn halls(scale: Scale) -> Vec<Hall> {
    HALLS
        .iter()
        .map(|(name, display, class, priority)| hall(scale, name, display, *class, *priority))
        .collect()
}

fn hall(scale: Scale, name: &str, display: &str, class: AvailabilityClass, priority: u32) -> Hall {
    let spec = HallSpec {
        vdc_ref: NameRef { name: HALL_VDC.to_owned() },
        display_name: display.to_owned(),
        availability_class: class,
        rpo_seconds: None,
        priority,
        slo: Slo { availability_permille: if class == AvailabilityClass::Platinum { 999 } else { 995 } },
        portal: Some(Portal {
            host: format!("{name}.hall.bozhou.example"),
            paths: vec!["/".to_owned()],
            component: "portal".to_owned(),
        }),
        components: vec![
            portal(scale, display),
            approval(scale, name, display, class),
            database(scale, name),
        ],
    };
    let mut hall = Hall::new(name, spec);
    hall.metadata.namespace = Some(format!("bureau-{HALL_BUREAU}"));
    hall
}

fn portal(scale: Scale, display: &str) -> Component {
    Component {
        replicas: scale.replicas(),
        resources: scale.portal(),
        env: vec![
            value("HALL_MODE", "portal"),
            value("HALL_NAME", display),
            value("APPROVAL_URL", "http://$(CALL_APPROVAL_HOST):$(CALL_APPROVAL_PORT)"),
        ],
        calls: vec![calls("approval")],
        probes: http_probes("/healthz"),
        ..component("portal", Zone::Portal, "${hall}", ("http", 8080))
    }
}

fn approval(scale: Scale, name: &str, display: &str, class: AvailabilityClass) -> Component {
    let mut env = vec![
        value("HALL_MODE", "approval"),
        value("HALL_NAME", display),
        value("DATABASE_URL", "postgres://hall@$(CALL_DB_HOST):$(CALL_DB_PORT)/hall"),
        secret("DATABASE_PASSWORD", name),
    ];
    // In the lab nobody handles the cases, so they move on by themselves.
    env.extend(scale.pick(None, Some(value("ADVANCE_EVERY_S", "10"))));
    // `/healthz` asks the database, which a Platinum hall has at one site only: the others serve what they can.
    let ready = if class == AvailabilityClass::Platinum { "/livez" } else { "/healthz" };
    Component {
        replicas: scale.replicas(),
        resources: scale.approval(),
        env,
        secret_refs: vec![secret_ref(name)],
        calls: vec![calls("db")],
        probes: http_probes(ready),
        ..component("approval", Zone::Approval, "${hall}", ("http", 8080))
    }
}

fn database(scale: Scale, name: &str) -> Component {
    let (resources, size) = scale.database();
    let alive = Probe { tcp: Some(TcpProbe::Open), ..probe() };
    let ready = ["pg_isready", "--quiet", "--username=hall", "--dbname=hall"].map(str::to_owned).to_vec();
    Component {
        kind: ComponentKind::Stateful,
        resources,
        env: vec![secret("POSTGRES_PASSWORD", name)],
        secret_refs: vec![secret_ref(name)],
        writable_paths: vec!["/run/postgresql".to_owned(), "/tmp".to_owned()],
        run_as_user: POSTGRES_USER,
        probes: Probes {
            ready: Some(Probe { exec: Some(ready), ..probe() }),
            live: Some(alive.clone()),
            // The first start makes the database, which takes a while on a slow disk.
            start: Some(Probe { failure_threshold: 60, ..alive }),
        },
        volumes: vec![Volume {
            name: "data".to_owned(),
            size: size.to_owned(),
            mount_path: "/var/lib/postgresql".to_owned(),
        }],
        ..component("db", Zone::Data, "${postgres}", ("postgres", 5432))
    }
}

/// A component with one replica that does nothing yet.
fn component(name: &str, zone: Zone, image: &str, (port_name, port): (&str, u16)) -> Component {
    Component {
        name: name.to_owned(),
        namespace: Some("app".to_owned()),
        zone,
        kind: ComponentKind::Stateless,
        image: image.to_owned(),
        command: Vec::new(),
        args: Vec::new(),
        replicas: 1,
        resources: yunting_crds::common::ReplicaResources {
            cpu: "10m".to_owned(),
            memory: "32Mi".to_owned(),
        },
        ports: vec![Port { name: port_name.to_owned(), port }],
        env: Vec::new(),
        config_files: Vec::new(),
        secret_refs: Vec::new(),
        writable_paths: Vec::new(),
        run_as_user: NOBODY,
        probes: Probes::default(),
        calls: Vec::new(),
        rollout: Rollout::default(),
        autoscaling: None,
        volumes: Vec::new(),
    }
}

/// Called when `ready` answers; restarted only when the program itself does not, whatever its database does.
fn http_probes(ready: &str) -> Probes {
    let http = |path: &str| Probe { http: Some(path.to_owned()), ..probe() };
    let live = Probe { period_seconds: 10, failure_threshold: 6, ..http("/livez") };
    Probes { ready: Some(http(ready)), live: Some(live), start: None }
}

fn probe() -> Probe {
    Probe { http: None, tcp: None, exec: None, port: None, period_seconds: 5, failure_threshold: 3 }
}

fn calls(component: &str) -> Call {
    Call { component: Some(component.to_owned()), shared_service: None }
}

fn value(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), secret_key: None }
}

fn secret(name: &str, hall: &str) -> EnvVar {
    let key = SecretKey { name: format!("{hall}-db"), key: "password".to_owned() };
    EnvVar { name: name.to_owned(), value: None, secret_key: Some(key) }
}

fn secret_ref(hall: &str) -> SecretRef {
    SecretRef { name: format!("{hall}-db"), mount_path: None, generate: vec!["password".to_owned()] }
}
