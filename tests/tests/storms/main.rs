//! Storms: many clients create, delete and scale while quotas move, policies change and a VDC is frozen, against
//! real API servers with the real controllers. Short form by default; `YUNTING_STORMS=full` is the long one.
//!
//! What is judged is what etcd says: every revision of every quota, pod and namespace is recorded and replayed in the
//! order of its site's revisions. No absolute time is asserted: how long an excess lasted is held against the mean
//! answer that clients had from the same API servers in the same storm.
// A test writes as a user does.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod clients;
mod dropped;
mod freeze;
mod judge;
mod process;
mod record;
mod storm;
mod world;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use world::World;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    // One world, one storm at a time.
    arguments.test_threads = Some(1);
    let world = match World::start() {
        Ok(world) => Arc::new(world),
        Err(error) => {
            eprintln!("the control planes did not start: {error:?}");
            return ExitCode::FAILURE;
        }
    };
    libtest_mimic::run(&arguments, trials(Some(&world))).exit_code()
}

type Test = fn(&World) -> anyhow::Result<()>;

fn trials(world: Option<&Arc<World>>) -> Vec<Trial> {
    let tests: [(&str, Test); 5] = [
        ("limits_hold_while_clients_storm_and_quotas_move", storm::limits_hold),
        ("what_an_api_server_lets_past_a_limit_is_removed_and_nothing_older", storm::excess_is_removed),
        ("a_namespace_no_longer_asked_for_keeps_its_room_until_it_is_empty", dropped::keeps_its_room),
        ("a_freeze_under_load_is_true_when_it_is_said", freeze::under_load),
        ("what_slips_in_before_a_policy_acts_is_gone_when_closed_is_said", freeze::while_a_policy_sleeps),
    ];
    let trial = |(name, test): (&str, Test)| {
        let world = world.cloned();
        Trial::test(name, move || {
            let Some(world) = world else { return Ok(()) };
            test(&world).map_err(|error| format!("{error:#}\n{}", world.tails()).into())
        })
    };
    tests.into_iter().map(trial).collect()
}
