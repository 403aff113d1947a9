//! The same samples against a real API server: its verdict and the one of `yunting_crds::validate` are equal, on
//! every sample and on thousands of variations of the good ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "schema/server.rs"]
mod server;
#[path = "../../crds/tests/support/mod.rs"]
mod support;
#[path = "schema/variations.rs"]
mod variations;

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use support::{Expected, Sample, bozhou, samples};
use yunting_crds::validate;

use server::Server;

/// Requests at the same time.
const AT_ONCE: usize = 8;

#[tokio::test]
async fn every_sample_gets_the_answer_it_expects() {
    let server = Server::start().await;
    good_samples_are_accepted(&server).await;
    bad_samples_are_refused_with_their_message(&server).await;
    the_bozhou_samples_are_accepted(&server).await;
    an_object_is_not_ready_from_birth(&server).await;
}

#[tokio::test]
async fn both_say_the_same_of_thousands_of_variations() {
    let server = Server::start().await;
    both_say_the_same_of_new_objects(&server).await;
    both_say_the_same_of_changes(&server).await;
}

async fn good_samples_are_accepted(server: &Server) {
    for sample in samples("good") {
        let verdict = verdict(server, &sample).await;
        assert_eq!(verdict, Ok(()), "{}", sample.name);
    }
}

async fn bad_samples_are_refused_with_their_message(server: &Server) {
    for sample in samples("bad") {
        let (Expected::Refused(text) | Expected::UpdateRefused(text)) = &sample.expected else {
            panic!("{} lies in bad and expects nothing", sample.name);
        };
        let said = verdict(server, &sample).await.expect_err(&sample.name);
        assert!(said.contains(text.as_str()), "{}: {text:?} expected, the server says: {said}", sample.name);
    }
}

/// Accepted or refused, and what the server says.
async fn verdict(server: &Server, sample: &Sample) -> Result<(), String> {
    match &sample.objects[..] {
        [object] => server.could_create(object).await,
        [old, new] => {
            let stored = server.create(old).await.unwrap_or_else(|said| panic!("{}: {said}", sample.name));
            let verdict = server.could_become(&stored, new).await;
            server.delete(&stored).await;
            verdict
        }
        _ => unreachable!(),
    }
}

async fn the_bozhou_samples_are_accepted(server: &Server) {
    for scale in ["city", "lab"] {
        let objects = bozhou(scale);
        assert!(objects.len() > 60, "{scale}");
        for object in objects {
            let verdict = server.could_create(&object).await;
            assert_eq!(verdict, Ok(()), "{scale}: {} {}", object["kind"], object["metadata"]["name"]);
        }
    }
}

async fn an_object_is_not_ready_from_birth(server: &Server) {
    for sample in samples("good") {
        let kinds = [
            "Site",
            "Bureau",
            "VirtualDataCenter",
            "Hall",
            "SharedService",
            "VdcSlice",
            "HallSlice",
            "SiteReport",
        ];
        if !kinds.contains(&sample.kind()) || !sample.name.ends_with("minimal") {
            continue;
        }
        let stored = server.create(&sample.objects[0]).await.unwrap();
        let ready = &stored["status"]["conditions"][0];
        assert_eq!(
            (&ready["type"], &ready["status"]),
            (&json!("Ready"), &json!("Unknown")),
            "{}",
            sample.name
        );
        server.delete(&stored).await;
    }
}

async fn both_say_the_same_of_new_objects(server: &Server) {
    let all: Vec<(String, Value)> = single().iter().flat_map(variations::of).collect();
    println!("{} variations", all.len());
    assert!(all.len() > 2000, "only {} variations", all.len());
    let compared =
        stream::iter(all).map(|(what, object)| compare(server, what, object)).buffer_unordered(AT_ONCE);
    let different: Vec<String> = compared.filter_map(async |difference| difference).collect().await;
    assert!(different.is_empty(), "{} differences:\n{}", different.len(), different.join("\n"));
}

/// The good samples of one object; the others repeat them.
fn single() -> Vec<Sample> {
    samples("good").into_iter().filter(|sample| sample.objects.len() == 1).collect()
}

/// In what the two verdicts differ, if they do.
async fn compare(server: &Server, what: String, object: Value) -> Option<String> {
    let kind = object["kind"].as_str().unwrap();
    let ours = validate::create(kind, &object);
    let theirs = server.could_create(&object).await;
    match (ours, theirs) {
        (Ok(()), Err(said)) => Some(format!("{what}: accepted here, the server says: {said}")),
        (Err(said), Ok(())) => Some(format!("{what}: accepted by the server, refused here: {}", said[0])),
        _ => None,
    }
}

async fn both_say_the_same_of_changes(server: &Server) {
    let mut different = Vec::new();
    let mut changes = 0;
    for sample in single() {
        let old = &sample.objects[0];
        let stored = server.create(old).await.unwrap_or_else(|said| panic!("{}: {said}", sample.name));
        let valid = |(_, new): &(String, Value)| validate::create(sample.kind(), new).is_ok();
        for (what, new) in variations::of(&sample).into_iter().filter(valid) {
            changes += 1;
            let (ours, theirs) =
                (validate::update(sample.kind(), old, &new), server.could_become(&stored, &new).await);
            if ours.is_ok() != theirs.is_ok() {
                different.push(format!("{what}: here {ours:?}, the server {theirs:?}"));
            }
        }
        server.delete(&stored).await;
    }
    println!("{changes} changes");
    assert!(changes > 300, "only {changes} changes");
    assert!(different.is_empty(), "{} differences:\n{}", different.len(), different.join("\n"));
}
