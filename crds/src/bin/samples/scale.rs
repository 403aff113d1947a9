//! The numbers: everything that differs between a city and a lab on one machine is here.
//!
//! How they fit (tested in `tests/tests/bozhou.rs`): the hub gives each of n sites Q/(n+1) of a quota with a
//! full reserve, and a namespace its share of that by weight; `app` of the service hall has five of six parts. All
//! six halls are active at one site and may be rolled out at once, one pod more for each stateless component.

use yunting_crds::common::{Quota, ReplicaResources};

use super::data::Class;

/// Size of the installation that the samples are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    City,
    Lab,
}

/// A VDC of the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vdc {
    ServiceHall,
    Population,
    CityVideo,
    LegalPersons,
    Licences,
}

impl Scale {
    pub const ALL: [Self; 2] = [Self::City, Self::Lab];

    /// Folder of the generated files.
    pub fn folder(self) -> &'static str {
        self.pick("city", "lab")
    }

    /// The city's value or the lab's.
    pub fn pick<T>(self, city: T, lab: T) -> T {
        match self {
            Self::City => city,
            Self::Lab => lab,
        }
    }

    /// What a site declares. The lab's pods are what one kubelet takes.
    pub fn site(self, large: bool) -> Quota {
        match (self, large) {
            (Self::City, true) => pods(amounts("256", "1Ti", "400Ti"), 4000),
            (Self::City, false) => pods(amounts("192", "768Gi", "300Ti"), 3000),
            (Self::Lab, _) => pods(amounts("8", "12Gi", "100Gi"), 110),
        }
    }

    /// Upper limit of a bureau; cpu, memory, storage and VDCs.
    pub fn bureau(self, class: Class) -> (Quota, u32) {
        match class {
            Class::Small => (self.pick(amounts("40", "160Gi", "5Ti"), amounts("1", "1Gi", "4Gi")), 2),
            Class::Medium => (self.pick(amounts("80", "320Gi", "20Ti"), amounts("2", "2Gi", "8Gi")), 5),
            Class::Large => (self.pick(amounts("200", "800Gi", "60Ti"), amounts("4", "4Gi", "16Gi")), 10),
            Class::ExtraLarge => {
                (self.pick(amounts("400", "1600Gi", "400Ti"), amounts("8", "16Gi", "64Gi")), 20)
            }
        }
    }

    /// Quota of a catalogue preset.
    pub fn template(self, class: Class) -> Quota {
        match class {
            Class::Small => {
                self.pick(pods(amounts("8", "32Gi", "500Gi"), 80), pods(amounts("300m", "384Mi", "1Gi"), 6))
            }
            Class::Medium => {
                self.pick(pods(amounts("40", "160Gi", "2Ti"), 400), pods(amounts("900m", "768Mi", "3Gi"), 12))
            }
            Class::Large | Class::ExtraLarge => self.pick(
                pods(amounts("120", "480Gi", "12Ti"), 1200),
                pods(amounts("1500m", "1536Mi", "6Gi"), 12),
            ),
        }
    }

    /// What a VDC says itself; the rest comes from its template.
    pub fn vdc(self, vdc: Vdc) -> Quota {
        match vdc {
            Vdc::ServiceHall => {
                let quota = self
                    .pick(pods(amounts("160", "240Gi", "4Ti"), 400), pods(amounts("4", "12Gi", "40Gi"), 144));
                Quota { services: Some(160), ..quota }
            }
            Vdc::CityVideo => {
                Quota { storage: Some(self.pick("240Ti", "9Gi").to_owned()), ..Quota::default() }
            }
            Vdc::Population | Vdc::LegalPersons | Vdc::Licences => Quota::default(),
        }
    }

    /// Pods of the portal and of the approval system, per site.
    pub fn replicas(self) -> u32 {
        self.pick(3, 1)
    }

    /// Cpu and memory of a portal pod.
    pub fn portal(self) -> ReplicaResources {
        self.pick(replica("250m", "256Mi"), replica("20m", "48Mi"))
    }

    /// Cpu and memory of a pod of the approval system.
    pub fn approval(self) -> ReplicaResources {
        self.pick(replica("500m", "512Mi"), replica("20m", "48Mi"))
    }

    /// Cpu and memory of a database, and its volume.
    pub fn database(self) -> (ReplicaResources, &'static str) {
        self.pick((replica("2", "4Gi"), "100Gi"), (replica("50m", "160Mi"), "1Gi"))
    }
}

fn amounts(cpu: &str, memory: &str, storage: &str) -> Quota {
    let text = |text: &str| Some(text.to_owned());
    Quota { cpu: text(cpu), memory: text(memory), storage: text(storage), ..Quota::default() }
}

fn pods(quota: Quota, pods: u32) -> Quota {
    Quota { pods: Some(pods), ..quota }
}

fn replica(cpu: &str, memory: &str) -> ReplicaResources {
    ReplicaResources { cpu: cpu.to_owned(), memory: memory.to_owned() }
}
