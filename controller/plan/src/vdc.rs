//! What a VDC becomes at a site: a checked slice in, objects in the order of their application out.
//!
//! Owns: the check of a slice at the site, which never trusts that the hub checked.
//! Must never: say when something is written; that is the reconciler's.

pub mod access;
pub mod admission;
pub mod cidr;
pub mod drivers;
pub mod encryption;
pub mod isolation;
pub mod namespace;
pub mod network;
pub mod quota;
pub mod storage;
#[cfg(test)]
pub(crate) mod tests;
pub mod transport;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use yunting_crds::common::{InvalidField, Role, SubjectKind};
use yunting_crds::labels;
use yunting_crds::names::{
    BureauName, HallName, InvalidName, NamespaceName, SiteName, VdcName, site_namespace,
};
use yunting_crds::resources::{Amounts, Kind};
use yunting_crds::site::NetworkKind;
use yunting_crds::vdc::{Access, IngressSource, KeyProvider, LifecycleState, Transport};
use yunting_crds::vdc_slice::{SliceNamespace, VdcSliceSpec};

use crate::object::Object;
use access::Residents;
use admission::Admission;
use cidr::{InvalidNetwork, Network};

/// What a site knows of itself when it plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteFacts {
    /// The site.
    pub site: SiteName,
    /// Addresses that no pod of a VDC may call, whatever was declared: nodes, API servers. The metadata address
    /// is always among them.
    pub forbidden: BTreeSet<Network>,
    /// Halls with something in the namespaces of the VDC that is planned.
    pub residents: Residents,
}

impl SiteFacts {
    /// A site of which nothing but its name is known.
    pub fn new(site: SiteName) -> Self {
        Self { site, forbidden: BTreeSet::from([Network::METADATA]), residents: Residents::default() }
    }
}

/// Whose objects they are: what decides wherever a name could be taken again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// Bureau.
    pub bureau: BureauName,
    /// VDC.
    pub vdc: VdcName,
    /// Uid of the VDC.
    pub uid: Uid,
}

impl Owner {
    /// Labels of everything that belongs to the VDC.
    pub fn labels(&self) -> BTreeMap<String, String> {
        [
            (labels::MANAGED_BY, labels::MANAGER),
            (labels::BUREAU, self.bureau.as_str()),
            (labels::VDC, self.vdc.as_str()),
            (labels::VDC_UID, self.uid.as_str()),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
    }

    fn metadata(&self, name: &str, namespace: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(self.labels()),
            ..ObjectMeta::default()
        }
    }
}

/// A uid as an API server gives it: safe in names and labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(String);

impl Uid {
    /// Checks and takes a uid.
    pub fn new(value: &str) -> Result<Self, InvalidUid> {
        let digits = value.chars().filter(char::is_ascii_hexdigit).count();
        let known = value.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b) || b == b'-');
        if known && digits >= 8 && value.len() <= 63 && !value.starts_with('-') && !value.ends_with('-') {
            Ok(Self(value.to_owned()))
        } else {
            Err(InvalidUid(value.chars().take(80).collect()))
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that no API server gave as uid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no uid: at least 8 and at most 63 of 0-9, a-f and '-'")]
pub struct InvalidUid(String);

/// A namespace of a VDC at a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidNamespace {
    /// Name within the VDC.
    pub name: NamespaceName,
    /// Name at the site.
    pub at_site: String,
    /// Who creates workloads in it.
    pub access: Access,
    /// Its share of the quota: cpu, memory and pods are always named.
    pub quota: Amounts,
}

/// A network outside and its ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// The network.
    pub network: Network,
    /// TCP ports; empty: all.
    pub ports: BTreeSet<u16>,
}

/// A person or group with a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValidMember {
    /// What they may do.
    pub role: Role,
    /// `User` or `Group`.
    pub kind: SubjectKind,
    /// Name with the prefix of the identity provider.
    pub subject: String,
    /// Halls that an `AppVendor` works for.
    pub halls: BTreeSet<HallName>,
}

