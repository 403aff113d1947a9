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
use yunting_crds::labels;

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
    let listener = listen(socket).await?;
    loop {
        let (stream, _) = listener.accept().await.with_context(|| socket.display().to_string())?;
        tokio::spawn(answer(world.clone(), stream));
    }
}

/// A local socket that only root may use, in place of one of a process before this one.
pub(super) async fn listen(socket: &Path) -> anyhow::Result<UnixListener> {
    let at = || socket.display().to_string();
    if let Some(directory) = socket.parent() {
        tokio::fs::create_dir_all(directory).await.with_context(at)?;
    }
    match tokio::fs::remove_file(socket).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(at),
        _ => (),
    }
    let listener = UnixListener::bind(socket).with_context(at)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).with_context(at)?;
    Ok(listener)
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
            let label = shown(world, &pod, &uid).await?;
            // Before the boundary knows the pod, so that it never has a link that nobody holds.
            let held = world.gates.at_birth(label.as_deref(), &link, address).await?;
            let number = held.as_ref().map(|h| h.number);
            let attached = Attached { container, uid, address, link, netns, held };
            if let Err(error) = world.links.add(pod, attached) {
                number.map_or(Ok(()), |n| world.gates.release(n))?;
                return Err(format!("the pod cannot be kept: {error}"));
            }
            carried_out(world, world.changes.touch()).await
        }
        Ask::Del { container, namespace, name } => {
            let forgotten = |e| format!("the pod cannot be forgotten: {e}");
            if let Some(held) = world.links.held_of(&container).map_err(forgotten)? {
                world.gates.release(held.number)?;
            }
            world.links.remove(&PodName { namespace, name }, &container).map_err(forgotten)?;
            carried_out(world, world.changes.touch()).await
        }
    }
}

/// Waits until the API server has shown the pod, whose labels say what it is; its protection group, where it has one.
async fn shown(world: &World, pod: &PodName, uid: &str) -> Result<Option<String>, String> {
    let mut changes = world.changes.follow();
    let look = async {
        loop {
            changes.borrow_and_update();
            let here = world.pods.get(&pod.namespace, &pod.name);
            if let Some(here) = here.filter(|p| p.uid().as_deref() == Some(uid)) {
                return Ok(here.labels().get(labels::PROTECTION_GROUP).cloned());
            }
            if changes.changed().await.is_err() {
                return Err("nobody watches pods any more".to_owned());
            }
        }
    };
    let late =
        |_| format!("the API server has not shown pod {}/{} within {SHOWN:?}", pod.namespace, pod.name);
    tokio::time::timeout(SHOWN, look).await.map_err(late)?
}

async fn carried_out(world: &World, number: u64) -> Result<(), String> {
    let late = |_| {
        format!("the kernel did not take the boundary within {SHOWN:?}; see the log of the node's controller")
    };
    tokio::time::timeout(SHOWN, world.changes.carried_out(number)).await.map_err(late)
}
