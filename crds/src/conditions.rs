//! Condition types and reasons, and the one rule by which a condition list changes.
//!
//! `lastTransitionTime` moves only when the status flips: otherwise each pass would write a new value,
//! wake our own watch and spin.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Summary of every kind: true only when it is.
pub const READY: &str = "Ready";
/// Work towards the current generation is under way (kstatus: InProgress).
pub const RECONCILING: &str = "Reconciling";
/// Only a change of the spec or of another object can help (kstatus: Failed).
pub const STALLED: &str = "Stalled";
/// A place was found for everything asked.
pub const SCHEDULED: &str = "Scheduled";
/// Every site's quota stands and is enforced.
pub const QUOTA_ENFORCED: &str = "QuotaEnforced";
/// No packet enters or leaves but as declared.
pub const NETWORK_ISOLATED: &str = "NetworkIsolated";
/// Every volume is encrypted with the VDC's own key.
pub const VOLUMES_ENCRYPTED: &str = "VolumesEncrypted";
/// The site's key opens a replica's key.
pub const KEY_READY: &str = "KeyReady";
/// Traffic between sites is encrypted.
pub const TRANSPORT_ENCRYPTED: &str = "TransportEncrypted";
/// The VDC is frozen: nothing new is admitted.
pub const FROZEN: &str = "Frozen";
/// A DELETE would be accepted.
pub const DELETABLE: &str = "Deletable";
/// Everything at the site is gone; the hub may remove the slice.
pub const GONE: &str = "Gone";
/// A hall found its sites.
pub const PLACED: &str = "Placed";
/// A probe through the front door was answered.
pub const REACHABLE: &str = "Reachable";
/// Each of a hall's volumes has a replica at another site that could be activated, within the objective.
pub const REPLICATED: &str = "Replicated";
/// Components of a hall that are called at another site answer there, through the tunnel between the sites.
pub const CALLS_CONNECTED: &str = "CallsConnected";
/// The loss of the active site loses nothing.
pub const PROTECTED: &str = "Protected";
/// A site's beat is fresh.
pub const CONNECTED: &str = "Connected";
/// Every API server of the site enforces Yunting's policies.
pub const POLICIES_ENFORCED: &str = "PoliciesEnforced";
/// The site believes the hub when it says that something is to go.
pub const HUB_BELIEVED: &str = "HubBelieved";
/// Each node of a site has a gate for protected pods that does what it is for.
pub const GATE_ARMED: &str = "GateArmed";