/// A slice that was checked at the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidVdcSlice {
    /// Whose it is.
    pub owner: Owner,
    /// Life of the VDC.
    pub state: LifecycleState,
    /// Its namespaces.
    pub namespaces: Vec<ValidNamespace>,
    /// Cpu that may be limited per cpu that may be asked, in percent.
    pub overcommit_cpu: u32,
    /// Networks outside that pods may call.
    pub egress: Vec<Egress>,
    /// The site's front door may call components of zone `Portal`.
    pub portal: bool,
    /// Networks from which the front door calls, besides its own namespace.
    pub gateway_networks: BTreeSet<Network>,
    /// Services of type LoadBalancer may be made.
    pub load_balancer: bool,
    /// StorageClass that volumes use.
    pub storage_class: Option<String>,
    /// How that class encrypts volumes.
    pub encrypts: storage::Encrypts,
    /// What a key of the VDC is with the driver of that class, for people.
    pub encrypts_how: &'static str,
    /// Where the keys of its volumes are.
    pub keys: KeyProvider,
    /// Who enforces the network boundary.
    pub network: NetworkKind,
    /// Whether traffic between sites must be encrypted.
    pub transport: Transport,
    /// People of the bureau, sorted, each once.
    pub members: BTreeSet<ValidMember>,
}

/// Why a slice cannot be carried out: field, value, limit and remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A name is none.
    #[error("spec.{field}: {source}")]
    Name {
        /// Which field.
        field: String,
        /// Why.
        source: InvalidName,
    },
    /// A uid is none.
    #[error("spec.source.uid: {0}")]
    Uid(#[from] InvalidUid),
    /// A quantity is none.
    #[error("spec.namespaces[{namespace}].quota.{source}")]
    Quantity {
        /// Which namespace.
        namespace: String,
        /// Why.
        source: InvalidField,
    },
    /// A limit that must be given is not.
    #[error("spec.namespaces[{namespace}].quota.{kind} is missing; cpu, memory and pods must be limited")]
    Unlimited {
        /// Which namespace.
        namespace: String,
        /// What is not limited.
        kind: Kind,
    },
    /// Two namespaces have one name.
    #[error("spec.namespaces names {0:?} twice; give each namespace a name of its own")]
    Twice(String),
    /// A network is none, or may never be called.
    #[error("spec.{field}: {source}")]
    Network {
        /// Which field.
        field: String,
        /// Why.
        source: InvalidNetwork,
    },
    /// A member that could be a part of the system.
    #[error(
        "spec.members names {0:?}; a member is a user or group of the identity provider and begins with neither 'system:' nor 'yunting:'"
    )]
    Member(String),
    /// The StorageClass is not a name.
    #[error(
        "spec.storageClass {0:?} is no name of a StorageClass; use lower-case letters, digits, '-' and '.'"
    )]
    StorageClass(String),
}

impl TryFrom<&VdcSliceSpec> for ValidVdcSlice {
    type Error = Invalid;

    fn try_from(spec: &VdcSliceSpec) -> Result<Self, Invalid> {
        let name = |field: &str| {
            let field = field.to_owned();
            move |source| Invalid::Name { field, source }
        };
        let owner = Owner {
            bureau: BureauName::new(&spec.source.bureau).map_err(name("source.bureau"))?,
            vdc: VdcName::new(&spec.source.name).map_err(name("source.name"))?,
            uid: Uid::new(&spec.source.uid)?,
        };
        let storage_class = spec.storage_class.as_deref().map(storage::class).transpose()?;
        let ingress = spec.providers.ingress.as_ref();
        Ok(Self {
            state: spec.state,
            namespaces: namespaces(&owner, &spec.namespaces)?,
            owner,
            overcommit_cpu: spec.overcommit_percent.cpu.max(100),
            egress: egress(spec)?,
            portal: spec.isolation.ingress_from.contains(&IngressSource::Portal),
            gateway_networks: ingress
                .iter()
                .flat_map(|i| &i.source_cidrs)
                .map(|c| {
                    c.parse().map_err(|source| Invalid::Network {
                        field: "providers.ingress.sourceCidrs".to_owned(),
                        source,
                    })
                })
                .collect::<Result<_, _>>()?,
            load_balancer: spec.isolation.allow_load_balancer,
            encrypts: storage::encrypts(&spec.providers, storage_class.as_deref()),
            encrypts_how: drivers::meaning(storage::driver(&spec.providers, storage_class.as_deref())),
            storage_class,
            keys: spec.key_provider,
            network: spec.providers.network.kind,
            transport: spec.transport,
            members: members(spec)?,
        })
    }
}

