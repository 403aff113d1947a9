//! How a tenant has to stand after a change: as one that was made so at once. Where what was asked cannot be carried
//! out, what stood before has to stand as before, whole.

use serde_json::{Value, json};
use yunting_tests::mutations::Mutation;
use yunting_tests::plane::dump::{Dump, Line, lines};

use super::base::{HALL, VDC};
use super::differences::{Phase, excused};

/// What an object belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Bureau,
    Vdc,
    Hall,
}

/// The tenant's bureau.
const BUREAU: &str = "hub Bureau /<tenant>";

fn kind(key: &str) -> &str {
    key.split(' ').nth(1).unwrap_or_default()
}

fn of(key: &str, value: &Value) -> Of {
    let label = |name: &str| value.pointer("/labels").and_then(|l| l.get(name)).is_some();
    let spec = |name: &str| value.pointer(&format!("/data/spec/{name}")).is_some_and(|v| !v.is_null());
    let vendors = kind(key) == "RoleBinding" && key.ends_with("/yunting-halls-vendor");
    let of_hall = match kind(key) {
        // The bureau's Secrets and the hub's copies are there for halls, and vendors read where their halls are.
        "Hall" | "HallSlice" | "Secret" => true,
        "SliceRecord" => spec("hall"),
        _ => vendors || label("yunting.io/hall-uid"),
    };
    let of_vdc =
        ["VirtualDataCenter", "VdcSlice", "SliceRecord"].contains(&kind(key)) || label("yunting.io/vdc-uid");
    if of_hall {
        Of::Hall
    } else if of_vdc {
        Of::Vdc
    } else {
        Of::Bureau
    }
}

fn key_of(kind: &str, name: &str) -> String {
    format!("hub {kind} bureau-<tenant>/{name}")
}

fn condition<'a>(dump: &'a Dump, key: &str, type_: &str) -> Option<&'a Value> {
    let conditions = dump.get(key)?.pointer("/data/status/conditions")?.as_array()?;
    conditions.iter().find(|c| c["type"] == type_)
}

/// Whether an object says that it cannot be carried out as it is asked.
fn refused(dump: &Dump, key: &str) -> bool {
    condition(dump, key, "Stalled").is_some_and(|c| c["status"] == "True")
}

/// The dump with the status of an object cut down to what it says of being ready.
fn shortened(mut dump: Dump, key: &str) -> Dump {
    let ready = condition(&dump, key, "Ready").cloned();
    let ready = ready.map(|r| json!({"status": r["status"], "reason": r["reason"]}));
    if let Some(object) = dump.get_mut(key) {
        object["data"]["status"] = json!({"Ready": ready});
    }
    dump
}

/// How the changed tenant is to stand, by how it stood and by how another stands that was made so at once.
struct Wanted {
    dump: Dump,
    /// Objects of which only whether they are ready is compared.
    short: Vec<String>,
}

/// What cannot be carried out as it is asked, as the fresh tenant says.
struct Stays {
    vdc: bool,
    hall: bool,
    /// It is the site that refuses the hall; the hub has taken it, and its slice and Secrets have come through.
    at_site: bool,
}

impl Stays {
    fn of(fresh: &Dump) -> Self {
        let vdc = refused(fresh, &key_of("VirtualDataCenter", VDC));
        let at_site = !vdc && fresh.keys().any(|key| key.starts_with("hub HallSlice "));
        Self { vdc, hall: vdc || refused(fresh, &key_of("Hall", HALL)), at_site }
    }

    /// Whether an object is to be as it was before the change.
    fn keeps(&self, key: &str, value: &Value) -> bool {
        let carried = ["HallSlice", "SliceRecord"].contains(&kind(key)) || key.starts_with("hub Secret ");
        match of(key, value) {
            Of::Bureau => false,
            Of::Vdc => self.vdc && key != key_of("VirtualDataCenter", VDC),
            // A hall in a VDC that stays as it was stays as it was; one that is refused itself says so.
            Of::Hall if self.vdc => true,
            Of::Hall => self.hall && key != key_of("Hall", HALL) && !(self.at_site && carried),
        }
    }
}

/// Whether a tenant that was made so is one whose VDC or hall is not carried out.
pub fn stays(fresh: &Dump) -> bool {
    Stays::of(fresh).hall
}

fn wanted(base: &Dump, fresh: &Dump) -> Wanted {
    let stays = Stays::of(fresh);
    let some = |dump: &Dump, kept: bool| -> Vec<_> {
        let some = dump.iter().filter(|(k, v)| stays.keeps(k, v) == kept);
        some.map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let mut dump: Dump = some(base, true).into_iter().chain(some(fresh, false)).collect();
    let mut short = Vec::new();
    if stays.vdc {
        short.push(key_of("VirtualDataCenter", VDC));
        // What was promised before is promised still.
        for place in ["/data/status/allocated", "/data/status/summary"] {
            let before = base.get(BUREAU).and_then(|b| b.pointer(place)).cloned();
            let now = dump.get_mut(BUREAU).and_then(|b| b.pointer_mut(place));
            if let (Some(before), Some(now)) = (before, now) {
                *now = before;
            }
        }
    } else if stays.hall {
        short.push(key_of("Hall", HALL));
    }
    Wanted { dump, short }
}

/// What is not as it has to be after a change.
pub fn changed(mutation: &Mutation, base: &Dump, one: &Dump, fresh: &Dump) -> Vec<Line> {
    let Wanted { mut dump, short } = wanted(base, fresh);
    let mut found = one.clone();
    for key in &short {
        (dump, found) = (shortened(dump, key), shortened(found, key));
    }
    let all = lines(&dump, &found);
    all.into_iter().filter(|line| !excused(mutation, line, Phase::Changed, [fresh, one])).collect()
}

/// What is not as it was when the field is set back.
pub fn back(mutation: &Mutation, base: &Dump, one: &Dump) -> Vec<Line> {
    let all = lines(base, one);
    all.into_iter().filter(|line| !excused(mutation, line, Phase::Back, [base, one])).collect()
}