/// Reasons, each used as the field's standard meaning says.
pub mod reason {
    /// Nobody has looked yet.
    pub const PENDING: &str = "Pending";
    /// All is as asked.
    pub const AS_ASKED: &str = "AsAsked";
    /// Work goes on.
    pub const IN_PROGRESS: &str = "InProgress";
    /// A probe showed it.
    pub const VERIFIED: &str = "Verified";
    /// Objects exist; no probe showed their effect.
    pub const CONFIGURED: &str = "Configured";
    /// At this site there is nothing that could be probed now. Only slices say it.
    pub const NOTHING_OPEN: &str = "NothingOpen";
    /// Nothing of it crosses the border of a site, so there is nothing to encrypt.
    pub const NOTHING_CROSSES: &str = "NothingCrosses";
    /// A probe showed that it does not hold.
    pub const BROKEN: &str = "Broken";
    /// Nothing at the site enforces it.
    pub const PROVIDER_MISSING: &str = "ProviderMissing";
    /// The site's beat is stale: nothing is known about now.
    pub const SITE_SILENT: &str = "SiteSilent";
    /// The slice has not been observed at the generation asked.
    pub const NOT_OBSERVED: &str = "NotObserved";
    /// The spec cannot be carried out as it stands.
    pub const INVALID: &str = "Invalid";
    /// No site, or not enough sites, fit.
    pub const NO_PLACE: &str = "NoPlace";
    /// A limit of VDC, bureau, parent or site would be passed.
    pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
    /// Use is above a lowered limit; nothing is stopped, nothing grows.
    pub const OVER_LIMIT: &str = "OverLimit";
    /// A referenced object does not exist or may not be used.
    pub const REFERENCE: &str = "ReferenceInvalid";
    /// A derived name is taken by another identity; never adopted.
    pub const NAME_COLLISION: &str = "NameCollision";
    /// Nobody is answered through the front door.
    pub const UNREACHABLE: &str = "Unreachable";
    /// A host is claimed by an older hall.
    pub const HOST_CONFLICT: &str = "HostConflict";
    /// No complete replica stands by.
    pub const REPLICATION_MISSING: &str = "ReplicationMissing";
    /// The newest point at the other site is older than the objective.
    pub const REPLICATION_BEHIND: &str = "ReplicationBehind";
    /// The other site goes on with a volume of its own.
    pub const DIVERGENT: &str = "Divergent";
    /// Its volume is not at its site any more: what is kept are the last points.
    pub const VOLUME_GONE: &str = "VolumeGone";
    /// No key is given, or it does not open.
    pub const KEY_REFUSED: &str = "KeyRefused";
    /// There is no tunnel between two sites, and nothing crosses without one.
    pub const TUNNEL_MISSING: &str = "TunnelMissing";
    /// One site only was asked for.
    pub const SINGLE_SITE: &str = "SingleSite";
    /// The bureau that shares a service has not accepted the grant.
    pub const NOT_ACCEPTED: &str = "NotAccepted";
    /// No service of that name is shared with the bureau that asks.
    pub const NOT_SHARED: &str = "NotShared";
    /// The time of a grant, or of its acceptance, is over.
    pub const EXPIRED: &str = "Expired";
    /// The bureau that asked has withdrawn.
    pub const WITHDRAWN: &str = "Withdrawn";
    /// Consumer and service run at different sites, and grants do not lead from one to another.
    pub const SITE_APART: &str = "SiteApart";
    /// The object is being removed.
    pub const DELETING: &str = "Deleting";
    /// The VDC it needs is not ready.
    pub const VDC_NOT_READY: &str = "VdcNotReady";
    /// Carrying out failed; it is tried again.
    pub const APPLY_FAILED: &str = "ApplyFailed";
    /// The hub knows too few of a site's records to be believed when it says that something is to go.
    pub const HUB_LOST_RECORDS: &str = "HubLostRecords";
    /// The lifecycle state says so.
    pub const LIFECYCLE: &str = "Lifecycle";
}

/// Three-valued status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// `True`.
    True,
    /// `False`.
    False,
    /// `Unknown`: nothing is known; never to be read as either.
    Unknown,
}

impl State {
    /// As written in a condition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for State {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// What is said of one condition, without times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Condition type.
    pub type_: &'static str,
    /// Its status.
    pub state: State,
    /// CamelCase reason from [`reason`].
    pub reason: &'static str,
    /// What a person should know, with the remedy where there is one; cut at 1024 characters.
    pub message: String,
}

/// Says one thing.
pub fn say(type_: &'static str, state: State, reason: &'static str, message: impl Into<String>) -> Statement {
    Statement { type_, state, reason, message: message.into() }
}

/// Longest message kept, in characters.
const MESSAGE_MAX: usize = 1024;

/// Turns statements into conditions. Times are taken from `before` unless the status flipped; conditions
/// that are no longer stated go; the order is that of the types' names, so equal input gives equal output.
pub fn conditions(
    before: &[Condition],
    statements: &[Statement],
    generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    let mut list: Vec<Condition> = statements.iter().map(|s| condition(before, s, generation, now)).collect();
    list.sort_by(|a, b| a.type_.cmp(&b.type_));
    list
}

fn condition(before: &[Condition], s: &Statement, generation: Option<i64>, now: &Time) -> Condition {
    let since = before
        .iter()
        .find(|c| c.type_ == s.type_ && c.status == s.state.as_str())
        .map_or_else(|| now.clone(), |c| c.last_transition_time.clone());
    Condition {
        type_: s.type_.to_owned(),
        status: s.state.as_str().to_owned(),
        reason: s.reason.to_owned(),
        message: s.message.chars().take(MESSAGE_MAX).collect(),
        last_transition_time: since,
        observed_generation: generation,
    }
}

/// Status of a condition; a missing one is `Unknown`.
pub fn state_of(conditions: &[Condition], type_: &str) -> State {
    match conditions.iter().find(|c| c.type_ == type_).map(|c| c.status.as_str()) {
        Some("True") => State::True,
        Some("False") => State::False,
        _ => State::Unknown,
    }
}

/// The condition of that type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}
