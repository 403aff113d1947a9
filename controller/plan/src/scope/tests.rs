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
