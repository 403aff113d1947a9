//! Every sample is accepted or refused as it says, by the checks that need no server.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::{Expected, Sample, bozhou, samples};
use yunting_crds::{generate, validate};

/// What the validator says of a sample, one line per problem.
fn said(sample: &Sample) -> Vec<String> {
    let answer = match &sample.objects[..] {
        [object] => validate::create(sample.kind(), object),
        [old, new] => {
            assert_eq!(validate::create(sample.kind(), old), Ok(()), "{}: the first object", sample.name);
            validate::update(sample.kind(), old, new)
        }
        _ => unreachable!(),
    };
    answer.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn every_good_sample_is_accepted() {
    let samples = samples("good");
    assert!(samples.len() >= 15, "only {} good samples were found", samples.len());
    for sample in samples {
        assert_eq!(sample.expected, Expected::Accepted, "{} lies in good", sample.name);
        assert_eq!(said(&sample), [""; 0], "{}", sample.name);
    }
}

#[test]
fn every_bad_sample_is_refused_with_its_message() {
    let samples = samples("bad");
    assert!(samples.len() >= 80, "only {} bad samples were found", samples.len());
    for sample in samples {
        let said = said(&sample);
        let (Expected::Refused(text) | Expected::UpdateRefused(text)) = &sample.expected else {
            panic!("{} lies in bad and expects nothing", sample.name);
        };
        let remedy = sample.remedy.as_deref().unwrap_or_default();
        let named = said.iter().any(|line| line.contains(text.as_str()) && line.contains(remedy));
        assert!(named, "{}: {text:?} and {remedy:?} expected, said was {said:#?}", sample.name);
    }
}

#[test]
fn the_bozhou_samples_are_accepted() {
    for scale in ["city", "lab"] {
        let objects = bozhou(scale);
        for object in &objects {
            let kind = object["kind"].as_str().unwrap();
            assert_eq!(
                validate::create(kind, object),
                Ok(()),
                "{scale}: {kind} {}",
                object["metadata"]["name"]
            );
        }
        let count = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).count();
        let counts = ["Site", "VdcTemplate", "Bureau", "VirtualDataCenter", "Hall"].map(count);
        assert_eq!(counts, [3, 3, 46, 5, 6], "{scale}");
    }
}

#[test]
fn good_samples_are_read_into_the_types_and_written_back_whole() {
    for sample in samples("good") {
        for object in &sample.objects {
            let read =
                typed(sample.kind(), object).unwrap_or_else(|error| panic!("{}: {error}", sample.name));
            assert!(contains(&read, object), "{}: {object} became {read}", sample.name);
        }
    }
}

/// Through the Rust type and back.
fn typed(kind: &str, object: &Value) -> Result<Value, serde_json::Error> {
    fn through<T: serde::de::DeserializeOwned + serde::Serialize>(
        object: &Value,
    ) -> Result<Value, serde_json::Error> {
        serde_json::to_value(serde_json::from_value::<T>(object.clone())?)
    }
    match kind {
        "Site" => through::<yunting_crds::Site>(object),
        "SiteReport" => through::<yunting_crds::SiteReport>(object),
        "Bureau" => through::<yunting_crds::Bureau>(object),
        "VdcTemplate" => through::<yunting_crds::VdcTemplate>(object),
        "VirtualDataCenter" => through::<yunting_crds::VirtualDataCenter>(object),
        "VdcSlice" => through::<yunting_crds::VdcSlice>(object),
        "Hall" => through::<yunting_crds::Hall>(object),
        "DeletionCertificate" => through::<yunting_crds::DeletionCertificate>(object),
        "SharedService" => through::<yunting_crds::SharedService>(object),
        "AccessGrant" => through::<yunting_crds::AccessGrant>(object),
        "HallSlice" => through::<yunting_crds::HallSlice>(object),
        "SliceRecord" => through::<yunting_crds::SliceRecord>(object),
        "NodeReport" => through::<yunting_crds::NodeReport>(object),
        "VolumeKey" => through::<yunting_crds::VolumeKey>(object),
        "VolumeReplication" => through::<yunting_crds::VolumeReplication>(object),
        "VolumeReplica" => through::<yunting_crds::VolumeReplica>(object),
        other => panic!("no type for {other}"),
    }
}

/// Everything of `part` is in `whole`.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, part)| whole.get(name).is_some_and(|whole| contains(whole, part)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| contains(whole, part))
        }
        (whole, part) => whole == part,
    }
}

#[test]
fn every_cel_rule_has_a_sample_that_breaks_it() {
    fn messages(node: &Value, into: &mut BTreeSet<String>) {
        match node {
            Value::Object(fields) => {
                for (name, below) in fields {
                    if name == "x-kubernetes-validations" {
                        let rules = below.as_array().into_iter().flatten();
                        into.extend(rules.filter_map(|rule| rule["message"].as_str()).map(str::to_owned));
                    }
                    messages(below, into);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| messages(item, into)),
            _ => {}
        }
    }
    let mut rules = BTreeSet::new();
    for (_, crd) in generate::all() {
        messages(&serde_json::to_value(crd).unwrap(), &mut rules);
    }
    assert!(rules.len() > 20);
    let refused: Vec<String> = samples("bad").iter().flat_map(said).collect();
    for rule in rules {
        assert!(refused.iter().any(|line| line.contains(&rule)), "no sample in bad breaks: {rule}");
    }
}
