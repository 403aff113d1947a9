//! The end of a VDC's keys at every point where it can be stopped, and with providers that do not do what they say.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::context::Context;
use crate::keys::embedded::Embedded;
use crate::metrics::Metrics;

const VDC: &str = "aaaaaaaa-1111";

fn open(directory: &Path) -> Embedded {
    let context = Context::new(Arc::new(Metrics::new().unwrap()));
    Embedded::open(directory.join("keys"), context).unwrap()
}

fn volume(name: &str) -> Place {
    Place { vdc: VDC.to_owned(), volume: name.to_owned() }
}

fn key() -> DataKey {
    DataKey::new(&[9; 32]).unwrap()
}

/// A store with two keys and a volume wrapped with each.
async fn filled(directory: &Path) -> (Embedded, Vec<(Place, WrappedKey)>) {
    let store = open(directory);
    let mut known = Vec::new();
    for (generation, name) in [(1, "v"), (2, "w")] {
        store.ensure(VDC, generation, 90).await.unwrap();
        known.push((volume(name), store.wrap(&volume(name), &key()).await.unwrap()));
    }
    (store, known)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(directory.join("keys")).unwrap().map(|f| f.unwrap().file_name().into()).collect();
    all.sort();
    all
}

fn names(known: &[(Place, WrappedKey)]) -> Vec<&str> {
    known.iter().rev().map(|(_, wrapped)| wrapped.kek.as_str()).collect()
}

fn shown(ending: Option<Ending>) -> KeysDestroyed {
    ending.unwrap().shown().unwrap()
}

#[tokio::test]
async fn what_ended_is_named_tried_and_remembered_until_it_was_heard() {
    let directory = tempfile::tempdir().unwrap();
    let (store, known) = filled(directory.path()).await;
    let said = shown(end(&store, VDC, &known).await.unwrap());
    assert_eq!(said.keys.iter().map(|k| k.name.as_str()).collect::<Vec<_>>(), names(&known));
    assert_eq!((said.count, said.tried, said.opened, said.read_back), (2, 4, 0, true));
    for (place, wrapped) in &known {
        assert!(matches!(store.unwrap(place, wrapped).await, Err(KeyError::Unknown { .. })));
    }
    // The same is said again, also by the next process, which knows of no volume.
    assert_eq!(shown(end(&open(directory.path()), VDC, &[]).await.unwrap()), said);
    assert_eq!(files(directory.path()), [PathBuf::from(format!("{VDC}.end"))]);
    store.confirmed(VDC).await.unwrap();
    store.confirmed(VDC).await.unwrap();
    assert!(files(directory.path()).is_empty());
    assert_eq!(end(&store, VDC, &[]).await.unwrap(), None);
}

#[tokio::test]
async fn a_vdc_without_keys_has_no_end_to_tell_of() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    // A key that was being made when the power failed.
    fs::write(directory.path().join("keys").join(format!("{VDC}.new")), "{\"keks\":[").unwrap();
    assert_eq!(end(&store, VDC, &[]).await.unwrap(), None);
    assert!(files(directory.path()).is_empty());
}

#[tokio::test]
async fn nothing_is_lost_wherever_the_process_is_stopped() {
    let ring = |directory: &Path| directory.join("keys").join(format!("{VDC}.json"));
    let overwritten = |directory: &Path| {
        let file = ring(directory);
        fs::write(&file, vec![0; usize::try_from(fs::metadata(&file).unwrap().len()).unwrap()]).unwrap();
    };
    for stop in ["begun", "half overwritten", "overwritten", "destroyed", "noted half"] {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let (store, known) = filled(at).await;
        if stop == "noted half" {
            fs::write(at.join("keys").join(format!("{VDC}.end-new")), "{\"keys\":[").unwrap();
        } else {
            store.begin(VDC).await.unwrap().unwrap();
        }
        match stop {
            "half overwritten" => {
                let mut text = fs::read(ring(at)).unwrap();
                text[..40].fill(0);
                fs::write(ring(at), text).unwrap();
            }
            "overwritten" => overwritten(at),
            "destroyed" => store.destroy(VDC).await.unwrap(),
            _ => (),
        }
        let said = shown(end(&open(at), VDC, &known).await.unwrap());
        let named: Vec<&str> = said.keys.iter().map(|k| k.name.as_str()).collect();
        assert_eq!((named, said.tried), (names(&known), 4), "{stop}");
        assert!(!ring(at).exists(), "{stop}");
        store.confirmed(VDC).await.unwrap();
        assert!(files(at).is_empty(), "{stop}: {:?}", files(at));
    }
}

#[tokio::test]
async fn a_damaged_ring_that_nobody_noted_is_not_called_destroyed() {
    let directory = tempfile::tempdir().unwrap();
    let (store, known) = filled(directory.path()).await;
    let ring = directory.path().join("keys").join(format!("{VDC}.json"));
    fs::write(&ring, "{").unwrap();
    assert!(matches!(end(&store, VDC, &known).await, Err(KeyError::Damaged { .. })));
    assert!(ring.exists(), "somebody has to look at it");
}

