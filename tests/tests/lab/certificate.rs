//! What somebody collected of a VDC before it ended, what became of its keys, and whether anything that is left opens what was
//! collected. Keys are tried through the product's own provider, on copies of the site's key directory.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use data_encoding::{BASE64, HEXLOWER};
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use yunting_controller::context::Context;
use yunting_controller::keys::embedded::Embedded;
use yunting_controller::keys::{BYTES, KeyError, Place, Provider};
use yunting_controller::metrics::Metrics;
use yunting_crds::deletion_certificate::Outcome;
use yunting_crds::volume_key::WrappedKey;
use yunting_crds::{DeletionCertificate, VolumeKey, labels};
use yunting_plan::certificate::verify;

use super::fixture::World;

/// What somebody has who read every API server: wrapped keys of one VDC, and all that Secrets hold.
pub struct Collected {
    vdc: String,
    site: String,
    wrapped: Vec<(Place, WrappedKey)>,
    secrets: Vec<Vec<u8>>,
}

impl Collected {
    /// Of a VDC at a site, while it is there. That its keys open what was collected is seen now: later it proves something
    /// that they do not.
    pub fn read(world: &World, site: &str, vdc: &str) -> anyhow::Result<Self> {
        let (wrapped, secrets) = world.runtime.block_on(async {
            let client = world.site(site).await?;
            let all = ListParams::default();
            let keys = Api::<VolumeKey>::all(client.clone()).list(&all).await?;
            let of_vdc = keys.iter().filter(|k| k.spec.vdc == vdc);
            let wrapped: Vec<(Place, WrappedKey)> = of_vdc
                .flat_map(|k| {
                    let answered = k.status.as_ref().and_then(|s| s.wrapped.clone());
                    let place = Place { vdc: vdc.to_owned(), volume: k.name_any() };
                    k.spec.wrapped.clone().into_iter().chain(answered).map(move |w| (place.clone(), w))
                })
                .collect();
            let mut secrets = Vec::new();
            for client in [world.hub.clone(), client] {
                let list = Api::<Secret>::all(client).list(&all).await?;
                let values = list.into_iter().flat_map(|s| s.data.unwrap_or_default().into_values());
                secrets.extend(values.map(|v| v.0));
            }
            anyhow::Ok((wrapped, secrets))
        })?;
        let collected = Self { vdc: vdc.to_owned(), site: site.to_owned(), wrapped, secrets };
        ensure!(!collected.wrapped.is_empty() && !collected.secrets.is_empty(), "nothing was collected");
        let (opened, tried) = collected.try_with(world, "before")?;
        ensure!(opened == tried, "{opened} of {tried} wrapped keys open while the VDC is there");
        Ok(collected)
    }

    /// Nothing that is left in the key directory opens anything of it, and nothing in the Secrets is the key.
    pub fn opens_no_more(&self, world: &World) -> anyhow::Result<()> {
        let (opened, tried) = self.try_with(world, "after")?;
        println!("{opened} of {tried} wrapped keys open after the end of the VDC");
        ensure!(opened == 0 && tried >= self.wrapped.len(), "{opened} of {tried} wrapped keys open still");
        let guesses = self.guesses()?;
        println!("none of {guesses} values of {BYTES} bytes in Secrets is the key");
        Ok(())
    }

    /// How many wrapped keys a copy of the site's key directory opens, of how many.
    fn try_with(&self, world: &World, name: &str) -> anyhow::Result<(usize, usize)> {
        let dir = world.lab.site_dir(world.lab.site(&self.site)?);
        let (keys, copy) = (dir.disk().join("keys"), dir.0.join(format!("keys-{name}")));
        let script = format!("rm -rf {1}; cp -r {0} {1}", keys.display(), copy.display());
        world.lab(&["exec", &self.site, "--", "sh", "-ec", &script])?;
        let tried = self.opened(world, copy.clone());
        fs::remove_dir_all(&copy).with_context(|| copy.display().to_string())?;
        tried
    }

