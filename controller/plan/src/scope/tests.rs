//! Tests of what may be written for whom.

use super::*;
use crate::hall::{ValidHallSlice, hall_objects};
use crate::object::{Object, api_kind};
use crate::vdc::tests::{facts, slice, valid};
use crate::vdc::vdc_objects;
use k8s_openapi::api::core::v1::Node;
use serde_json::json;

fn scope() -> Scope {
    Scope::vdc(&valid(&slice()))
}

#[test]
fn everything_that_is_planned_is_in_scope() {
    let vdc = valid(&slice());
    for staged in vdc_objects(&vdc, &facts(), &BTreeMap::new()) {
        scope().check(&staged.object, None).unwrap();
    }
    let hall = ValidHallSlice::check(&crate::hall::tests::bozhou(), &vdc).unwrap();
    for object in hall_objects(&hall, &vdc, &facts()) {
        Scope::hall(&vdc, &hall.uid).check(&object, None).unwrap();
        assert!(scope().check(&object, None).is_err(), "a VDC wrote for a hall: {}", object.key);
    }
}

#[test]
fn a_namespace_that_was_named_before_is_written_only_if_it_is_named_for_the_vdc() {
    let vdc = valid(&slice());
    let now = vdc.namespaces[0].at_site.clone();
    let before = now.replace(vdc.namespaces[0].name.as_str(), "before");
    let names = [before.clone(), "kube-system".to_owned(), "cloud-before-ffffffff".to_owned()].into();
    let scope = Scope::left_over(&vdc, &names);
    let quota = |name: &str| crate::vdc::quota::object(&vdc, name, &crate::quota::shrink::Limits::default());
    scope.check(&quota(&before), None).unwrap();
    for name in ["kube-system", "cloud-before-ffffffff", &now] {
        assert!(matches!(scope.check(&quota(name), None), Err(Refused::Namespace(_))), "{name}");
    }
}

#[test]
fn what_is_anothers_is_refused() {
    let good = vdc_objects(&valid(&slice()), &facts(), &BTreeMap::new()).remove(1).object;
    let changed = |path: &str, value: &str| {
        let mut body = good.body.clone();
        *body.pointer_mut(path).unwrap() = json!(value);
        Object::from_value(good.key.kind.clone(), body)
    };
    assert!(matches!(
        scope().check(&changed("/metadata/name", "kube-system"), None),
        Err(Refused::Namespace(_))
    ));
    let foreign = changed("/metadata/labels/yunting.io~1vdc-uid", "11111111-0000-0000-0000-000000000000");
    assert!(matches!(scope().check(&foreign, None), Err(Refused::Labels(_))));
    let node = Object::from_value(api_kind::<Node>(), good.body.clone());
    assert!(matches!(scope().check(&node, None), Err(Refused::Kind(_))));
}

#[test]
fn a_taken_name_is_never_adopted() {
    let objects = vdc_objects(&valid(&slice()), &facts(), &BTreeMap::new());
    let (namespace, policy) = (&objects[0].object, &objects.last().unwrap().object);
    let labels = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>()
    };
    let other = labels(&[(labels::VDC_UID, "another")]);
    for object in [namespace, policy] {
        assert!(matches!(scope().check(object, Some(&other)), Err(Refused::Collision { .. })));
    }
    assert!(scope().check(namespace, Some(&labels(&[]))).is_err(), "a namespace of nobody was adopted");
    assert!(
        scope().check(policy, Some(&labels(&[]))).is_ok(),
        "a lost label within the own namespace is drift"
    );
    let hall = labels(&[(labels::HALL_UID, "h")]);
    assert!(scope().check(policy, Some(&hall)).is_err());
}
