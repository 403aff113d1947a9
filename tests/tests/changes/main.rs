//! Suite of changes: every field of every kind that people write is changed, left out and set back, by changes that
//! come from the schema. The same target by another way has to give the same objects; what is refused changes nothing
//! and is told; what is taken is carried out whole or not at all.
//!
//! Two real control planes and the real controllers; in place of kubelets every pod is ready at once.
//! `YUNTING_CHANGES_SEED` repeats a run; `YUNTING_CHANGES=full` makes every change instead of a sample,
//! `YUNTING_CHANGES_PART=2/5` beside it every fifth of them, from the second on.
// A test writes as a user does.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod base;
mod choice;
mod differences;
mod fields;
mod gateway;
mod judge;
mod kubelet;
mod leaving;
mod refusals;
mod run;
mod site;
mod stage;
mod tenant;
mod waits;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};
use run::Wrong;
use stage::Plan;

/// What the run came to; it is made once, by the first test that asks.
type Course = Arc<OnceLock<Result<Wrong, String>>>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One course for all tests.
    arguments.test_threads = Some(1);
    let plan = match Plan::from_environment() {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("no plan: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    libtest_mimic::run(&arguments, trials(plan)).exit_code()
}

fn trials(plan: Plan) -> Vec<Trial> {
    let course = Course::default();
    let kinds = [
        ("a_changed_template_gives_what_one_made_so_gives", "VdcTemplate"),
        ("a_changed_bureau_stands_as_one_made_so", "Bureau"),
        ("a_changed_vdc_stands_as_one_made_so", "VirtualDataCenter"),
        ("a_changed_hall_stands_as_one_made_so", "Hall"),
        ("a_changed_site_holds_what_one_made_so_holds", "Site"),
        ("what_a_change_gives_back_goes_to_who_waits", "waits"),
        ("who_was_not_changed_stands_as_before", ""),
    ];
    let trial = |(name, kind): (&'static str, &'static str)| {
        let course = course.clone();
        Trial::test(name, move || verdict(&course, plan, kind))
    };
    let pure =
        Trial::test("every_field_of_every_kind_is_changed", || fields::covered().map_err(Failed::from));
    std::iter::once(pure).chain(kinds.into_iter().map(trial)).collect()
}

fn verdict(course: &Course, plan: Plan, kind: &str) -> Result<(), Failed> {
    let wrong = course.get_or_init(|| run::run(plan).map_err(|error| format!("{error:#}")));
    match wrong {
        Err(error) => Err(error.into()),
        Ok(wrong) => match wrong.get(kind).map(Vec::as_slice) {
            None | Some([]) => Ok(()),
            Some(all) => Err(format!("{} changes are wrong:\n{}", all.len(), all.join("\n")).into()),
        },
    }
}
