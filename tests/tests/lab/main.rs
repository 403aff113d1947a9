//! Lab suite: real sites, one lab for all tests, which run one after another; each has a bureau of its own. The
//! last one takes the lab down and looks for what is left. `YUNTING_LAB` chooses which tests those are.
// A test writes as a user does.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod boundary;
mod certificate;
mod city;
mod closed;
mod crossing;
mod deletion;
mod drift;
mod fixture;
mod grants;
mod identity;
mod lost_claim;
mod names;
mod power;
mod provision;
mod replicas;
mod volumes;

use std::process::ExitCode;
use std::sync::Arc;

use fixture::World;
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    // One lab, one thing at a time: what one test does to a site another must not meet.
    arguments.test_threads = Some(1);
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("no provider was installed before");
    let world = match World::start() {
        Ok(world) => Arc::new(world),
        Err(error) => {
            eprintln!("the lab did not start: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    libtest_mimic::run(&arguments, trials(Some(&world))).exit_code()
}

type Test = fn(&World) -> anyhow::Result<()>;

/// The tests that one lab is for, one after another.
type Story = Vec<(&'static str, Test)>;

fn trials(world: Option<&Arc<World>>) -> Vec<Trial> {
    // Labs of their own: the sites have room for the city or for what the other tests make, and a suite has its time.
    let mut story = match std::env::var("YUNTING_LAB").as_deref() {
        Ok("city") => city(),
        Ok("between") => [first(), between()].concat(),
        Ok("full") => [first(), at_sites(), between()].concat(),
        _ => [first(), at_sites()].concat(),
    };
    story.push(("down_leaves_nothing", fixture::down));
    let trial = |(name, test): (&'static str, Test)| {
        let world = world.cloned();
        Trial::test(name, move || {
            let Some(world) = world else { return Ok(()) };
            let since = std::time::Instant::now();
            let result = test(&world).map_err(|error| format!("{error:?}").into());
            println!("{name}: {:.1} s", since.elapsed().as_secs_f32());
            result
        })
    };
    story.into_iter().map(trial).collect()
}

/// What others begin with.
fn first() -> Story {
    vec![("a_vdc_and_its_hall_become_running_pods", provision::running)]
}

/// What a site does with what is asked of it.
fn at_sites() -> Story {
    vec![
        ("what_stands_is_not_written_again", provision::quiet),
        ("a_hall_answers_through_the_front_door", provision::front_door),
        ("people_are_told_where_it_is_and_what_hinders_it", provision::told),
        ("packets_go_where_it_was_declared_and_nowhere_else", boundary::matrix),
        ("no_way_leads_past_the_border_through_the_api_server", city::through_the_server),
        ("a_pod_is_answered_the_names_of_its_own_vdc", names::own),
        ("a_way_that_nobody_declared_is_told", boundary::broken),
        ("without_the_nodes_controller_no_pod_gets_a_network", boundary::without),
        ("what_a_pod_writes_is_ciphertext_on_every_disk", volumes::ciphertext),
        ("a_volume_in_the_clear_is_told", volumes::clear),
        ("a_volume_outlives_its_pod_and_the_nodes_controller", volumes::outlives),
        ("a_new_key_of_a_vdc_mounts_nothing_anew", volumes::rotation),
        ("without_its_vdc_a_volume_opens_no_more", volumes::shredded),
        ("nothing_is_admitted_before_isolation_stands", closed::tenant_loop),
        ("drift_of_every_kind_is_undone", drift::undone),
        ("what_is_taken_away_leaves_nothing", deletion::backwards),
        ("nobody_works_as_system_masters", identity::nobody_is_master),
        ("a_site_without_power_is_told_as_silent_and_comes_back", power::lost_and_back),
    ]
}

/// What two of them do with each other, sites or bureaus.
fn between() -> Story {
    vec![
        ("a_replica_at_another_site_is_activated_there", replicas::replicated),
        ("the_last_points_of_a_volume_that_is_gone_stay", lost_claim::kept),
        ("what_runs_at_one_site_is_called_from_the_other_through_the_tunnel", crossing::called),
        ("what_one_bureau_shares_another_calls_while_both_agree", grants::agreed),
    ]
}

/// The whole sample.
fn city() -> Story {
    vec![("who_reaches_whom_in_bozhou_is_what_was_declared", city::matrix)]
}
