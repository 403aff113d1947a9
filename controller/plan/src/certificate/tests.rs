use serde_json::json;
use yunting_crds::deletion_certificate::{DestroyedKey, KeysDestroyed};

use super::*;

const UID: &str = "0d4c5e2a-7f1b-4e8e-9b7a-2c6f3d1a8e90";

fn destroyed(tried: u32, opened: u32) -> KeysEnd {
    KeysEnd {
        outcome: Outcome::Destroyed,
        provider: KeyProvider::Embedded,
        reason: "destroyed".to_owned(),
        destroyed: Some(KeysDestroyed {
            at: "2026-11-24T08:00:06Z".to_owned(),
            count: 2,
            keys: vec![DestroyedKey { name: "0123456789abcdef".to_owned(), generation: 1 }],
            read_back: true,
            tried,
            opened,
        }),
    }
}

fn end(site: &str, slice: &str, keys: KeysEnd) -> SiteEnd {
    let (site, slice) = (site.to_owned(), slice.to_owned());
    SiteEnd { site, slice, role: SiteRole::Active, keys, clear_storage: None }
}

fn ended<'a>(uid: &'a str, left: &'a [SiteEnd], shown: &'a [VdcSiteStatus]) -> Ended<'a> {
    Ended {
        bureau: "education",
        vdc: "exams",
        uid,
        provider: KeyProvider::Embedded,
        requested_at: "2026-11-24T08:00:00Z".to_owned(),
        ended_at: "2026-11-24T08:00:09Z".to_owned(),
        left,
        shown,
    }
}

fn shown(site: &str, slice: &str) -> VdcSiteStatus {
    serde_json::from_value(
        json!({"site": site, "slice": slice, "role": "Active", "ready": "True", "reason": "x"}),
    )
    .unwrap()
}

/// A slice that is to be there or not, and what its site says.
fn slice(uid: &str, desired: &str, status: &Value) -> VdcSlice {
    let spec = json!({"term": 1, "desired": desired, "role": "Active", "state": "Active", "namespaces": [],
        "storageClass": "plain", "source": {"bureau": "b", "name": "v", "uid": "u", "generation": 1}});
    serde_json::from_value(json!({"apiVersion": "yunting.io/v1alpha1", "kind": "VdcSlice",
        "metadata": {"name": "vdc-u", "uid": uid, "generation": 2}, "spec": spec, "status": status}))
    .unwrap()
}

fn says(generation: i64, keys: Option<&KeysEnd>) -> Value {
    let gone = json!({"type": "Gone", "status": "True", "reason": "AsAsked", "message": "",
        "lastTransitionTime": "2026-11-24T08:00:06Z"});
    let mut said = json!({"observedGeneration": generation, "conditions": [gone]});
    if let Some(keys) = keys {
        said["keys"] = json!(keys);
    }
    said
}

fn chain(length: i64) -> Vec<(String, DeletionCertificateSpec)> {
    let mut all: Vec<(String, DeletionCertificateSpec)> = Vec::new();
    for n in 1..=length {
        let left = [end("guoyang", "s", destroyed(5, 0))];
        let spec = certificate(all.last().map(|(_, s)| s), &ended(&format!("{UID}{n}"), &left, &[])).unwrap();
        all.push((name(n), spec));
    }
    all
}

#[test]
fn a_stay_has_ended_only_when_the_site_says_so_of_what_it_was_asked() {
    let keys = destroyed(5, 0);
    assert_eq!(end_of("s", &slice("1", "Absent", &says(1, Some(&keys))), false), None, "of an older word");
    assert_eq!(end_of("s", &slice("1", "Present", &says(2, Some(&keys))), true), None);
    assert_eq!(end_of("s", &slice("1", "Absent", &json!({"keys": keys})), false), None);
    let said = end_of("s", &slice("1", "Absent", &says(2, Some(&keys))), true).unwrap();
    assert_eq!((said.keys, said.clear_storage.as_deref()), (keys.clone(), Some("plain")));
    // A word that is not of what was asked last proves nothing.
    let late = end_of("s", &slice("1", "Absent", &says(1, Some(&keys))), true).unwrap();
    assert_eq!((late.keys.outcome, late.keys.destroyed), (Outcome::Forgotten, None));
    let old = end_of("s", &slice("1", "Absent", &says(2, None)), false).unwrap();
    assert_eq!(old.keys.outcome, Outcome::NotSeen);
}

