//! Where history may show: what stands after a change, or after its return, and is not there when it is made so at
//! once. Each entry has its reason; nothing else is let pass.

use serde_json::Value;
use yunting_tests::mutations::Mutation;
use yunting_tests::plane::dump::{Dump, Line};

use super::base::HALL;

/// When it is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// After the change, against a tenant that was made so.
    Changed,
    /// After its return, against how it was.
    Back,
}

/// A line, and what is known around it.
struct Seen<'a> {
    mutation: &'a Mutation,
    line: &'a Line,
    phase: Phase,
    wanted: &'a Dump,
    found: &'a Dump,
}

/// An entry: what it is, and why it may be.
struct Difference {
    /// For who reads the code; a test's output does not need it.
    _reason: &'static str,
    is: fn(&Seen<'_>) -> bool,
}

const ALL: [Difference; 16] = [
    Difference {
        _reason: "a VDC remembers, until its certificate says it, which sites it has left and what became of its keys there",
        is: |s| s.kind() == "VirtualDataCenter" && s.place("/data/status/leftSites"),
    },
    Difference {
        _reason: "a namespace that a VDC no longer names is closed and kept, with what is in it: it may be data",
        is: |s| s.left_namespace(),
    },
    Difference {
        _reason: "others get the room of such a namespace when it is empty, and it is said which one holds it",
        is: |s| {
            let said =
                ["VdcSlice", "VirtualDataCenter"].contains(&s.kind()) && s.place("/data/status/conditions");
            let limit = s.kind() == "ResourceQuota" && s.place("/data/spec/hard");
            s.phase == Phase::Changed && s.about("spec.namespaces") && (said || limit)
        },
    },
    Difference {
        _reason: "such a namespace is shown in status, and a hall that is still there says that it is no namespace any more",
        is: |s| {
            s.about("spec.namespaces")
                && (s.place("/data/status/namespaces")
                    || s.place("/data/status/sites/0/namespaces")
                    || s.kind() == "HallSlice" && s.place("/data/status"))
        },
    },
    Difference {
        _reason: "claims outlive what used them: they hold data, and keep the labels they were born with",
        is: |s| {
            let kept = s.too_much() || s.place("/labels");
            s.kind() == "PersistentVolumeClaim" && kept && s.about("spec.components")
        },
    },
    Difference {
        _reason: "claims of a class that the site lost are still there, and none are made without a class",
        is: |s| {
            let lost = s.about("spec.providers.storage") || s.mutation.field == "spec.providers";
            lost && s.kind() == "PersistentVolumeClaim"
        },
    },
    Difference {
        _reason: "a generated Secret is the bureau's and outlives the hall's wish for it",
        is: |s| s.line.key.starts_with("hub Secret bureau-") && s.too_much() && s.about("spec.components"),
    },
    Difference {
        _reason: "such a Secret is still there to refer to when it is no longer to be generated; one made so has none",
        is: |s| {
            let hall = s.kind() == "Hall" && s.place("/data/status/Ready");
            let names = ["/component/secretRefs/", "/component/env"].iter().any(|p| s.line.place.contains(p));
            let slice = ["HallSlice", "SliceRecord"].contains(&s.kind()) && names;
            let workloads = ["Deployment", "StatefulSet"];
            let workload = workloads.contains(&s.kind()) && s.place("/data/spec/template");
            let comes = hall_says(s.wanted, "ReferenceInvalid") && !hall_says(s.found, "ReferenceInvalid");
            let about = s.phase == Phase::Changed && s.about("secretRefs[].generate");
            about && comes && (hall || slice || workload)
        },
    },
    Difference {
        _reason: "keys are made when a generated Secret is made; what a bureau has is not added to",
        is: |s| s.kind() == "Secret" && s.line.place.starts_with("/data/keys") && s.about("secretRefs"),
    },
    Difference {
        _reason: "a bureau's quota below what it has given stops nothing: its VDC stays as it is, one made then is refused",
        is: |s| {
            let bureau_or_vdc = ["Bureau", "VirtualDataCenter"].contains(&s.kind());
            s.phase == Phase::Changed
                && s.mutation.kind == "Bureau"
                && s.about("spec.quota")
                && bureau_or_vdc
                && s.place("/data/status")
        },
    },
    Difference {
        _reason: "what runs in a frozen VDC stays, only what is new is refused",
        is: |s| {
            s.phase == Phase::Changed
                && s.kind() == "Hall"
                && s.place("/data/status")
                && s.about("spec.lifecycle.state")
        },
    },
    Difference {
        _reason: "load decides how many there are: a start is for what is made anew, and a lower floor ends nothing",
        is: |s| {
            let about = s.about("components[].autoscaling") || s.about("components[].replicas");
            let counted = ["HallSlice", "Hall"].contains(&s.kind()) && s.counts_pods();
            let workload = s.line.key.ends_with("/<desk-back>") && s.place("/data/spec/replicas");
            about && s.follows_load() && (counted || s.kind() == "Deployment" && workload)
        },
    },
    Difference {
        _reason: "a site with less room than it has promised, or a cordoned one, ends nothing: who is there stays, who comes \
                  has no place",
        is: |s| {
            let ready = s.place("/data/status/Ready") && s.kind() == "VirtualDataCenter";
            let stays = s.says(s.found, "Ready", "True", None);
            let comes = s.says(s.wanted, "Ready", "False", Some("NoPlace"));
            let cordoned = s.about("spec.state") && s.mutation.spec["state"] == "Cordoned";
            let site = s.phase == Phase::Changed && s.mutation.kind == "Site";
            site && (s.about("spec.capacity") || cordoned) && ready && stays && comes
        },
    },
    Difference {
        _reason: "a hall with volumes stays as it was when its namespace becomes Direct; its vendor, who would read what \
                  others have there, does not",
        is: |s| {
            let binding = s.kind() == "RoleBinding" && s.line.key.ends_with("/yunting-halls-vendor");
            s.phase == Phase::Changed && binding && s.line.text.starts_with("missing") && s.became_direct()
        },
    },
    Difference {
        _reason: "a VDC that has its place and asks for more than there is room for is told the limit, one that comes so has no place",
        is: |s| {
            let reason = s.place("/data/status/Ready/reason") && s.kind() == "VirtualDataCenter";
            let told = s.says(s.found, "Ready", "False", Some("QuotaExceeded"));
            let comes = s.says(s.wanted, "Ready", "False", Some("NoPlace"));
            s.phase == Phase::Changed && s.about("spec.quota") && reason && told && comes
        },
    },
    Difference {
        _reason: "what stands above a limit that was lowered goes on, and that it is above is said",
        is: |s| {
            let above = s.says(s.found, "QuotaEnforced", "False", Some("OverLimit"));
            s.phase == Phase::Changed && s.about("spec.quota") && s.in_condition("QuotaEnforced") && above
        },
    },
];

/// Whether a difference is one of those that may be.
pub fn excused(mutation: &Mutation, line: &Line, phase: Phase, [wanted, found]: [&Dump; 2]) -> bool {
    let seen = Seen { mutation, line, phase, wanted, found };
    ALL.iter().any(|d| (d.is)(&seen))
}

fn says(dump: &Dump, key: &str, type_: &str, status: &str, reason: Option<&str>) -> bool {
    let conditions = dump.get(key).and_then(|o| o.pointer("/data/status/conditions"));
    let mut all = conditions.and_then(Value::as_array).into_iter().flatten();
    let said = |c: &Value| c["status"] == status && reason.is_none_or(|r| c["reason"] == r);
    all.any(|c| c["type"] == type_ && said(c))
}

/// Whether the tenant's hall is not ready for this reason.
fn hall_says(dump: &Dump, reason: &str) -> bool {
    says(dump, &format!("hub Hall bureau-<tenant>/{HALL}"), "Ready", "False", Some(reason))
}

impl Seen<'_> {
    fn kind(&self) -> &str {
        self.line.key.split(' ').nth(1).unwrap_or_default()
    }

