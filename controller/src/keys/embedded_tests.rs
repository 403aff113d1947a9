//! What the store of keys promises, on files of a test's own.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::metrics::Metrics;

const VDC: &str = "aaaaaaaa-1111";

fn store() -> (tempfile::TempDir, Embedded) {
    let directory = tempfile::tempdir().unwrap();
    let context = Context::new(Arc::new(Metrics::new().unwrap()));
    let store = Embedded::open(directory.path().join("keys"), context).unwrap();
    (directory, store)
}

fn place(volume: &str) -> Place {
    Place { vdc: VDC.to_owned(), volume: volume.to_owned() }
}

fn key() -> DataKey {
    DataKey::new(&[9; 32]).unwrap()
}

#[tokio::test]
async fn a_data_key_comes_back_for_its_volume_alone() {
    let (_directory, store) = store();
    assert_eq!(store.ensure(VDC, 1, 90).await.unwrap(), 1);
    let wrapped = store.wrap(&place("v"), &key()).await.unwrap();
    assert_eq!(store.unwrap(&place("v"), &wrapped).await.unwrap(), key());
    assert!(matches!(store.unwrap(&place("w"), &wrapped).await, Err(KeyError::Wrong { .. })));
    let other = Place { vdc: "bbbbbbbb-2222".to_owned(), ..place("v") };
    store.ensure(&other.vdc, 1, 90).await.unwrap();
    assert!(matches!(store.unwrap(&other, &wrapped).await, Err(KeyError::Unknown { .. })));
    let changed = WrappedKey { data: wrapped.data.replace(&wrapped.data[..4], "AAAA"), ..wrapped };
    assert!(matches!(store.unwrap(&place("v"), &changed).await, Err(KeyError::Wrong { .. })));
}

#[tokio::test]
async fn a_new_generation_opens_what_older_ones_wrapped_until_they_are_forgotten() {
    let (_directory, store) = store();
    store.ensure(VDC, 1, 90).await.unwrap();
    let old = store.wrap(&place("v"), &key()).await.unwrap();
    assert_eq!(store.ensure(VDC, 3, 90).await.unwrap(), 3);
    assert_eq!(store.ensure(VDC, 2, 90).await.unwrap(), 3);
    assert_eq!(store.unwrap(&place("v"), &old).await.unwrap(), key());
    let new = store.wrap(&place("v"), &key()).await.unwrap();
    assert_eq!((old.generation, new.generation), (1, 3));
    store.forget(VDC, 3).await.unwrap();
    assert!(matches!(store.unwrap(&place("v"), &old).await, Err(KeyError::Unknown { .. })));
    assert_eq!(store.unwrap(&place("v"), &new).await.unwrap(), key());
    // The newest is never forgotten.
    store.forget(VDC, 9).await.unwrap();
    assert_eq!(store.unwrap(&place("v"), &new).await.unwrap(), key());
}

#[tokio::test]
async fn an_old_key_gets_a_successor() {
    use jiff::Timestamp;
    let directory = tempfile::tempdir().unwrap();
    let at = |clock| {
        let context = Context::with_clock(clock, Arc::new(Metrics::new().unwrap()));
        Embedded::open(directory.path().join("keys"), context).unwrap()
    };
    let first = at(|| Timestamp::from_second(1_700_000_000).unwrap());
    assert_eq!(first.ensure(VDC, 1, 90).await.unwrap(), 1);
    let before = at(|| Timestamp::from_second(1_700_000_000 + 90 * DAY - 1).unwrap());
    assert_eq!(before.ensure(VDC, 1, 90).await.unwrap(), 1);
    let after = at(|| Timestamp::from_second(1_700_000_000 + 90 * DAY).unwrap());
    assert_eq!(after.ensure(VDC, 1, 90).await.unwrap(), 2);
}

#[tokio::test]
async fn what_is_destroyed_opens_nothing_and_leaves_no_file() {
    let (directory, store) = store();
    store.ensure(VDC, 1, 90).await.unwrap();
    let wrapped = store.wrap(&place("v"), &key()).await.unwrap();
    store.destroy(VDC).await.unwrap();
    assert!(matches!(store.unwrap(&place("v"), &wrapped).await, Err(KeyError::Unknown { .. })));
    assert_eq!(fs::read_dir(directory.path().join("keys")).unwrap().count(), 0);
    store.destroy(VDC).await.unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_told_without_its_content_and_never_replaced() {
    let (directory, store) = store();
    store.ensure(VDC, 1, 90).await.unwrap();
    let file = directory.path().join("keys").join(format!("{VDC}.json"));
    let text = fs::read_to_string(&file).unwrap();
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::write(&file, &text[..text.len() - 3]).unwrap();
    let error = store.ensure(VDC, 2, 90).await.unwrap_err();
    assert!(matches!(error, KeyError::Damaged { .. }), "{error}");
    let secret = text.split('"').max_by_key(|part| part.len()).unwrap();
    assert!(!error.to_string().contains(&secret[..8]));
    assert_eq!(fs::read_to_string(&file).unwrap(), &text[..text.len() - 3]);
}
