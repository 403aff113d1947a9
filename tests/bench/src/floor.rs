//! The floor: the same objects by a client that does nothing else.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};

use crate::city::{City, Usage};
use crate::clients::Clients;
use crate::record::Tenant;

/// Time after the last write in which what it set off ends.
pub const SETTLE: Duration = Duration::from_secs(3);

/// What a run took.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Sample {
    /// Seconds from the first request to the last.
    pub wall: f64,
    /// Processor time, what settles afterwards included.
    pub cpu: Usage,
    /// Objects that stand.
    pub objects: usize,
}

/// Writes everything, that many VDCs at a time.
pub async fn run(city: &City, tenants: &[Tenant], at_once: usize) -> anyhow::Result<Sample> {
    let before = city.usage();
    let began = Instant::now();
    let writes = tenants.iter().map(|tenant| one(&city.clients, tenant));
    let writes: Vec<_> = writes.collect();
    stream::iter(writes).buffer_unordered(at_once).try_collect::<()>().await?;
    let wall = began.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let cpu = city.usage().since(&before);
    Ok(Sample { wall, cpu, objects: tenants.iter().map(|t| t.objects).sum() })
}

async fn one(clients: &Clients, tenant: &Tenant) -> anyhow::Result<()> {
    for call in &tenant.calls {
        clients.send(call).await?;
    }
    Ok(())
}
