//! Fault suite: the real controllers between two real control planes, one the hub, one a site, with a proxy on each
//! of their three ways that kills them, holds their calls and shows them old news. No kubelet: a hall ends as the
//! objects that were planned.
//!
//! `YUNTING_FAULTS_SEED` repeats a run; `YUNTING_FAULTS=full` takes every write instead of a sample.
// A test writes as a user does.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod controllers;
mod crash;
mod dump;
mod life;
mod process;
mod world;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Trial};
use world::World;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    // Two control planes for all: what one test does to a process another must not meet.
    arguments.test_threads = Some(1);
    let world = match World::start() {
        Ok(world) => Arc::new(Mutex::new(world)),
        Err(error) => {
            eprintln!("the control planes did not start: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    libtest_mimic::run(&arguments, trials(Some(&world))).exit_code()
}

type Test = fn(&mut World) -> anyhow::Result<()>;

fn trials(world: Option<&Arc<Mutex<World>>>) -> Vec<Trial> {
    let tests: [(&str, Test); 1] = [
        ("a_crash_at_any_write_changes_nothing_in_the_end", crash::at_every_write),
    ];
    let trial = |(name, test): (&str, Test)| {
        let world = world.cloned();
        Trial::test(name, move || {
            let Some(world) = world else { return Ok(()) };
            // A test that panicked leaves the control planes as good as they were.
            let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
            test(&mut world).map_err(|error| format!("{error:#}").into())
        })
    };
    tests.into_iter().map(trial).collect()
}