fn namespaces(owner: &Owner, list: &[SliceNamespace]) -> Result<Vec<ValidNamespace>, Invalid> {
    let mut seen = BTreeSet::new();
    list.iter()
        .map(|n| {
            let at = n.name.chars().take(40).collect::<String>();
            let name = NamespaceName::new(&n.name)
                .map_err(|source| Invalid::Name { field: "namespaces[].name".to_owned(), source })?;
            if !seen.insert(name.clone()) {
                return Err(Invalid::Twice(at));
            }
            let quota =
                n.quota.amounts().map_err(|source| Invalid::Quantity { namespace: at.clone(), source })?;
            for kind in [Kind::Cpu, Kind::Memory, Kind::Pods] {
                if quota.get(kind).is_none() {
                    return Err(Invalid::Unlimited { namespace: at, kind });
                }
            }
            let at_site = site_namespace(&owner.vdc, &name, owner.uid.as_str());
            Ok(ValidNamespace { name, at_site, access: n.access, quota })
        })
        .collect()
}

fn egress(spec: &VdcSliceSpec) -> Result<Vec<Egress>, Invalid> {
    let rule = |(i, r): (usize, &yunting_crds::vdc::EgressRule)| {
        let fail = |source| Invalid::Network { field: format!("isolation.egress[{i}].cidr"), source };
        let network: Network = r.cidr.parse().map_err(fail)?;
        if Network::METADATA.contains(&network) || network.prefix() == 0 {
            return Err(fail(InvalidNetwork::Never(r.cidr.clone())));
        }
        Ok(Egress { network, ports: r.ports.iter().copied().collect() })
    };
    spec.isolation.egress.iter().enumerate().map(rule).collect()
}

fn members(spec: &VdcSliceSpec) -> Result<BTreeSet<ValidMember>, Invalid> {
    spec.members
        .iter()
        .map(|m| {
            let name = m.subject.name.as_str();
            let reserved = name.starts_with("system:") || name.starts_with("yunting:");
            if name.is_empty()
                || name.len() > 512
                || reserved
                || name.chars().any(|c| c.is_whitespace() || c.is_control())
            {
                return Err(Invalid::Member(name.chars().take(80).collect()));
            }
            let hall = |h: &String| {
                HallName::new(h)
                    .map_err(|source| Invalid::Name { field: "members[].halls".to_owned(), source })
            };
            Ok(ValidMember {
                role: m.role,
                kind: m.subject.kind,
                subject: format!("{}{name}", labels::OIDC_PREFIX),
                halls: m.halls.iter().map(hall).collect::<Result<_, _>>()?,
            })
        })
        .collect()
}

/// What a stage is for. The order is that of application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Namespaces, closed until all else stands.
    Namespaces,
    /// Nothing enters or leaves. A namespace without it closes.
    Isolation,
    /// What may be used. A namespace without it closes.
    Limits,
    /// What may enter and leave after all.
    Openings,
    /// What people may do.
    Access,
}

/// An object of a VDC and its stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Staged {
    /// When it is applied.
    pub stage: Stage,
    /// What.
    pub object: Object,
}

/// Every object of the VDC at the site, in order of application. Namespaces that `admissions` does not name are closed.
pub fn vdc_objects(
    slice: &ValidVdcSlice,
    site: &SiteFacts,
    admissions: &BTreeMap<String, Admission>,
) -> Vec<Staged> {
    let staged = |stage: Stage| move |object: Object| Staged { stage, object };
    let mut all = Vec::new();
    for n in &slice.namespaces {
        let admission = admissions.get(&n.at_site).copied().unwrap_or(Admission::Closed);
        all.push(staged(Stage::Namespaces)(namespace::object(slice, n, admission)));
    }
    for n in &slice.namespaces {
        all.push(staged(Stage::Isolation)(network::default_deny(slice, n)));
        all.extend(quota::objects(slice, n).into_iter().map(staged(Stage::Limits)));
        all.extend(network::openings(slice, n, site).into_iter().map(staged(Stage::Openings)));
        all.extend(access::bindings(slice, n, &site.residents).into_iter().map(staged(Stage::Access)));
    }
    all.sort_by_key(|s| s.stage);
    all
}