    fn about(&self, field: &str) -> bool {
        self.mutation.field.contains(field)
    }

    fn place(&self, prefix: &str) -> bool {
        self.line.place.starts_with(prefix)
    }

    /// The component that grows with load does so as it is asked now.
    fn follows_load(&self) -> bool {
        let now = &self.mutation.spec["components"][1]["autoscaling"];
        self.phase == Phase::Back || now.is_object()
    }

    /// It is about how many pods of that component there are, or of all.
    fn counts_pods(&self) -> bool {
        let sums = [
            "/data/status/replicaSummary",
            "/data/status/sites/0/readyReplicas",
            "/data/status/sites/0/replicas",
        ];
        sums.iter().any(|place| self.place(place)) || self.place("/data/status/components/1/")
    }

    /// Whether the object that the line is about says this of itself, where nothing of its status was cut away.
    fn says(&self, dump: &Dump, type_: &str, status: &str, reason: Option<&str>) -> bool {
        says(dump, &self.line.key, type_, status, reason)
    }

    /// The line is about this condition.
    fn in_condition(&self, type_: &str) -> bool {
        let index = self.line.place.strip_prefix("/data/status/conditions/");
        let index = index.and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let place = format!("/data/status/conditions/{index}/type");
        let is = |dump: &Dump| {
            dump.get(&self.line.key).and_then(|o| o.pointer(&place)).is_some_and(|t| t == type_)
        };
        !index.is_empty() && is(self.found) && is(self.wanted)
    }

    fn too_much(&self) -> bool {
        self.line.text.starts_with("too much")
    }

    /// The namespace that it is in is asked to be Direct.
    fn became_direct(&self) -> bool {
        let place = self.line.key.split(' ').nth(2).unwrap_or_default();
        let asked = self.mutation.spec["namespaces"].as_array().into_iter().flatten();
        let mut direct = asked.filter(|n| n["access"] == "Direct").filter_map(|n| n["name"].as_str());
        self.about("spec.namespaces") && direct.any(|name| place.contains(&format!("-{name}-")))
    }

    /// It is a namespace that the VDC named once, closed, or something in it.
    fn left_namespace(&self) -> bool {
        if !self.too_much() || !self.about("spec.namespaces") {
            return false;
        }
        let name = self.line.key.split(' ').nth(2).map(|place| place.trim_start_matches('/'));
        let name = name.and_then(|place| place.split('/').next()).unwrap_or_default();
        let namespace = self.found.get(&format!("site Namespace /{name}"));
        let admission = namespace.and_then(|n| n.pointer("/labels")?.get("yunting.io/admission"));
        admission.and_then(Value::as_str) == Some("closed")
    }
}
