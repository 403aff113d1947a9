//! The provider against the engine itself.

use std::sync::Arc;

use serde_json::json;
use yunting_controller::context::Context;
use yunting_controller::error::chain;
use yunting_controller::keys::ending::end;
use yunting_controller::keys::vault::Vault;
use yunting_controller::keys::{KeyError, Place, Provider};
use yunting_controller::metrics::Metrics;
use yunting_crds::volume_key::WrappedKey;
use yunting_tests::node::process::eventually;

use super::super::disk::key;
use super::server::{SITE, Server};

const VDC: &str = "aaaaaaaa-1111";
const OTHER: &str = "bbbbbbbb-2222";

fn place(vdc: &str, volume: &str) -> Place {
    Place { vdc: vdc.to_owned(), volume: volume.to_owned() }
}

fn provider(server: &Server) -> Vault {
    of_site(server, SITE)
}

fn of_site(server: &Server, site: &str) -> Vault {
    let context = Context::new(Arc::new(Metrics::new().unwrap()));
    Vault::open(server.client(), site, &server.directory.path().join("notes"), context).unwrap()
}

/// Path of the VDC's key for its keeper.
fn path(vdc: &str) -> String {
    format!("transit/keys/yunting-{SITE}-{vdc}")
}

fn unknown<T: std::fmt::Debug>(answer: &Result<T, KeyError>) {
    assert!(matches!(answer, Err(KeyError::Unknown { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_data_key_opens_for_its_volume_of_its_vdc_alone() {
    let server = Server::start().unwrap();
    let vault = provider(&server);
    assert_eq!(vault.ensure(VDC, 1, 90).await.unwrap(), 1);
    assert_eq!(vault.ensure(VDC, 1, 90).await.unwrap(), 1);
    assert_eq!(vault.ensure(OTHER, 1, 90).await.unwrap(), 1);
    let wrapped = vault.wrap(&place(VDC, "v"), &key(7)).await.unwrap();
    assert!(wrapped.data.len() <= 400 && wrapped.kek.len() == 16, "the fields' bounds: {wrapped:?}");
    assert_eq!(vault.unwrap(&place(VDC, "v"), &wrapped).await.unwrap(), key(7));
    let wrong = vault.unwrap(&place(VDC, "w"), &wrapped).await;
    assert!(matches!(wrong, Err(KeyError::Wrong { .. })), "{wrong:?}");
    let mut changed = wrapped.clone();
    changed.data.replace_range(..4, "AAAA");
    let wrong = vault.unwrap(&place(VDC, "v"), &changed).await;
    assert!(matches!(wrong, Err(KeyError::Wrong { .. })), "{wrong:?}");
    // Another VDC has another key, also where somebody says that it is this one's.
    unknown(&vault.unwrap(&place(OTHER, "v"), &wrapped).await);
    let claimed = vault.wrap(&place(OTHER, "v"), &key(7)).await.unwrap();
    let claimed = WrappedKey { data: wrapped.data.clone(), ..claimed };
    let wrong = vault.unwrap(&place(OTHER, "v"), &claimed).await;
    assert!(matches!(wrong, Err(KeyError::Wrong { .. })), "{wrong:?}");
    // And so has another site, which may neither use nor see this one's.
    let denied = of_site(&server, "guoyang").ensure(VDC, 1, 90).await.unwrap_err();
    assert!(chain(&denied).contains("denies transit/keys/yunting-guoyang-"), "{}", chain(&denied));
}

#[tokio::test]
async fn generations_are_versions_and_old_ones_end_for_good() {
    let server = Server::start().unwrap();
    let vault = provider(&server);
    vault.ensure(VDC, 1, 90).await.unwrap();
    let old = vault.wrap(&place(VDC, "v"), &key(7)).await.unwrap();
    assert_eq!(vault.ensure(VDC, 3, 90).await.unwrap(), 3);
    let opened = vault.unwrap(&place(VDC, "v"), &old).await.unwrap();
    let new = vault.wrap(&place(VDC, "v"), &opened).await.unwrap();
    assert_eq!((old.generation, new.generation), (1, 3));
    assert_ne!(old.kek, new.kek);
    vault.forget(VDC, 3).await.unwrap();
    unknown(&vault.unwrap(&place(VDC, "v"), &old).await);
    assert_eq!(vault.unwrap(&place(VDC, "v"), &new).await.unwrap(), key(7));
    // Not even its keeper gets the old ones back.
    let config = json!({"min_decryption_version": 1});
    let again = server.keeper("POST", &format!("{}/config", path(VDC)), &config);
    let shown = server.keeper("GET", &path(VDC), &json!({})).unwrap();
    assert!(again.is_err() || shown["data"]["keys"].get("1").is_none(), "{shown}");
    unknown(&vault.unwrap(&place(VDC, "v"), &old).await);
    // The newest is never forgotten.
    vault.forget(VDC, 9).await.unwrap();
    assert_eq!(vault.unwrap(&place(VDC, "v"), &new).await.unwrap(), key(7));
}

#[tokio::test]
async fn what_is_destroyed_was_tried_and_is_remembered_until_it_was_heard() {
    let server = Server::start().unwrap();
    let vault = provider(&server);
    let mut known = Vec::new();
    for (generation, name) in [(1, "v"), (2, "w")] {
        vault.ensure(VDC, generation, 90).await.unwrap();
        known.push((place(VDC, name), vault.wrap(&place(VDC, name), &key(7)).await.unwrap()));
    }
    // Stopped when it was noted, and when it was destroyed.
    vault.begin(VDC).await.unwrap().unwrap();
    vault.destroy(VDC).await.unwrap();
    server.keeper("GET", &path(VDC), &json!({})).unwrap_err();
    let ending = end(&provider(&server), VDC, &known).await.unwrap().unwrap();
    let said = ending.shown().unwrap();
    assert_eq!((said.count, said.tried, said.opened, said.read_back), (2, 4, 0, true));
    // No key is noted, and nothing that opens anything.
    let notes = std::fs::read_dir(server.directory.path().join("notes")).unwrap();
    assert_eq!(notes.map(|f| f.unwrap().file_name()).collect::<Vec<_>>(), [&*format!("{VDC}.vault-end")]);
    // It comes back with another key of the same name and version.
    assert_eq!(vault.ensure(VDC, 2, 90).await.unwrap(), 2);
    for (place, wrapped) in &known {
        assert!(vault.unwrap(place, wrapped).await.is_err());
    }
    let said = end(&vault, VDC, &known).await.unwrap().unwrap().shown().unwrap();
    assert!(said.count >= 2 && said.opened == 0, "{said:?}");
    vault.confirmed(VDC).await.unwrap();
    assert_eq!(end(&vault, VDC, &[]).await.unwrap(), None);
}

#[tokio::test]
async fn a_vault_that_cannot_be_asked_proves_nothing_and_says_why() {
    let mut server = Server::start().unwrap();
    let vault = provider(&server);
    vault.ensure(VDC, 1, 90).await.unwrap();
    let wrapped = vault.wrap(&place(VDC, "v"), &key(7)).await.unwrap();
    let known = [(place(VDC, "v"), wrapped.clone())];
    let told = async |words: &str| {
        for error in [
            vault.unwrap(&place(VDC, "v"), &wrapped).await.map(drop).unwrap_err(),
            vault.ensure(VDC, 1, 90).await.map(drop).unwrap_err(),
            end(&vault, VDC, &known).await.map(drop).unwrap_err(),
        ] {
            let said = chain(&error);
            assert!(matches!(error, KeyError::Vault { .. }) && said.contains(words), "{said}");
            assert!(!said.contains("hvs."), "a token is told: {said}");
        }
    };
    server.seal().unwrap();
    told("is sealed: its keeper has to unseal it").await;
    server.unseal().unwrap();
    // An engine that is not there has no keys, and says nothing of them.
    let moved = |from: &str, to: &str| {
        server.keeper("POST", "sys/remount", &json!({"from": from, "to": to})).unwrap();
        // It answers before it is done.
        let there = || server.keeper("GET", &path(VDC).replace("transit", to), &json!({})).ok();
        eventually("the engine moves", there).unwrap();
    };
    moved("transit", "elsewhere");
    told("no handler for route").await;
    moved("elsewhere", "transit");
    server.stop();
    told("cannot be reached").await;
    server.start_again().unwrap();
    assert_eq!(vault.unwrap(&place(VDC, "v"), &wrapped).await.unwrap(), key(7));
    // Another authority's certificate is not Vault's.
    std::fs::write(
        server.directory.path().join("ca.crt"),
        yunting_lab::pki::Authority::new("x").unwrap().cert(),
    )
    .unwrap();
    told("cannot be reached").await;
}

#[tokio::test]
async fn a_token_without_rights_is_told_and_one_that_is_replaced_is_used() {
    let server = Server::start().unwrap();
    let vault = provider(&server);
    vault.ensure(VDC, 1, 90).await.unwrap();
    let wrapped = vault.wrap(&place(VDC, "v"), &key(7)).await.unwrap();
    let file = server.directory.path().join("token");
    let first = std::fs::read_to_string(&file).unwrap();
    // One that ended, and one that may do nothing.
    server.revoke(first.trim()).unwrap();
    let poor = server.token("default").unwrap();
    for give in [None, Some(poor.as_str())] {
        if let Some(token) = give {
            server.give(token).unwrap();
        }
        let said = chain(&vault.unwrap(&place(VDC, "v"), &wrapped).await.unwrap_err());
        assert!(said.contains("denies transit/keys/") && said.contains("runbook"), "{said}");
        assert!(!said.contains("hvs."), "{said}");
    }
    for (text, words) in [("", "it is empty"), ("a\nb", "something else than a token")] {
        std::fs::write(&file, text).unwrap();
        let said = chain(&vault.unwrap(&place(VDC, "v"), &wrapped).await.unwrap_err());
        assert!(said.contains(words), "{said}");
    }
    server.give(&server.token("yunting-site").unwrap()).unwrap();
    assert_eq!(vault.unwrap(&place(VDC, "v"), &wrapped).await.unwrap(), key(7));
}

#[tokio::test]
async fn a_key_that_may_be_read_out_is_not_used() {
    let server = Server::start().unwrap();
    let exportable = json!({"type": "aes256-gcm96", "exportable": true});
    server.keeper("POST", &path(VDC), &exportable).unwrap();
    let error = provider(&server).ensure(VDC, 1, 90).await.unwrap_err();
    assert!(matches!(error, KeyError::Unfit { .. }), "{error}");
    // What the site's token may not do: read keys out, list them, use another's.
    for denied in ["export/encryption-key/yunting-guoyang-x", "keys?list=true", "backup/yunting-guoyang-x"] {
        let mut curl = std::process::Command::new("curl");
        let token = std::fs::read_to_string(server.directory.path().join("token")).unwrap();
        let address = format!("{}/v1/transit/{denied}", server.options().address);
        curl.args(["-s", "--cacert"]).arg(server.options().ca.unwrap());
        let said =
            curl.args(["--header", &format!("X-Vault-Token: {}", token.trim()), &address]).output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.contains("permission denied"), "{denied}: {said}");
    }
}