#[tokio::test]
async fn a_vdc_that_comes_back_gets_other_keys_and_its_end_names_all() {
    let directory = tempfile::tempdir().unwrap();
    let (store, mut known) = filled(directory.path()).await;
    // Stopped in the middle, and wanted again: what has begun is brought to its end.
    store.begin(VDC).await.unwrap();
    store.ensure(VDC, 1, 90).await.unwrap();
    assert!(matches!(store.unwrap(&known[0].0, &known[0].1).await, Err(KeyError::Unknown { .. })));
    let fresh = store.wrap(&volume("x"), &key()).await.unwrap();
    assert_eq!(store.unwrap(&volume("x"), &fresh).await.unwrap(), key());
    known.push((volume("x"), fresh));
    let said = shown(end(&store, VDC, &known).await.unwrap());
    assert_eq!((said.count, said.tried), (3, 6));
    let named: Vec<&str> = said.keys.iter().map(|k| k.name.as_str()).collect();
    assert!(names(&known).iter().all(|name| named.contains(name)), "{named:?}");
    assert!(matches!(store.unwrap(&known[2].0, &known[2].1).await, Err(KeyError::Unknown { .. })));
}

#[tokio::test]
async fn a_ring_that_somebody_puts_back_is_destroyed_again() {
    let directory = tempfile::tempdir().unwrap();
    let (store, known) = filled(directory.path()).await;
    let ring = directory.path().join("keys").join(format!("{VDC}.json"));
    let copy = fs::read(&ring).unwrap();
    let said = shown(end(&store, VDC, &known).await.unwrap());
    fs::write(&ring, copy).unwrap();
    let again = shown(end(&store, VDC, &known).await.unwrap());
    assert_eq!((again.keys, again.tried), (said.keys, said.tried));
    assert!(!ring.exists());
}

/// What a provider does when it is asked to destroy, or afterwards.
enum Fault {
    /// It says yes and does nothing.
    DestroysNothing,
    /// It cannot be asked for a key.
    CannotBeAsked,
}

struct Faulty(Embedded, Fault);

impl Provider for Faulty {
    async fn ensure(&self, vdc: &str, generation: u32, max_age_days: u32) -> Result<u32, KeyError> {
        self.0.ensure(vdc, generation, max_age_days).await
    }

    async fn wrap(&self, place: &Place, key: &DataKey) -> Result<WrappedKey, KeyError> {
        self.0.wrap(place, key).await
    }

    async fn unwrap(&self, place: &Place, wrapped: &WrappedKey) -> Result<DataKey, KeyError> {
        match self.1 {
            Fault::CannotBeAsked => Err(KeyError::Stopped),
            Fault::DestroysNothing => self.0.unwrap(place, wrapped).await,
        }
    }

    async fn forget(&self, vdc: &str, oldest: u32) -> Result<(), KeyError> {
        self.0.forget(vdc, oldest).await
    }

    async fn begin(&self, vdc: &str) -> Result<Option<Ending>, KeyError> {
        self.0.begin(vdc).await
    }

    async fn destroy(&self, vdc: &str) -> Result<(), KeyError> {
        match self.1 {
            Fault::DestroysNothing => Ok(()),
            Fault::CannotBeAsked => self.0.destroy(vdc).await,
        }
    }

    async fn ended(&self, vdc: &str, tried: u32) -> Result<Ending, KeyError> {
        self.0.ended(vdc, tried).await
    }

    async fn confirmed(&self, vdc: &str) -> Result<(), KeyError> {
        self.0.confirmed(vdc).await
    }
}

#[tokio::test]
async fn what_was_not_read_back_as_gone_is_not_called_destroyed() {
    for fault in [Fault::DestroysNothing, Fault::CannotBeAsked] {
        let directory = tempfile::tempdir().unwrap();
        let (store, known) = filled(directory.path()).await;
        let faulty = Faulty(store.clone(), fault);
        for _ in 0..2 {
            let error = end(&faulty, VDC, &known).await.unwrap_err();
            assert!(matches!(error, KeyError::Still { .. } | KeyError::Stopped), "{error}");
            assert_eq!(store.begin(VDC).await.unwrap().unwrap().shown(), None, "nothing is claimed");
        }
        // A provider that does what it says ends what has begun.
        assert_eq!(shown(end(&store, VDC, &known).await.unwrap()).count, 2);
    }
}

#[test]
fn only_the_word_that_there_is_no_such_key_is_proof() {
    let wrapped = WrappedKey { kek: "0123456789abcdef".to_owned(), generation: 1, data: "AAAA".to_owned() };
    let (vdc, kek) = (VDC.to_owned(), wrapped.kek.clone());
    let unknown = KeyError::Unknown { vdc: vdc.clone(), kek, generation: 1 };
    assert!(gone(&volume("v"), &wrapped, Err(unknown)).is_ok());
    assert!(gone(&volume("v"), &wrapped, Ok(key())).is_err());
    let source = std::io::Error::other("no disk");
    for error in [
        KeyError::Wrong { vdc: vdc.clone(), volume: "v".to_owned() },
        KeyError::Store { what: "read", vdc: vdc.clone(), source },
        KeyError::Damaged { vdc, why: "x".to_owned() },
        KeyError::Stopped,
    ] {
        assert!(gone(&volume("v"), &wrapped, Err(error)).is_err());
    }
}
