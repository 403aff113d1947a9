//! The site's beat: a Lease in its hub namespace, renewed by a quorum write. A server through which the write
//! does not arrive is left for the next one. What the hub answers also shows whether its etcd went back in time.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use yunting_crds::labels;
use yunting_plan::object::Object;

use crate::error::chain;
use crate::lease::revision;
use crate::site::world::World;

/// Field manager of the beat.
const MANAGER: &str = "yunting/site-beat";
/// Name of the Lease in `site-<name>`.
const NAME: &str = "yunting-site";
/// Time between beats.
const PERIOD: Duration = Duration::from_secs(4);
/// Time for which a beat counts, in seconds.
const COUNTS: i32 = 15;

/// Beats, once the hub has been told how everything is since the start, until the hub's revisions go back: it was
/// restored from an older copy, and watches that go on from later
/// revisions than it has would show nothing. The process ends then and begins anew with lists.
pub(crate) async fn beat(world: Arc<World>) {
    world.review.wait().await;
    let mut last = 0;
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let lease = lease(&world);
        let write = world.ends.hub_writer.apply(MANAGER, &lease);
        match tokio::time::timeout(PERIOD, write).await {
            Ok(Ok(written)) => {
                let revision = revision(written.metadata.resource_version.as_deref());
                if revision < last {
                    tracing::error!(revision, last, "the hub went back in time; this process begins anew");
                    return;
                }
                last = revision;
            }
            // Before the hub has made our namespace and rights there is nothing to leave the server for.
            Ok(Err(crate::writer::Error::Apply { source: kube::Error::Api(s), .. }))
                if matches!(s.code, 403 | 404) =>
            {
                tracing::info!(why = s.message, "the hub does not take the beat yet");
            }
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "the beat did not arrive at the hub");
                world.ends.hub.leave();
            }
            Err(_) => {
                tracing::warn!("the hub did not answer the beat");
                world.ends.hub.leave();
            }
        }
    }
}

fn lease(world: &World) -> Object {
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(world.site.namespace()),
            labels: Some([(labels::SITE.to_owned(), world.site.to_string())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(world.site.to_string()),
            lease_duration_seconds: Some(COUNTS),
            renew_time: Some(MicroTime(world.context.timestamp())),
            ..LeaseSpec::default()
        }),
    };
    Object::new(&lease)
}
