//! Data keys from the site: a question is a `VolumeKey`, the answer is sealed for this process alone and taken back once
//! it has come.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::watcher;
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use yunting_crds::VolumeKey;
use yunting_crds::volume_key::WrappedKey;
use yunting_plan::object::{Key, Object};

use super::Lent;
use super::error::Error;
use crate::cache::Cache;
use crate::keys::sealing::Recipient;
use crate::keys::{DataKey, Place};
use crate::kinds;
use crate::wire::Read;
use crate::writer::Writer;

/// Field manager of the questions.
const MANAGER: &str = "yunting/node-volume";
/// Time for an answer. Who asked asks again after it.
const ANSWER: Duration = Duration::from_secs(20);

/// Asks the site.
pub(super) struct Keys {
    node: String,
    writer: Writer,
    asked: Cache<VolumeKey>,
    changed: watch::Receiver<()>,
}

impl Keys {
    /// Watches this node's questions.
    pub(super) async fn start(lent: &Lent<'_>, stop: &CancellationToken) -> Self {
        let (sender, changed) = watch::channel(());
        let own = watcher::Config::default().fields(&format!("spec.node={}", lent.node));
        let api: Api<Read<VolumeKey>> = Api::all(lent.client.clone());
        let asked = Cache::start(api, own, lent.metrics.clone(), stop.clone(), move |_: &VolumeKey| {
            sender.send_replace(());
        });
        asked.ready().await;
        Self { node: lent.node.to_owned(), writer: lent.writer.clone(), asked, changed }
    }

    /// Follows what changes.
    pub(super) fn follow(&self) -> watch::Receiver<()> {
        self.changed.clone()
    }

    /// Every question of this node.
    pub(super) fn all(&self) -> Vec<Arc<VolumeKey>> {
        self.asked.all()
    }

    /// The data key of a volume, and how the volume is to keep it. Without `wrapped` one is made, or the one that was made
    /// for a volume of that name and not kept. With it comes the volume it was made for, where it is another.
    pub(super) async fn get(
        &self,
        place: &Place,
        wrapped: Option<(&WrappedKey, Option<&str>)>,
    ) -> Result<(DataKey, WrappedKey), Error> {
        let key = |source| Error::Key { volume: place.volume.clone(), source };
        let recipient = Recipient::new().map_err(key)?;
        let mut changes = self.follow();
        self.write(place, wrapped, Some(recipient.public())).await?;
        let look = async {
            loop {
                changes.borrow_and_update();
                if let Some(answer) = self.answer(place, &recipient) {
                    return answer;
                }
                if changes.changed().await.is_err() {
                    return Err(no_key(place, "the watch for the answer ended"));
                }
            }
        };
        let late = |_| no_key(place, "the site's controller has not answered; see its log, and that it runs");
        let (sealed, wrapped) = tokio::time::timeout(ANSWER, look).await.map_err(late)??;
        Ok((recipient.open(place, &sealed).map_err(key)?, wrapped))
    }

    /// What was answered to this process, if it was.
    fn answer(&self, place: &Place, recipient: &Recipient) -> Option<Result<(String, WrappedKey), Error>> {
        let asked = self.asked.get_cluster(&place.volume)?;
        let ours = asked.spec.recipient.as_deref() == Some(recipient.public());
        let status = asked.status.as_ref().filter(|_| ours)?;
        if status.observed_generation != asked.metadata.generation {
            return None;
        }
        if let Some(why) = &status.refused {
            return Some(Err(no_key(place, why)));
        }
        Some(Ok((status.sealed.clone()?, status.wrapped.clone()?)))
    }

    /// The volume keeps its key so: nobody waits for it any more. Written only where it is not said yet.
    pub(super) async fn kept(&self, place: &Place, wrapped: &WrappedKey) -> Result<(), Error> {
        let said = self.asked.get_cluster(&place.volume).is_some_and(|asked| {
            let spec = &asked.spec;
            spec.wrapped.as_ref() == Some(wrapped)
                && spec.recipient.is_none()
                && spec.origin.is_none()
                && spec.sealed.is_none()
        });
        if said {
            return Ok(());
        }
        self.write(place, Some((wrapped, None)), None).await
    }

    /// What the site has made of the key of a replica that it was asked to take over; nothing where it has not answered.
    pub(super) fn taken_over(&self, place: &Place) -> Result<Option<WrappedKey>, Error> {
        let Some(asked) = self.asked.get_cluster(&place.volume) else { return Ok(None) };
        let Some(status) = &asked.status else { return Ok(None) };
        if status.observed_generation != asked.metadata.generation {
            return Ok(None);
        }
        match &status.refused {
            Some(why) => Err(no_key(place, why)),
            None => Ok(status.wrapped.clone()),
        }
    }

    /// Asks the site to take over the key of a replica, which was sealed to it.
    pub(super) async fn take_over(&self, place: &Place, sealed: &str) -> Result<(), Error> {
        let said = self.asked.get_cluster(&place.volume).is_some_and(|asked| {
            asked.spec.sealed.as_deref() == Some(sealed) && asked.spec.recipient.is_none()
        });
        if said {
            return Ok(());
        }
        let question = kinds::object::<VolumeKey>(json!({
            "metadata": {"name": place.volume},
            "spec": {"node": self.node, "vdc": place.vdc, "sealed": sealed},
        }));
        self.writer.apply(MANAGER, &question).await?;
        Ok(())
    }

    async fn write(
        &self,
        place: &Place,
        wrapped: Option<(&WrappedKey, Option<&str>)>,
        recipient: Option<&str>,
    ) -> Result<(), Error> {
        let question = self.question(place, wrapped, recipient);
        self.writer.apply(MANAGER, &question).await?;
        Ok(())
    }

    fn question(
        &self,
        place: &Place,
        wrapped: Option<(&WrappedKey, Option<&str>)>,
        recipient: Option<&str>,
    ) -> Object {
        let (wrapped, origin) = wrapped.map_or((None, None), |(wrapped, origin)| (Some(wrapped), origin));
        let (node, vdc) = (&self.node, &place.vdc);
        kinds::object::<VolumeKey>(json!({
            "metadata": {"name": place.volume},
            "spec": {"node": node, "vdc": vdc, "wrapped": wrapped, "origin": origin, "recipient": recipient},
        }))
    }

    /// The volume is gone, and with it what it was asked for.
    pub(super) async fn forget(&self, volume: &str) -> Result<(), Error> {
        let Some(asked) = self.asked.get_cluster(volume) else { return Ok(()) };
        let key = Key { kind: kinds::of::<VolumeKey>(), namespace: None, name: volume.to_owned() };
        Ok(self.writer.delete(&key, &asked.uid().unwrap_or_default()).await?)
    }
}

fn no_key(place: &Place, why: &str) -> Error {
    Error::NoKey { volume: place.volume.clone(), why: why.to_owned() }
}