#[test]
fn a_site_calls_keys_destroyed_only_with_proof_and_misses_those_that_volumes_knew() {
    let (embedded, vault) = (KeyProvider::Embedded, KeyProvider::Vault);
    let proof = destroyed(5, 0).destroyed;
    let mut spec = slice("1", "Absent", &json!({})).spec;
    let mut of = |key_provider, keeps, proof: Option<KeysDestroyed>, volumes| {
        spec.key_provider = key_provider;
        let said = said(&spec, keeps, proof.clone(), volumes);
        assert_eq!(said.destroyed, proof);
        said.outcome
    };
    assert_eq!(of(embedded, true, proof.clone(), 0), Outcome::Destroyed);
    assert_eq!(of(embedded, true, proof, 3), Outcome::Destroyed);
    for (provider, keeps) in [(embedded, true), (embedded, false), (vault, true)] {
        assert_eq!(of(provider, keeps, None, 0), Outcome::NoKeys);
        assert_eq!(of(provider, keeps, None, 1), Outcome::NotSeen);
    }
    spec.key_provider = embedded;
    // Where volumes were to be encrypted, a site without keys cannot say that it never had any.
    let storage = json!({"name": "plain", "driver": "volumes.yunting.io", "encryption": "PerVolume"});
    spec.providers = serde_json::from_value(json!({"storage": [storage]})).unwrap();
    assert_eq!(said(&spec, false, None, 0).outcome, Outcome::NotSeen);
    assert_eq!(said(&spec, true, None, 0).outcome, Outcome::NoKeys);
}

#[test]
fn that_keys_were_missed_stands_until_they_are_seen_to_be_destroyed() {
    let unseen = unseen(Outcome::NotSeen, KeyProvider::Embedded, "missed");
    let none = KeysEnd { outcome: Outcome::NoKeys, ..unseen.clone() };
    assert_eq!(doubtful(Some(&unseen), none.clone()), unseen);
    assert_eq!(doubtful(Some(&unseen), destroyed(5, 0)), destroyed(5, 0));
    assert_eq!(doubtful(None, none.clone()), none);
    let absent = slice("1", "Absent", &says(2, Some(&none)));
    let before = [end("a", "1", unseen)];
    assert_eq!(left(&before, [(&absent, end_of("a", &absent, false))])[0].keys, before[0].keys);
}

#[test]
fn what_was_left_is_remembered_until_it_is_wanted_again() {
    let (keys, none) = (destroyed(5, 0), json!({}));
    let absent = slice("1", "Absent", &says(2, Some(&keys)));
    let first = left(&[], [(&absent, end_of("a", &absent, false))]);
    assert_eq!(first.len(), 1);
    assert_eq!(left(&first, []), first, "its slice is gone");
    let going = slice("1", "Absent", &none);
    assert_eq!(left(&first, [(&going, None)]), first);
    let again = slice("1", "Present", &none);
    assert!(left(&first, [(&again, None)]).is_empty());
    // Another stay at the same site is another one.
    let second = slice("2", "Absent", &says(2, Some(&keys)));
    assert_eq!(left(&first, [(&second, end_of("a", &second, false))]).len(), 2);
}

#[test]
fn of_too_many_stays_those_without_proof_are_kept() {
    let lost = end("a", "lost", unseen(Outcome::Forgotten, KeyProvider::Embedded, "x"));
    let mut all = vec![lost.clone()];
    all.extend((0..SITES).map(|n| end("b", &n.to_string(), destroyed(5, 0))));
    let kept = left(&all, []);
    assert_eq!((kept.len(), &kept[0]), (SITES, &lost));
    let spec = certificate(None, &ended(UID, &kept, &[])).unwrap();
    assert!(!spec.whole && spec.not_covered.iter().any(|n| n.contains("earlier stays")));
}

#[test]
fn a_certificate_is_whole_only_with_proof_from_every_site() {
    let whole = |left: &[SiteEnd], shown: &[VdcSiteStatus]| {
        certificate(None, &ended(UID, left, shown)).unwrap().whole
    };
    let none = KeysEnd { destroyed: None, outcome: Outcome::NoKeys, ..destroyed(0, 0) };
    let good = [end("a", "1", destroyed(5, 0)), end("b", "2", none)];
    assert!(whole(&good, &[shown("a", "1"), shown("b", "")]));
    assert!(!whole(&[end("a", "1", destroyed(5, 1))], &[]), "one opened");
    assert!(!whole(&[end("a", "1", destroyed(1, 0))], &[]), "one was not tried");
    let unproved = KeysEnd { destroyed: None, ..destroyed(5, 0) };
    assert!(!whole(&[end("a", "1", unproved)], &[]));
    // It was seen at a site that has not said a word: at another one, or there again.
    for site in [shown("c", "3"), shown("a", "3")] {
        let spec = certificate(None, &ended(UID, &good, &[site])).unwrap();
        assert_eq!((spec.whole, spec.sites[2].keys.outcome), (false, Outcome::NotSeen));
    }
    assert_eq!(certificate(None, &ended(UID, &[], &[])), None, "it was never anywhere");
}

