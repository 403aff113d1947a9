//! Which changes are made: all, or a sample by the seed in which every kind has its part, and those that take something
//! away.

use serde_json::Value;
use yunting_faults::dice;
use yunting_tests::mutations::{Change, Mutation, TOKEN, Verdict, changes, judged};

use super::stage::Plan;
use super::{base, leaving};

/// Changes of a kind, parted by what is foretold of them.
#[derive(Default)]
pub struct Chosen {
    /// Those that an API server takes.
    pub taken: Vec<Mutation>,
    /// Those that it refuses.
    pub refused: Vec<Mutation>,
}

/// How many of a kind are made in the short form: that are taken, that are refused.
fn sample(kind: &str) -> (usize, usize) {
    match kind {
        "Site" => (1, 10),
        "VdcTemplate" | "Bureau" => (2, 10),
        "VirtualDataCenter" => (5, 12),
        _ => (6, 16),
    }
}

/// The changes of a kind that this run makes.
pub fn chosen(plan: Plan, kind: &'static str) -> Chosen {
    let object = base::object(kind);
    let all = shuffled(plan, kind, &object);
    let (taken, refused) = if plan.full { (usize::MAX, usize::MAX) } else { sample(kind) };
    let mut chosen = Chosen::default();
    for change in &all {
        if chosen.taken.len() >= taken && chosen.refused.len() >= refused {
            break;
        }
        let mutations = judged(kind, &object, change).into_iter();
        for mutation in mutations.map(|m| if kind == "Site" { nobodys(m) } else { m }) {
            let is_taken = mutation.verdict == Verdict::Accepted;
            let (list, most) =
                if is_taken { (&mut chosen.taken, taken) } else { (&mut chosen.refused, refused) };
            if list.len() < most && (plan.full || list.iter().all(|m| m.field != mutation.field)) {
                list.push(mutation);
            }
        }
    }
    if !plan.full && kind != "Site" {
        let more = leaving::always(kind, &all);
        let new = more.into_iter().filter(|m| chosen.taken.iter().all(|t| t.what != m.what));
        let new: Vec<Mutation> = new.collect();
        chosen.taken.extend(new);
    }
    Chosen { taken: plan.part(chosen.taken), refused: plan.part(chosen.refused) }
}

/// A site is nobody's: with a tenant's token in it, what is at the site would be taken for that tenant's.
fn nobodys(mut mutation: Mutation) -> Mutation {
    let own = |text: &str| text.replace(TOKEN, "zzzzzz");
    mutation.what = own(&mutation.what);
    if let Ok(spec) = serde_json::from_str(&own(&mutation.spec.to_string())) {
        mutation.spec = spec;
    }
    mutation
}

fn shuffled(plan: Plan, kind: &str, object: &Value) -> Vec<Change> {
    let mut all = changes(kind, object);
    if !plan.full {
        let mut index = 0;
        all.sort_by_cached_key(|_| {
            index += 1;
            dice::roll(plan.seed, kind, index)
        });
    }
    all
}
