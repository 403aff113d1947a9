//! What a pod counts as at the boundary.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sha2::{Digest, Sha256};
use yunting_crds::labels;
use yunting_crds::names::ComponentName;
use yunting_crds::vdc::Access;

use super::{Facts, Platform, Pod};
use crate::hall::{ValidComponent, ValidHallSlice};
use crate::vdc::{Uid, ValidVdcSlice};

/// What a pod counts as. Pods of one class may do the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A component of a hall.
    Component {
        /// Uid of the hall.
        hall: Uid,
        /// The component.
        component: ComponentName,
    },
    /// A component of a hall at another site. It may do less than the same one here: call what is exported, and nothing
    /// else.
    Abroad {
        /// Uid of the hall.
        hall: Uid,
        /// The component.
        component: ComponentName,
    },
    /// Whatever runs in the `Direct` namespaces of a VDC.
    Direct {
        /// Uid of the VDC.
        vdc: Uid,
    },
}

/// A class as the kernel is told of it: neither of the two numbers that mean something to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(u32);

/// "No class": what a packet of somebody unknown carries.
const NONE: u32 = 0;
/// The root of a queueing discipline.
const ROOT: u32 = u32::MAX;

impl fmt::Display for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:{:x}", self.0 >> 16, self.0 & 0xffff)
    }
}

/// What a pod is to the boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    /// A component's.
    Component(&'a ValidVdcSlice, &'a ValidHallSlice, &'a ValidComponent),
    /// In a `Direct` namespace.
    Direct(&'a ValidVdcSlice),
    /// The platform's.
    Platform(Platform),
    /// Nobody's: it has no network.
    Unknown,
}

impl Seen<'_> {
    /// Its class, where it has one.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Component(_, hall, c) => {
                Some(Class::Component { hall: hall.uid.clone(), component: c.name.clone() })
            }
            Self::Direct(vdc) => Some(Class::Direct { vdc: vdc.owner.uid.clone() }),
            Self::Platform(_) | Self::Unknown => None,
        }
    }
}

/// Finds out what pods are.
pub struct Classes<'a> {
    platform: &'a BTreeSet<String>,
    namespaces: BTreeMap<&'a str, (&'a ValidVdcSlice, Access)>,
    halls: BTreeMap<&'a str, &'a ValidHallSlice>,
    ids: BTreeMap<Class, ClassId>,
}

impl<'a> Classes<'a> {
    /// Of these facts.
    pub fn new(facts: &'a Facts) -> Self {
        let namespaces = facts
            .vdcs
            .iter()
            .flat_map(|vdc| vdc.namespaces.iter().map(move |n| (n.at_site.as_str(), (vdc, n.access))));
        let direct = facts.vdcs.iter().map(|vdc| Class::Direct { vdc: vdc.owner.uid.clone() });
        let components = facts.halls.iter().flat_map(|hall| {
            let class =
                |c: &ValidComponent| Class::Component { hall: hall.uid.clone(), component: c.name.clone() };
            hall.components.iter().map(class).collect::<Vec<_>>()
        });
        let abroad = facts.halls.iter().filter(|h| !h.elsewhere.is_empty()).flat_map(|hall| {
            let class =
                |c: &ValidComponent| Class::Abroad { hall: hall.uid.clone(), component: c.name.clone() };
            hall.components.iter().map(class).collect::<Vec<_>>()
        });
        Self {
            platform: &facts.platform,
            namespaces: namespaces.collect(),
            halls: facts.halls.iter().map(|h| (h.uid.as_str(), h)).collect(),
            ids: ids(direct.chain(components).chain(abroad).collect()),
        }
    }

    /// What a pod is. The namespace decides whose it is; labels only say which component of that VDC's.
    pub fn of(&self, pod: &Pod) -> Seen<'a> {
        if let Some((vdc, access)) = self.namespaces.get(pod.namespace.as_str()) {
            return match access {
                Access::Direct => Seen::Direct(vdc),
                Access::HallsOnly => self.component(vdc, pod).unwrap_or(Seen::Unknown),
            };
        }
        if self.platform.contains(&pod.namespace) { Seen::Platform(platform(pod)) } else { Seen::Unknown }
    }

    fn component(&self, vdc: &'a ValidVdcSlice, pod: &Pod) -> Option<Seen<'a>> {
        let hall = self.halls.get(pod.hall_uid.as_deref()?).filter(|h| h.owner.uid == vdc.owner.uid)?;
        let named = pod.component.as_deref()?;
        let c = hall.components.iter().find(|c| c.name.as_str() == named && c.namespace == pod.namespace)?;
        Some(Seen::Component(vdc, hall, c))
    }

    /// Number of a class of these facts.
    pub fn id(&self, class: &Class) -> Option<ClassId> {
        self.ids.get(class).copied()
    }
}

/// What a pod of the platform is for.
fn platform(pod: &Pod) -> Platform {
    if pod.namespace == labels::GATEWAY_NAMESPACE {
        Platform::Gateway
    } else if pod.namespace == "kube-system" && pod.app.as_deref() == Some("kube-dns") {
        Platform::Dns
    } else {
        Platform::Other
    }
}

/// Numbers by hash, so that they stay when others come and go and after a restart; where two meet, the later one in
/// order takes the next that is free.
fn ids(classes: BTreeSet<Class>) -> BTreeMap<Class, ClassId> {
    let mut taken = BTreeSet::from([NONE, ROOT]);
    let mut ids = BTreeMap::new();
    for class in classes {
        let mut id = hash(&class);
        while !taken.insert(id) {
            id = id.wrapping_add(1);
        }
        ids.insert(class, ClassId(id));
    }
    ids
}

fn hash(class: &Class) -> u32 {
    let text = match class {
        Class::Component { hall, component } => format!("component/{}/{component}", hall.as_str()),
        Class::Abroad { hall, component } => format!("abroad/{}/{component}", hall.as_str()),
        Class::Direct { vdc } => format!("direct/{}", vdc.as_str()),
    };
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    u32::from_be_bytes([a, b, c, d])
}
