//! Labels, annotations, finalizers and fixed names under `yunting.io/`. Nobody but Yunting writes them.

/// Standard label: what made the object. Its value is [`MANAGER`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label of Kubernetes by which an EndpointSlice says who keeps it; ours say [`MANAGER`]. Kubernetes' own take over the labels of
/// their Service, so that [`MANAGED_BY`] says nothing of them.
pub const ENDPOINTS_KEPT_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`].
pub const MANAGER: &str = "yunting";
/// Bureau that owns the object.
pub const BUREAU: &str = "yunting.io/bureau";
/// Name of the VDC the object belongs to. On a Secret of a bureau: the VDC it may be copied into.
pub const VDC: &str = "yunting.io/vdc";
/// Uid of the VDC the object belongs to: what decides, where a name could be taken again.
pub const VDC_UID: &str = "yunting.io/vdc-uid";
/// Name of the hall the object belongs to.
pub const HALL: &str = "yunting.io/hall";
/// Uid of the hall the object belongs to.
pub const HALL_UID: &str = "yunting.io/hall-uid";
/// Component of the hall the object belongs to.
pub const COMPONENT: &str = "yunting.io/component";
/// Network zone of a hall's pod: `Portal`, `Approval` or `Data`.
pub const ZONE: &str = "yunting.io/zone";
/// On a pod of a protected hall, from its creation: uid of its protection group, by whose right its node's gate opens. A
/// pod without it is not protected, so nobody but Yunting may write it or take it off (policy `yunting-object-labels`).
pub const PROTECTION_GROUP: &str = "yunting.io/protection-group";
/// On a namespace with pods of protected halls: nobody runs a command in one past its gate (policy
/// `yunting-ways-into-protected`).
pub const PROTECTED: &str = "yunting.io/protected";
/// On a namespace of a VDC: [`ADMISSION_CLOSED`] or [`ADMISSION_OPEN`].
pub const ADMISSION: &str = "yunting.io/admission";
/// Nothing but Yunting creates anything that runs here.
pub const ADMISSION_CLOSED: &str = "closed";
/// Isolation, quota and policies stand; workloads are admitted.
pub const ADMISSION_OPEN: &str = "open";
/// On a namespace of a VDC: `HallsOnly` or `Direct`.
pub const ACCESS: &str = "yunting.io/access";
/// On a site's hub namespace: which site it is.
pub const SITE: &str = "yunting.io/site";
/// Annotation on a ResourceQuota: which limits are being lowered, and since when each lowered one holds.
pub const LIMITS: &str = "yunting.io/limits";
/// Annotation on a closed namespace: since when, in seconds, while its closing is not complete.
pub const CLOSING: &str = "yunting.io/closing";
/// Annotation: hash of what was last applied, so that an unchanged object is not written again.
pub const DESIRED_HASH: &str = "yunting.io/desired-hash";
/// Annotation on a copied Secret: keyed hash of its content.
pub const SECRET_HASH: &str = "yunting.io/secret-hash";
/// Annotation on a pod template: changes when a Secret or file it reads changes, which rolls the pods.
pub const CONFIG_HASH: &str = "yunting.io/config-hash";
/// Finalizer of kinds whose children live at sites.
pub const FINALIZER: &str = "yunting.io/hub";
/// Hub and site namespace of Yunting itself.
pub const SYSTEM_NAMESPACE: &str = "yunting-system";
/// Permanently closed namespace in which policies are proved before they are relied on.
pub const CANARY_NAMESPACE: &str = "yunting-canary";
/// Namespace of the site's gateway.
pub const GATEWAY_NAMESPACE: &str = "yunting-gateway";
/// Name of the site's Gateway in [`GATEWAY_NAMESPACE`].
pub const GATEWAY: &str = "site";
/// Prefix of users and groups that come from the city's identity provider.
pub const OIDC_PREFIX: &str = "oidc:";
