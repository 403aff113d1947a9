//! A data key on its way to another site: it opens there and nowhere else, for one volume of one VDC, and is sealed for nobody
//! whose certificate does not say that it is that site's.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use tempfile::TempDir;
use yunting_controller::keys::custody::{Custody, Machines};
use yunting_controller::keys::{KeyError, Place};
use yunting_lab::pki::{Authority, Pair, Subject};

use super::disk::key;

/// Longer than any certificate here is good.
const LATER: Duration = Duration::from_hours(24 * 1000);

/// Time since 1970.
fn now() -> Duration {
    Duration::from_secs(UnixTime::now().as_secs())
}

fn place(volume: &str) -> Place {
    Place { vdc: "aaaaaaaa-1111".to_owned(), volume: volume.to_owned() }
}

fn custody_of(authority: &Authority, site: &str) -> Pair {
    let uri = format!("yunting://site/{site}/custody");
    authority.issue(&Subject::client("custody").uri(&uri)).unwrap()
}

fn machines(authority: &Authority, files: &Path) -> Machines {
    let file = files.join("ca.crt");
    fs::write(&file, authority.cert()).unwrap();
    Machines::read(&file).unwrap()
}

fn opens(pair: &Pair, files: &TempDir) -> Custody {
    let file = files.path().join("custody.key");
    fs::write(&file, &pair.key).unwrap();
    Custody::read(&file).unwrap()
}

#[test]
fn only_that_site_opens_what_was_sealed_for_it() {
    let (authority, files) = (Authority::new("machines").unwrap(), tempfile::tempdir().unwrap());
    let (pair, other) = (custody_of(&authority, "guoyang"), custody_of(&authority, "mengcheng"));
    let known = machines(&authority, files.path());
    let sealed = known.seal(&place("v"), &key(7), "guoyang", &pair.cert, now()).unwrap();
    assert!(sealed.len() <= 400, "the field's bound");
    let site = opens(&pair, &files);
    assert_eq!(site.open(&place("v"), &sealed).unwrap(), key(7));
    // Sealed anew it looks another way.
    assert_ne!(known.seal(&place("v"), &key(7), "guoyang", &pair.cert, now()).unwrap(), sealed);
    assert!(matches!(site.open(&place("w"), &sealed), Err(KeyError::Sealed)));
    let elsewhere = Place { vdc: "bbbbbbbb-1111".to_owned(), ..place("v") };
    assert!(site.open(&elsewhere, &sealed).is_err());
    assert!(opens(&other, &files).open(&place("v"), &sealed).is_err());
    for damaged in ["", "AAAA", "no base64", &sealed[4..]] {
        assert!(site.open(&place("v"), damaged).is_err(), "{damaged}");
    }
}

#[test]
fn nothing_is_sealed_for_whoever_is_not_that_site() {
    let (authority, files) = (Authority::new("machines").unwrap(), tempfile::tempdir().unwrap());
    let known = machines(&authority, files.path());
    let foreign = Authority::new("machines").unwrap();
    let node = authority.issue(&Subject::peer("n").uri("yunting://site/guoyang/node/guoyang-1")).unwrap();
    let nobody = authority.issue(&Subject::client("nobody")).unwrap();
    let good = custody_of(&authority, "guoyang");
    let tries = [
        ("another site's", custody_of(&authority, "mengcheng").cert, now()),
        ("of another authority", custody_of(&foreign, "guoyang").cert, now()),
        ("a node's", node.cert, now()),
        ("of nobody", nobody.cert, now()),
        ("over", good.cert.clone(), now() + LATER),
        ("none", "no certificate".to_owned(), now()),
    ];
    for (what, certificate, at) in tries {
        let refused = known.seal(&place("v"), &key(7), "guoyang", &certificate, at).unwrap_err();
        println!("{what}: {refused}");
        assert!(matches!(refused, KeyError::Custody { .. }), "{what}: {refused}");
    }
    known.seal(&place("v"), &key(7), "guoyang", &good.cert, now()).unwrap();
}