    fn opened(&self, world: &World, directory: PathBuf) -> anyhow::Result<(usize, usize)> {
        let store = store(directory)?;
        let mut opened = 0;
        for (place, wrapped) in &self.wrapped {
            match world.runtime.block_on(store.unwrap(place, wrapped)) {
                Ok(_) => opened += 1,
                Err(KeyError::Unknown { .. }) => (),
                Err(error) => return Err(error).context("a key that could not be tried proves nothing"),
            }
        }
        Ok((opened, self.wrapped.len()))
    }

    /// Takes whatever in Secrets has the length of a key for the VDC's key. A key is found by its name, the beginning of a
    /// hash of it; how many were tried.
    fn guesses(&self) -> anyhow::Result<usize> {
        let decoded = |v: &Vec<u8>| BASE64.decode(v.trim_ascii()).ok();
        let all = self.secrets.iter().flat_map(|v| [Some(v.clone()), decoded(v)]).flatten();
        let mut tried = 0;
        for guess in all.filter(|v| v.len() == BYTES) {
            tried += 1;
            let mut hash = Sha256::new();
            hash.update(b"yunting kek name v1");
            hash.update(BASE64.encode(&guess));
            let name = HEXLOWER.encode(&hash.finalize()[..8]);
            ensure!(
                !self.wrapped.iter().any(|(_, w)| w.kek == name),
                "a key of VDC {} is in a Secret",
                self.vdc
            );
        }
        Ok(tried)
    }

    /// The VDC's certificate says that its keys were destroyed at its site, those that wrapped what was collected, and is part
    /// of a whole chain, as anybody can check with the product's own program.
    pub fn certified(&self, world: &World) -> anyhow::Result<()> {
        let certificates: Api<DeletionCertificate> =
            Api::namespaced(world.hub.clone(), labels::SYSTEM_NAMESPACE);
        let all = world.runtime.block_on(certificates.list(&ListParams::default()))?.items;
        let found = verify(&all.iter().map(|c| (c.name_any(), c.spec.clone())).collect::<Vec<_>>());
        ensure!(found.broken.is_empty(), "the chain is broken: {:?}", found.broken);
        let mut mine = all.iter().filter(|c| c.spec.uid == self.vdc);
        let spec = &mine.next().context("the VDC has no certificate")?.spec;
        ensure!(mine.next().is_none(), "the VDC has two certificates");
        ensure!(spec.whole && spec.sites.len() == 1 && spec.sites[0].site == self.site, "{spec:?}");
        let keys = &spec.sites[0].keys;
        let proof = keys.destroyed.as_ref().context("no proof")?;
        ensure!(keys.outcome == Outcome::Destroyed && proof.read_back && proof.opened == 0, "{keys:?}");
        let named = |kek: &str| proof.keys.iter().any(|k| k.name == kek);
        ensure!(
            self.wrapped.iter().all(|(_, w)| named(&w.kek)),
            "{proof:?} does not name all of {:?}",
            self.wrapped
        );
        println!("{}: {}", spec.ended_at, keys.reason);
        self.program(world, &all)
    }

    fn program(&self, world: &World, all: &[DeletionCertificate]) -> anyhow::Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        let check = |list: &Value| -> anyhow::Result<bool> {
            fs::write(file.path(), list.to_string())?;
            let output = std::process::Command::new(world.lab.program("yunting-controller"))
                .arg("verify-certificates")
                .arg(file.path())
                .output()?;
            print!("{}", String::from_utf8_lossy(&output.stdout));
            Ok(output.status.success())
        };
        let mut list = json!({"apiVersion": "v1", "kind": "List", "items": all});
        ensure!(check(&list)?, "the program does not find the chain whole");
        let end = list["items"].as_array().map_or(0, Vec::len).saturating_sub(1);
        list["items"][end]["spec"]["vdc"] = "another".into();
        ensure!(!check(&list)?, "the program finds a changed certificate whole, {} is one", self.vdc);
        Ok(())
    }
}

fn store(directory: PathBuf) -> anyhow::Result<Embedded> {
    let context = Context::new(Arc::new(Metrics::new()?));
    Ok(Embedded::open(directory, context)?)
}
