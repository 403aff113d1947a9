//! Answers the CNI plugin on a local socket that only root may use.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;
use yunting_plan::boundary::Link;

use kube::ResourceExt;

use super::cni::{Answer, Ask};
use super::links::{Attached, PodName};
use super::world::World;
use crate::error::chain;

/// Longest line that is read.
const LINE: u64 = 16 * 1024;
/// Time until a pod that the kubelet starts has been shown to us, too, and the kernel has it. The plugin waits longer.
const SHOWN: Duration = Duration::from_secs(10);

/// Serves until it cannot.
pub(super) async fn serve(world: Arc<World>, socket: &Path) -> anyhow::Result<()> {
    let at = || socket.display().to_string();
    if let Some(directory) = socket.parent() {
        tokio::fs::create_dir_all(directory).await.with_context(at)?;
    }
    // One of a process before this one.
    match tokio::fs::remove_file(socket).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(at),
        _ => (),
    }
    let listener = UnixListener::bind(socket).with_context(at)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).with_context(at)?;
    loop {
        let (stream, _) = listener.accept().await.with_context(at)?;
        tokio::spawn(answer(world.clone(), stream));
    }
}

async fn answer(world: Arc<World>, mut stream: UnixStream) {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let read = BufReader::new(reader.take(LINE)).read_line(&mut line).await;
    let asked = read.map_err(|e| e.to_string()).and_then(|_| {
        serde_json::from_str::<Ask>(&line).map_err(|e| format!("the question is not understood: {e}"))
    });
    let since = Instant::now();
    let done = match asked {
        Ok(ask) => act(&world, ask).await,
        Err(why) => Err(why),
    };
    world.count("attach", since, done.is_ok());
    if let Err(why) = &done {
        tracing::warn!(why, "a pod was not attached");
    }
    let text = serde_json::to_string(&Answer { error: done.err() }).unwrap_or_default();
    // Who no longer waits asks again.
    let _ = writer.write_all(format!("{text}\n").as_bytes()).await;
}

async fn act(world: &World, ask: Ask) -> Result<(), String> {
    match ask {
        Ask::Add { container, namespace, name, uid, address, link, netns } => {
            let link = Link::new(&link).map_err(|e| chain(&e))?;
            let pod = PodName { namespace, name };
            let attached = Attached { container, uid: uid.clone(), address, link, netns };
            world.links.add(pod.clone(), attached).map_err(|e| format!("the pod cannot be kept: {e}"))?;
            let number = shown(world, &pod, &uid).await?;
            carried_out(world, number).await
        }
        Ask::Del { container, namespace, name } => {
            let removed = world.links.remove(&PodName { namespace, name }, &container);
            removed.map_err(|e| format!("the pod cannot be forgotten: {e}"))?;
            carried_out(world, world.changes.touch()).await
        }
    }
}

/// Waits until the API server has shown the pod, whose labels say what it is; the number of the change that is to be in
/// the kernel then.
async fn shown(world: &World, pod: &PodName, uid: &str) -> Result<u64, String> {
    let mut changes = world.changes.follow();
    let look = async {
        loop {
            changes.borrow_and_update();
            let here = world.pods.get(&pod.namespace, &pod.name);
            if here.is_some_and(|p| p.uid().as_deref() == Some(uid)) {
                return world.changes.touch();
            }
            if changes.changed().await.is_err() {
                return world.changes.touch();
            }
        }
    };
    let late =
        |_| format!("the API server has not shown pod {}/{} within {SHOWN:?}", pod.namespace, pod.name);
    tokio::time::timeout(SHOWN, look).await.map_err(late)
}

async fn carried_out(world: &World, number: u64) -> Result<(), String> {
    let late = |_| {
        format!("the kernel did not take the boundary within {SHOWN:?}; see the log of the node's controller")
    };
    tokio::time::timeout(SHOWN, world.changes.carried_out(number)).await.map_err(late)
}