#[test]
fn what_is_not_covered_is_said_within_the_fields_bounds() {
    let mut clear = end("a", "1", destroyed(5, 0));
    clear.clear_storage = Some("local-path".to_owned());
    let spec = certificate(None, &ended(UID, &[clear], &[])).unwrap();
    assert!(spec.not_covered.iter().any(|n| n.ends_with("local-path at a")));
    assert!(spec.not_covered.len() <= 16 && spec.not_covered.iter().all(|n| n.chars().count() <= 512));
    let object = json!({"apiVersion": "yunting.io/v1alpha1", "kind": "DeletionCertificate",
        "metadata": {"name": name(1)}, "spec": spec});
    assert_eq!(yunting_crds::validate::create("DeletionCertificate", &object), Ok(()));
}

#[test]
fn a_chain_is_whole_in_any_order_and_two_at_once_cannot_both_be_in_it() {
    let mut all = chain(3);
    all.reverse();
    let found = verify(&all);
    assert_eq!((found.broken, found.count), (vec![], 3));
    assert_eq!(found.head.as_deref(), Some(all[0].1.hash.as_str()));
    assert_eq!(verify(&[]), Checked::default());
    // Both made upon the same head: one name, and one of them is refused.
    let (left, head) = ([end("a", "1", destroyed(5, 0))], &all[0].1);
    let one = certificate(Some(head), &ended("one", &left, &[])).unwrap();
    let other = certificate(Some(head), &ended("other", &left, &[])).unwrap();
    assert_eq!(name(one.sequence), name(other.sequence));
    all.extend([(name(one.sequence), one), (name(other.sequence), other)]);
    assert_eq!(verify(&all).broken, [Broken::Twice(4)]);
}

#[test]
fn what_is_missing_twice_or_misnamed_is_found() {
    let all = chain(4);
    let without = |n: usize| {
        let mut all = all.clone();
        all.remove(n);
        verify(&all).broken
    };
    assert_eq!(without(0), [Broken::Missing(1)]);
    assert_eq!(without(2), [Broken::Missing(3)]);
    // Only who knows the head sees this one.
    assert!(without(3).is_empty());
    let mut named = all.clone();
    named[1].0 = name(7);
    assert_eq!(verify(&named).broken, [Broken::Name { name: name(7), sequence: 2 }]);
    let mut same = all[..1].to_vec();
    let spec = certificate(Some(&all[0].1), &ended(&all[0].1.uid, &all[0].1.sites, &[])).unwrap();
    same.push((name(2), spec));
    assert_eq!(verify(&same).broken, [Broken::SameVdc(name(1), name(2))]);
}

/// Every place in a value at which there is a text, number or truth.
fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(k, v)| places(v, &format!("{at}/{k}"), into)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, v)| places(v, &format!("{at}/{n}"), into));
        }
        _ => into.push(at.to_owned()),
    }
}

#[test]
fn whatever_is_changed_in_a_certificate_is_found() {
    let all = chain(3);
    let spec = serde_json::to_value(&all[1].1).unwrap();
    let mut tried = Vec::new();
    places(&spec, "", &mut tried);
    assert!(tried.len() > 25, "{tried:?}");
    for place in tried {
        let mut changed = spec.clone();
        let value = changed.pointer_mut(&place).unwrap();
        *value = match &*value {
            Value::Bool(b) => json!(!b),
            Value::Number(n) => json!(n.as_u64().unwrap() + 1),
            Value::String(text) => match text.as_str() {
                "Active" => json!("Standby"),
                "Embedded" => json!("Vault"),
                "Destroyed" => json!("NoKeys"),
                text => json!(format!("{text}x")),
            },
            other => panic!("{place}: {other}"),
        };
        let mut list = all.clone();
        list[1].1 = serde_json::from_value(changed).unwrap();
        assert!(!verify(&list).broken.is_empty(), "{place} was changed and nobody saw it");
        // With a hash of its own it does not fit what comes after it.
        list[1].1.hash = hash(&list[1].1);
        let place = place.as_str();
        assert!(place == "/hash" || !verify(&list).broken.is_empty(), "{place} was changed and hashed anew");
    }
}

#[test]
fn the_hash_is_what_anybody_computes_with_jq() {
    let not_covered = vec!["what others copied".to_owned()];
    let spec = DeletionCertificateSpec { not_covered, ..chain(1)[0].1.clone() };
    let value = serde_json::to_value(&spec).unwrap();
    let text = canonical(&value);
    assert!(text.starts_with(r#"{"bureau":"education","endedAt":"2026-11-24T08:00:09Z","hash":"#), "{text}");
    assert_eq!(
        canonical(&json!({"b": [1, "一\n"], "a": {"d": true, "c": null}})),
        "{\"a\":{\"c\":null,\"d\":true},\"b\":[1,\"一\\n\"]}"
    );
    // As it stood when it was written first: who changes what is hashed breaks every chain there is.
    assert_eq!(hash(&spec), "6839f50712dbb397c441b0a4894b404bd858eefb874c26a11c78813241bc524a");
}
