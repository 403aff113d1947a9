//! What is said of a hall at this site. Ready only when every component that is to run has all its pods, of the
//! current version, the front door has taken the route, and a request through it was answered.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::Value;
use yunting_crds::HallSliceStatus;
use yunting_crds::conditions::{GONE, REACHABLE, READY, State, Statement, conditions, find, reason, say};
use yunting_crds::hall_slice::ComponentStatus;
use yunting_crds::tunnel::HallPod;
use yunting_plan::hall::door;
use yunting_plan::hall::route::{HTTP_ROUTE, accepted};
use yunting_plan::hall::{ValidComponent, ValidHallSlice};
use yunting_plan::object::Key;

use super::apply::Done;
use super::observe::Seen;
use super::replica::States;
use super::teardown::Left;
use super::validate::Valid;
use super::{Error, elsewhere, trouble};
use crate::error::chain;
use crate::site::door as doors;
use crate::site::outbox::Status;
use crate::site::world::World;

/// Says how it stands.
pub(super) fn status(
    world: &World,
    seen: &Seen,
    valid: &Result<Valid, Statement>,
    done: &Result<Done, Error>,
    replicas: States,
) {
    let (statements, components, route) = match valid {
        Err(statement) => (vec![statement.clone()], Vec::new(), None),
        Ok(valid @ Valid { hall, .. }) => {
            let components: Vec<Shown> =
                hall.components.iter().map(|c| Shown::of(world, seen, hall, c)).collect();
            let route = route(world, hall);
            // Until somebody has asked at the door, what was said before stands: a controller that starts anew must
            // neither doubt what is well nor believe what a power cut has ended.
            let door = match door(world, hall, route.as_ref()) {
                Way::Awaited => return,
                Way::None => None,
                Way::Told(statement) => Some(statement),
            };
            let ready = ready(hall, done, &components, route.as_ref(), door.as_ref());
            let ready = started(&world.outbox.before(world, &seen.name), ready);
            let text = route.map(|r| match r {
                Ok(()) => "Accepted".to_owned(),
                Err(_) => "NotAccepted".to_owned(),
            });
            (
                std::iter::once(ready).chain(door).chain(elsewhere::connected(world, valid)).collect(),
                components.into_iter().map(|c| c.status).collect(),
                text,
            )
        }
    };
    let pods = valid.as_ref().ok().map(|valid| elsewhere::pods(world, valid));
    put(world, seen, &statements, components, route, replicas, pods);
}

/// Says how its removal stands.
pub(super) fn gone(world: &World, seen: &Seen, result: &Result<Left, Error>) {
    let (state, reason, text) = match result {
        Ok(Left::Nothing) => {
            (State::True, reason::AS_ASKED, "nothing of the hall is left at this site".to_owned())
        }
        Ok(Left::Waiting(what)) => (State::False, reason::DELETING, what.clone()),
        Err(error) => (State::False, reason::APPLY_FAILED, chain(error)),
    };
    let ready = say(READY, State::False, reason::DELETING, text.clone());
    put(world, seen, &[say(GONE, state, reason, text), ready], Vec::new(), None, States::default(), None);
}

fn put(
    world: &World,
    seen: &Seen,
    statements: &[Statement],
    components: Vec<ComponentStatus>,
    route: Option<String>,
    replicas: States,
    pods: Option<Vec<HallPod>>,
) {
    let before = world.outbox.before(world, &seen.name);
    let generation = Some(seen.generation());
    let status = HallSliceStatus {
        observed_generation: generation,
        conditions: conditions(&before, statements, generation, &world.context.now()),
        components,
        route,
        volumes: replicas.volumes,
        replicas: replicas.replicas,
        copies: replicas.copies,
        pods,
    };
    world.outbox.put(world, &seen.name, Status::Hall(Box::new(status)));
}

/// How a component stands.
struct Shown {
    status: ComponentStatus,
    ready: bool,
}

impl Shown {
    fn of(world: &World, seen: &Seen, hall: &ValidHallSlice, c: &ValidComponent) -> Self {
        let key = c.workload();
        let child = world.children.get(&key).filter(|w| w.hall_uid.as_deref() == Some(hall.uid.as_str()));
        let value = child.map(|w| w.value());
        let counts = value.as_ref().map(Counts::read).unwrap_or_default();
        let asked = asked(c, value.as_ref());
        let ready = counts.observed && counts.current() >= asked && (asked > 0 || counts.all == 0);
        let message = (!ready).then(|| trouble::of(world, hall, c, value.as_ref())).flatten();
        let role = seen
            .spec()
            .and_then(|s| s.components.iter().find(|o| o.component.name == c.name.as_str()).map(|o| o.role));
        Self {
            ready,
            status: ComponentStatus {
                name: c.name.to_string(),
                role: role.unwrap_or(yunting_crds::hall::HallRole::Closed),
                replicas: asked,
                ready: counts.current(),
                message,
            },
        }
    }
}

/// Pods asked: what load decides, where it does.
fn asked(c: &ValidComponent, workload: Option<&Value>) -> u32 {
    if c.active && c.spec.autoscaling.is_some() {
        let now = workload.and_then(|w| w.pointer("/spec/replicas")).and_then(Value::as_u64);
        return now.and_then(|n| u32::try_from(n).ok()).unwrap_or_else(|| c.least());
    }
    c.replicas()
}

/// Counts of a workload.
#[derive(Default)]
struct Counts {
    observed: bool,
    all: u32,
    ready: u32,
    updated: u32,
}

