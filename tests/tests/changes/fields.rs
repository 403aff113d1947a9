//! That no field is forgotten: each has a change that is taken, but those that are named here with the reason.

use std::collections::BTreeSet;

use yunting_tests::mutations::{Change, Verdict, changes, fields, foretold, judged};

use super::base;

/// Kinds that people write.
const KINDS: [&str; 5] = ["Site", "Bureau", "VdcTemplate", "VirtualDataCenter", "Hall"];

/// Fields of which no change is taken, and why.
const FIXED: [(&str, &str, &str); 9] = [
    ("Site", "spec.providers.ingress.kind", "Gateway is the only kind there is"),
    ("Bureau", "spec.members[].subject", "needed, and changed by what is in it"),
    ("VdcTemplate", "spec.quota", "needed, and changed by what is in it"),
    ("VdcTemplate", "spec.drReserve.fixed", "goes with the mode, and is changed with it"),
    ("VirtualDataCenter", "spec.drReserve.fixed", "goes with the mode, and is changed with it"),
    ("Hall", "spec.components[].resources", "needed, and changed by what is in it"),
    ("Hall", "spec.portal.component", "the hall has one component of zone Portal"),
    ("Hall", "spec.vdcRef", "cannot be changed"),
    ("Hall", "spec.vdcRef.name", "cannot be changed"),
];

/// Says what there is, and fails when a field of a kind has no change.
pub fn covered() -> Result<(), String> {
    let mut missing = Vec::new();
    for kind in KINDS {
        let object = base::object(kind);
        let (all, found) = (fields(kind), changes(kind, &object));
        let changed: BTreeSet<&String> = found.iter().map(|c| &c.field).collect();
        println!("{kind}: {} fields, {} changes", all.len(), found.len());
        missing.extend(all.iter().filter(|f| !changed.contains(f)).map(|f| format!("{kind} {f}: no change")));
        for field in &all {
            let fixed = FIXED.iter().any(|(k, f, _)| (*k, *f) == (kind, field.as_str()));
            let of_it: Vec<&Change> = found.iter().filter(|c| c.field == *field).collect();
            // Alone first: looking for what else has to be changed takes long.
            let taken = of_it.iter().any(|c| foretold(kind, &object, c) == Some(Verdict::Accepted))
                || of_it
                    .iter()
                    .flat_map(|c| judged(kind, &object, c))
                    .any(|m| m.verdict == Verdict::Accepted);
            if taken == fixed {
                let why = if fixed { "is fixed no more" } else { "no change of it is taken" };
                missing.push(format!("{kind} {field}: {why}"));
            }
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n")) }
}
