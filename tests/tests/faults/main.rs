//! Fault suite: the real controllers between two real control planes, one the hub, one a site, with a proxy on each
//! of their three ways that kills them, holds their calls and shows them old news. No kubelet: a hall ends as the
//! objects that were planned.
//!
//! `YUNTING_FAULTS_SEED` repeats a run; `YUNTING_FAULTS=full` takes every write instead of a sample.
// A test writes as a user does.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod answers;
mod away;
mod corrupt;
mod crash;
mod events;
mod late;
mod leader;
mod life;
mod load;
mod lowered;
mod minority;
mod pool;
mod restore;
mod rights;
mod stuck;
mod volumes;
mod world;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use pool::Pool;
use world::World;
use yunting_tests::plane::{controllers, dump};

/// Tests at once, each in a world of its own: what one does to a process another must not meet. They wait more than they
/// compute.
const WORLDS: usize = 2;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    arguments.test_threads = Some(WORLDS);
    let pool = match Pool::start(WORLDS) {
        Ok(pool) => Arc::new(pool),
        Err(error) => {
            eprintln!("the control planes did not start: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    libtest_mimic::run(&arguments, trials(Some(&pool))).exit_code()
}

type Test = fn(&mut World) -> anyhow::Result<()>;

fn trials(pool: Option<&Arc<Pool>>) -> Vec<Trial> {
    let tests: [(&str, Test); 26] = [
        ("a_crash_at_any_write_changes_nothing_in_the_end", crash::at_every_write),
        ("a_deposed_leaders_late_write_is_refused", leader::late_update),
        ("a_deposed_leader_makes_no_slice_of_what_is_gone", leader::late_create),
        ("what_a_deposed_leader_says_late_is_refused", leader::late_status),
        ("what_a_replaced_site_controller_says_late_is_refused", leader::late_status_of_a_site),
        ("a_site_that_was_away_catches_up", away::catches_up),
        ("labels_of_another_hall_take_nothing_from_its_owner", corrupt::hall_label),
        ("labels_of_another_vdc_take_nothing_from_its_owner", corrupt::vdc_label),
        ("a_record_with_another_uid_ends_nothing", corrupt::record),
        ("a_foreign_owner_reference_is_survived", corrupt::owner_reference),
        ("refusals_and_broken_answers_are_tried_again_and_not_too_often", answers::recovers),
        ("stale_lost_doubled_and_reordered_events_change_nothing_in_the_end", events::disturbed),
        ("what_is_seen_late_is_not_forgotten", late::arrives),
        ("a_blocked_watch_is_named_and_stops_nothing_else", late::blocked),
        ("a_stuck_finalizer_is_waited_for_and_named", stuck::finalizers),
        ("a_server_without_quorum_is_left", minority::is_left),
        ("a_server_without_quorum_at_a_site_is_left", minority::at_a_site_is_left),
        ("a_hub_restored_from_an_older_copy_deletes_nothing", restore::older_copy),
        ("a_hub_that_lost_much_at_once_is_not_believed", restore::lost_much),
        ("rights_of_many_are_withdrawn_at_once", rights::of_many),
        ("rights_in_a_refused_vdc_are_withdrawn", rights::in_a_refused_vdc),
        ("rights_in_a_namespace_that_is_kept_are_withdrawn", rights::in_a_namespace_that_is_kept),
        ("rights_in_a_vdc_that_does_not_end_are_withdrawn", rights::in_a_vdc_that_does_not_end),
        ("what_follows_load_begins_as_asked", load::begins_as_asked),
        ("a_limit_lowered_below_a_hall_stops_nothing", lowered::stops_nothing),
        ("volumes_grow_once_they_are_bound", volumes::grow_once_they_are_bound),
    ];
    let trial = |(name, test): (&str, Test)| {
        let pool = pool.cloned();
        Trial::test(name, move || {
            let Some(pool) = pool else { return Ok(()) };
            test(&mut pool.lend()).map_err(|error| format!("{error:#}").into())
        })
    };
    tests.into_iter().map(trial).collect()
}
