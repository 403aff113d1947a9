//! What the gateway sees of the cluster: one watch per kind, each with a copy of what it saw last.
//!
//! A lost API server leaves the copies as they are, and the watches come back by themselves.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::NAMESPACE;
use super::api::{Gateway, GatewayClass, HTTPRoute};
use super::plan::World;

/// The copies.
pub struct Watches {
    routes: Store<HTTPRoute>,
    namespaces: Store<Namespace>,
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    gateways: Store<Gateway>,
    classes: Store<GatewayClass>,
}

impl Watches {
    /// Starts all watches; `changed` is told of every event.
    pub fn start(client: &Client, changed: &Arc<Notify>) -> Self {
        Self {
            routes: watch(Api::all(client.clone()), "", changed),
            // Only namespaces of VDCs matter; a label that goes away comes as a deletion.
            namespaces: watch(Api::all(client.clone()), "yunting.io/vdc-uid", changed),
            services: watch(Api::all(client.clone()), "", changed),
            slices: watch(Api::all(client.clone()), "", changed),
            gateways: watch(Api::namespaced(client.clone(), NAMESPACE), "", changed),
            classes: watch(Api::all(client.clone()), "", changed),
        }
    }

    /// Waits until each copy was complete once: deciding on half of the truth would take sites down.
    pub async fn complete(&self) -> Result<(), reflector::store::WriterDropped> {
        self.routes.wait_until_ready().await?;
        self.namespaces.wait_until_ready().await?;
        self.services.wait_until_ready().await?;
        self.slices.wait_until_ready().await?;
        self.gateways.wait_until_ready().await?;
        self.classes.wait_until_ready().await
    }

    /// What the plan is made from.
    pub fn world(&self) -> World {
        World {
            routes: self.routes.state(),
            namespaces: self.namespaces.state(),
            services: self.services.state(),
            slices: self.slices.state(),
        }
    }

    /// All Gateways of our namespace.
    pub fn gateways(&self) -> Vec<Arc<Gateway>> {
        self.gateways.state()
    }

    /// All classes.
    pub fn classes(&self) -> Vec<Arc<GatewayClass>> {
        self.classes.state()
    }
}

fn watch<K>(api: Api<K>, labels: &str, changed: &Arc<Notify>) -> Store<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Default + Eq + Hash + Clone + Send + Sync,
{
    let (store, writer) = reflector::store();
    let config = watcher::Config::default().labels(labels);
    let changed = Arc::clone(changed);
    let events = watcher(api, config)
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer);
    tokio::spawn(async move {
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(_) => changed.notify_one(),
                Err(error) => tracing::warn!(%error, kind = %K::kind(&K::DynamicType::default()), "watch"),
            }
        }
    });
    store
}
