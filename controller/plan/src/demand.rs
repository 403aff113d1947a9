//! What a hall asks of its VDC: references, room per namespace, host. Checked at the hub before anything is
//! written; the site checks again what concerns it.

use std::collections::BTreeMap;

use yunting_crds::conditions::reason;
use yunting_crds::hall::{Component, ComponentKind, HallRole, HallSpec};
use yunting_crds::resources::{Amounts, InvalidQuantity, Kind};
use yunting_crds::vdc::{Access, SiteRole, VdcSpec};

use crate::slices::{component_role, hall_role, namespace_of};

/// Why a hall cannot be carried out as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Reason of the condition.
    pub reason: &'static str,
    /// Field, value, limit and remedy.
    pub message: String,
}

fn invalid(message: String) -> Refusal {
    Refusal { reason: reason::INVALID, message }
}

/// Checks the references of a hall within itself and into its VDC.
pub fn references(hall: &HallSpec, vdc: &VdcSpec) -> Result<(), Refusal> {
    for component in &hall.components {
        let at = |field: &str| format!("spec.components[{}].{field}", component.name);
        let Some((_, access)) = namespace_of(component, vdc) else {
            let known: Vec<&str> = vdc.namespaces.iter().map(|n| n.name.as_str()).collect();
            let value = component.namespace.as_deref().unwrap_or_default();
            let text = format!(
                "{} {value:?} is no namespace of the VDC; it has {}",
                at("namespace"),
                known.join(", ")
            );
            return Err(Refusal { reason: reason::REFERENCE, message: text });
        };
        if access == Access::Direct && component.kind == ComponentKind::Stateful {
            return Err(invalid(format!(
                "{}: stateful components live in HallsOnly namespaces, where nobody else can touch their volumes",
                at("namespace")
            )));
        }
        calls(hall, component, &at)?;
        secrets(component, &at)?;
        amounts_of(component).map_err(|(field, e)| invalid(format!("{}: {e}", at(field))))?;
    }
    Ok(())
}

fn calls(hall: &HallSpec, component: &Component, at: &impl Fn(&str) -> String) -> Result<(), Refusal> {
    for call in &component.calls {
        if let Some(shared) = &call.shared_service {
            let text = format!(
                "{}: sharedService {}/{} is called through an AccessGrant that names this component: make one, and remove the call",
                at("calls"),
                shared.vdc,
                shared.name
            );
            return Err(invalid(text));
        }
        let Some(name) = &call.component else { continue };
        match hall.components.iter().find(|c| c.name == *name) {
            None => {
                return Err(Refusal {
                    reason: reason::REFERENCE,
                    message: format!("{}: {name:?} is no component of this hall", at("calls")),
                });
            }
            Some(called) if called.ports.is_empty() => {
                return Err(invalid(format!(
                    "{}: component {name:?} has no port to call; give it spec.components[].ports",
                    at("calls")
                )));
            }
            Some(_) => (),
        }
    }
    Ok(())
}

fn secrets(component: &Component, at: &impl Fn(&str) -> String) -> Result<(), Refusal> {
    for variable in &component.env {
        let Some(key) = &variable.secret_key else { continue };
        if !component.secret_refs.iter().any(|s| s.name == key.name) {
            let text = format!(
                "{}: variable {} reads Secret {:?}, which is not among secretRefs; add it there",
                at("env"),
                variable.name,
                key.name
            );
            return Err(Refusal { reason: reason::REFERENCE, message: text });
        }
    }
    Ok(())
}

/// Cpu, memory and storage of one replica.
fn amounts_of(component: &Component) -> Result<Amounts, (&'static str, InvalidQuantity)> {
    let mut storage = 0u64;
    for volume in &component.volumes {
        storage = storage.saturating_add(Kind::Storage.parse(&volume.size).map_err(|e| ("volumes", e))?);
    }
    Ok(Amounts::new()
        .with(Kind::Cpu, Kind::Cpu.parse(&component.resources.cpu).map_err(|e| ("resources.cpu", e))?)
        .with(
            Kind::Memory,
            Kind::Memory.parse(&component.resources.memory).map_err(|e| ("resources.memory", e))?,
        )
        .with(Kind::Storage, storage))
}

/// What a hall asks at a site of that role, by namespace of the VDC: with its rollout's surge, as it counts
/// against the quota while a new version comes in. Volumes count where the component stands by, too.
pub fn at_site(hall: &HallSpec, vdc: &VdcSpec, site: SiteRole) -> BTreeMap<String, Amounts> {
    let mut demand: BTreeMap<String, Amounts> = BTreeMap::new();
    let Some(role) = hall_role(hall.availability_class, site) else { return demand };
    for component in &hall.components {
        let Some((namespace, _)) = namespace_of(component, vdc) else { continue };
        let one = of_component(component, component_role(component, role, site));
        let sum = demand.remove(namespace).unwrap_or_default();
        demand.insert(namespace.to_owned(), sum.plus(&one));
    }
    demand
}