impl Counts {
    fn read(workload: &Value) -> Self {
        let number = |path: &str| {
            workload.pointer(path).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
        };
        let generation = |path: &str| workload.pointer(path).and_then(Value::as_i64).unwrap_or(0);
        Self {
            observed: generation("/status/observedGeneration") >= generation("/metadata/generation"),
            all: number("/status/replicas"),
            ready: number("/status/readyReplicas"),
            updated: number("/status/updatedReplicas"),
        }
    }

    /// Pods that are ready, of the current version; with old ones still there, no more than are new.
    fn current(&self) -> u32 {
        self.ready.saturating_sub(self.all.saturating_sub(self.updated)).min(self.updated)
    }
}

fn route(world: &World, hall: &ValidHallSlice) -> Option<Result<(), String>> {
    let portal = hall.portal.as_ref()?;
    let c = hall.components.get(portal.component)?;
    let key = Key { kind: HTTP_ROUTE, namespace: Some(c.namespace.clone()), name: c.object.clone() };
    let verdict = world.memory.value(&world.children, &key).as_deref().and_then(accepted);
    let silent = if world.serves_routes {
        "the gateway has said nothing yet"
    } else {
        "the site serves no Gateway API"
    };
    Some(verdict.unwrap_or_else(|| Err(silent.to_owned())))
}

/// What is known of the way in.
enum Way {
    /// The hall has none here.
    None,
    /// The first answer through it is waited for.
    Awaited,
    /// This is said of it.
    Told(Statement),
}

/// What is said of the way in, for a hall whose portal runs here.
fn door(world: &World, hall: &ValidHallSlice, route: Option<&Result<(), String>>) -> Way {
    let told = |state, reason, text: String| Way::Told(say(REACHABLE, state, reason, text));
    let Some(target) = door::target(hall) else {
        world.doors.forget(hall.uid.as_str());
        return Way::None;
    };
    if let Some(Err(why)) = route {
        world.doors.forget(hall.uid.as_str());
        return told(State::False, reason::IN_PROGRESS, format!("the route is not accepted: {why}"));
    }
    if doors::address(world).is_none() {
        let text = "the site's Gateway shows no address with a plain HTTP listener to ask at";
        return told(State::Unknown, reason::PROVIDER_MISSING, text.to_owned());
    }
    match world.doors.watch(hall.uid.as_str(), &target) {
        None => Way::Awaited,
        Some(Ok(())) => {
            told(State::True, reason::VERIFIED, format!("http://{}{} is answered", target.host, target.path))
        }
        Some(Err(why)) => told(State::False, reason::UNREACHABLE, why),
    }
}

/// A door that has not opened yet for what is only starting is no alarm; one that has shut is.
fn started(before: &[Condition], ready: Statement) -> Statement {
    let once = find(before, READY).is_some_and(|b| b.status == "True" || b.reason == reason::UNREACHABLE);
    let reason =
        if ready.reason == reason::UNREACHABLE && !once { reason::IN_PROGRESS } else { ready.reason };
    Statement { reason, ..ready }
}

fn ready(
    hall: &ValidHallSlice,
    done: &Result<Done, Error>,
    components: &[Shown],
    route: Option<&Result<(), String>>,
    door: Option<&Statement>,
) -> Statement {
    let not = |reason, message: String| say(READY, State::False, reason, message);
    let done = match done {
        Ok(done) => done,
        Err(Error::Ensure(crate::site::ensure::Error::Scope(refused))) => {
            return not(reason::NAME_COLLISION, refused.to_string());
        }
        Err(error) => return not(reason::APPLY_FAILED, chain(error)),
    };
    if !done.waiting.is_empty() {
        return not(reason::VDC_NOT_READY, done.waiting.join("; "));
    }
    if let Some(stopped) = &done.stopped {
        return not(reason::APPLY_FAILED, stopped.to_string());
    }
    let growing = done.growing.iter().cloned();
    let lacking: Vec<String> = growing.chain(components.iter().filter(|c| !c.ready).map(lack)).collect();
    if !lacking.is_empty() {
        let all: Vec<String> = done.note.iter().cloned().chain(lacking).collect();
        return not(reason::IN_PROGRESS, all.join("; "));
    }
    if let Some(Err(why)) = route {
        return not(reason::IN_PROGRESS, format!("the route is not accepted: {why}"));
    }
    if let Some(shut) = door.filter(|d| d.state == State::False) {
        return not(shut.reason, shut.message.clone());
    }
    let running = hall.components.iter().filter(|c| c.active).count();
    say(
        READY,
        State::True,
        reason::AS_ASKED,
        format!("{running} of {} components run here, all ready", hall.components.len()),
    )
}

fn lack(c: &Shown) -> String {
    let s = &c.status;
    match &s.message {
        Some(message) => format!("{}: {}/{} pods ready: {message}", s.name, s.ready, s.replicas),
        None => format!("{}: {}/{} pods ready", s.name, s.ready, s.replicas),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use yunting_crds::conditions::reason::{IN_PROGRESS, UNREACHABLE};

    #[test]
    fn a_door_that_has_not_opened_yet_is_no_alarm_and_one_that_has_shut_is() {
        let before = |state, reason| {
            let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH);
            conditions(&[], &[say(READY, state, reason, "")], None, &now)
        };
        let table = [
            (vec![], IN_PROGRESS),
            (before(State::False, IN_PROGRESS), IN_PROGRESS),
            (before(State::True, reason::AS_ASKED), UNREACHABLE),
            (before(State::False, UNREACHABLE), UNREACHABLE),
        ];
        for (before, wanted) in table {
            let shut = say(READY, State::False, UNREACHABLE, "the front door answers 503");
            assert_eq!(started(&before, shut).reason, wanted, "{before:?}");
        }
    }
}
