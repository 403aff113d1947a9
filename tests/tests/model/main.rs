//! The authority's protocol in every state within bounds, and with every rule broken once. Pure: no server, no root.
//!
//! `YUNTING_MODEL=full` takes larger bounds as well.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use yunting_model::{caught, holds, holds_in_full, holds_under, mutants, slices};

/// Half of the time is memory that is taken and given back.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Told = Result<String, String>;
/// A search and its name.
type Search = (&'static str, fn() -> Told);

fn main() -> ExitCode {
    let full = std::env::var("YUNTING_MODEL").is_ok_and(|form| form == "full");
    let larger = slices::FULL.iter().filter(|_| full);
    let larger = larger.map(|slice| trial(format!("holds::{}", slice.0.name()), || holds_in_full(*slice)));
    let trials = sound().into_iter().chain(broken()).map(|(name, test)| trial(name.to_owned(), test));
    libtest_mimic::run(&Arguments::from_args(), trials.chain(larger).collect()).exit_code()
}

fn trial(name: String, test: impl FnOnce() -> Told + Send + 'static) -> Trial {
    Trial::test(name.clone(), move || {
        let told = test().map_err(Failed::from)?;
        println!("{name}\n   {}", told.replace('\n', "\n   "));
        Ok(())
    })
}

fn sound() -> Vec<Search> {
    vec![
        ("holds::nodes", || holds(slices::NODES)),
        ("holds::pair", || holds(slices::PAIR)),
        ("holds::gate", || holds(slices::GATE)),
        ("holds::abort", || holds(slices::ABORT)),
        ("holds::leaders", || holds(slices::LEADERS)),
        ("holds::unknown", || holds(slices::UNKNOWN)),
        ("holds::clocks", || holds(slices::CLOCKS)),
        ("holds::timing", || holds(slices::TIMING)),
        ("holds::lively", || holds(slices::LIVELY)),
        ("holds::restore", || holds(slices::RESTORE)),
        ("holds::restore_other", || holds(slices::RESTORE_OTHER)),
        ("holds::forgotten", || holds(slices::FORGOTTEN)),
        ("holds::streams", || holds(slices::STREAMS)),
    ]
}

fn broken() -> Vec<Search> {
    const TWO: &[&str] = &["I1", "I4"];
    vec![
        ("catches::w_one_tick_short", || caught::<mutants::WaitTooShort>(slices::CLOCKS, TWO)),
        ("catches::right_counted_from_the_answer", || {
            caught::<mutants::CountedFromAnswer>(slices::GATE, TWO)
        }),
        ("catches::right_surviving_a_restart", || {
            caught::<mutants::SurvivesRestart>(slices::GATE, &["I1", "I4", "I5"])
        }),
        ("catches::new_leader_not_waiting_again", || {
            caught::<mutants::NewLeaderWaitsNot>(slices::UNKNOWN, TWO)
        }),
        ("catches::grant_without_revoke_and_wait", || {
            caught::<mutants::GrantWithoutRevoke>(slices::NODES, TWO)
        }),
        ("catches::process_instead_of_kernel_as_switch", || {
            caught::<mutants::ProcessIsTheSwitch>(slices::GATE, TWO)
        }),
        ("catches::restore_without_new_generation", || {
            caught::<mutants::RestoredAsItWas>(slices::RESTORE, &["I12"])
        }),
        ("catches::no_durable_high_water_mark", || {
            caught::<mutants::NoHighWater>(slices::FORGOTTEN, &["I2"])
        }),
        ("catches::pause_between_computing_and_applying", || {
            caught::<mutants::PauseBeforeApplying>(slices::GATE, TWO)
        }),
        ("catches::acknowledgement_by_held_nodes_only", || {
            caught::<mutants::HeldNodesAcknowledge>(slices::RUNNING, TWO)
        }),
        ("catches::d_h_shortened_on_a_live_group", || {
            caught::<mutants::ShortenedAndForgotten>(slices::TIMING, TWO)
        }),
        ("catches::zero_or_missing_timeout", || caught::<mutants::ZeroIsForever>(slices::GATE, TWO)),
        ("catches::receiver_checking_only_at_start", || {
            caught::<mutants::CheckedAtStartOnly>(slices::STREAMS, &["I4, at the receiver"])
        }),
        ("holds::with_waits_told_apart_by_token_alone", || {
            holds_under::<mutants::WaitOfTheToken>(slices::UNKNOWN)
        }),
        ("catches::w_kept_across_a_re_election", || caught::<mutants::WaitKept>(slices::UNKNOWN, TWO)),
    ]
}