fn of_component(component: &Component, role: HallRole) -> Amounts {
    let one = amounts_of(component).unwrap_or_default();
    let most = component.autoscaling.as_ref().map_or(component.replicas, |a| a.max_replicas);
    let surge = if component.kind == ComponentKind::Stateless { component.rollout.max_surge } else { 0 };
    let pods = if role == HallRole::Active { u64::from(most) + u64::from(surge) } else { 0 };
    let times = |kind: Kind, n: u64| one.amount(kind).saturating_mul(n);
    Amounts::new()
        .with(Kind::Cpu, times(Kind::Cpu, pods))
        .with(Kind::Memory, times(Kind::Memory, pods))
        .with(Kind::Pods, pods)
        .with(Kind::Storage, if pods > 0 { times(Kind::Storage, u64::from(component.replicas)) } else { 0 })
        .with(Kind::Services, u64::from(!component.ports.is_empty()))
}

/// Whether `asked` fits beside what older halls of the VDC have, in every namespace of one site.
pub fn fits(
    site: &str,
    asked: &BTreeMap<String, Amounts>,
    others: &BTreeMap<String, Amounts>,
    limits: &BTreeMap<String, Amounts>,
) -> Result<(), Refusal> {
    let none = Amounts::new();
    for (namespace, amounts) in asked {
        let limit = limits.get(namespace).unwrap_or(&none);
        let taken = others.get(namespace).unwrap_or(&none);
        if let Some(excess) = taken.clone().plus(amounts).first_above(limit) {
            let kind = excess.kind;
            let text = format!(
                "{kind}: the hall asks {} in namespace {namespace} at site {site}, where {} of {} is taken by other halls of the VDC; ask for less (rollout surge counts) or have the VDC's quota raised",
                kind.print(amounts.amount(kind)),
                kind.print(taken.amount(kind)),
                kind.print(excess.limit)
            );
            return Err(Refusal { reason: reason::QUOTA_EXCEEDED, message: text });
        }
    }
    Ok(())
}

/// Whether a host is one of the bureau's domains or under one.
pub fn host_allowed(host: &str, domains: &[String]) -> bool {
    domains.iter().any(|d| host == d || host.strip_suffix(d.as_str()).is_some_and(|rest| rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn hall(components: &Value) -> HallSpec {
        serde_json::from_value(json!({"vdcRef": {"name": "v"}, "displayName": "厅", "availabilityClass": "Platinum", "components": components})).unwrap()
    }

    fn vdc() -> VdcSpec {
        serde_json::from_value(
            json!({"namespaces": [{"name": "app"}, {"name": "sandbox", "access": "Direct"}]}),
        )
        .unwrap()
    }

    fn component(name: &str, more: &Value) -> Value {
        let mut c = json!({"name": name, "zone": "Approval", "image": "i", "resources": {"cpu": "100m", "memory": "64Mi"}});
        c.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        c
    }

    #[test]
    fn references_are_named_with_value_and_remedy() {
        let table = [
            (
                json!({"namespace": "nope"}),
                "namespace \"nope\" is no namespace of the VDC; it has app, sandbox",
            ),
            (json!({"calls": [{"component": "ghost"}]}), "\"ghost\" is no component"),
            (json!({"calls": [{"sharedService": {"vdc": "x", "name": "y"}}]}), "through an AccessGrant"),
            (json!({"env": [{"name": "P", "secretKey": {"name": "s", "key": "k"}}]}), "not among secretRefs"),
            (json!({"kind": "Stateful", "namespace": "sandbox"}), "HallsOnly"),
            (json!({"resources": {"cpu": "lots", "memory": "1Gi"}}), "\"lots\" is not a quantity"),
        ];
        for (more, expected) in table {
            let refusal = references(&hall(&json!([component("a", &more)])), &vdc()).unwrap_err();
            assert!(refusal.message.contains(expected), "{}", refusal.message);
        }
    }

    #[test]
    fn a_stateful_part_of_a_platinum_hall_asks_only_at_the_active_site() {
        let db = component(
            "db",
            &json!({"kind": "Stateful", "replicas": 2, "volumes": [{"name": "d", "size": "1Gi", "mountPath": "/d"}]}),
        );
        let hall = hall(&json!([
            component("web", &json!({"replicas": 2, "ports": [{"name": "http", "port": 8080}]})),
            db
        ]));
        let active = &at_site(&hall, &vdc(), SiteRole::Active)["app"];
        assert_eq!(
            (active.amount(Kind::Cpu), active.amount(Kind::Pods), active.amount(Kind::Storage)),
            (500, 5, 2 << 30)
        );
        let member = &at_site(&hall, &vdc(), SiteRole::Member)["app"];
        assert_eq!(
            (member.amount(Kind::Cpu), member.amount(Kind::Storage), member.amount(Kind::Services)),
            (300, 0, 1)
        );
    }

    #[test]
    fn an_excess_is_told_with_all_its_numbers() {
        let ns = |cpu| BTreeMap::from([("app".to_owned(), Amounts::new().with(Kind::Cpu, cpu))]);
        let refusal = fits("s", &ns(300), &ns(800), &ns(1000)).unwrap_err();
        assert!(
            refusal
                .message
                .starts_with("cpu: the hall asks 300m in namespace app at site s, where 800m of 1 is taken")
        );
        assert!(fits("s", &ns(200), &ns(800), &ns(1000)).is_ok());
    }

    #[test]
    fn a_host_is_under_a_domain_only_at_a_dot() {
        let domains = ["hall.bozhou.example".to_owned()];
        assert!(
            host_allowed("a.hall.bozhou.example", &domains) && host_allowed("hall.bozhou.example", &domains)
        );
        assert!(
            !host_allowed("evilhall.bozhou.example", &domains) && !host_allowed("bozhou.example", &domains)
        );
    }
}
