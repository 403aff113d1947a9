//! The driver against upstream's `csi-sanity`: what the interface asks of every driver, on a real disk and with keys from the
//! site. What it skips is listed here, each with the reason, so that nothing is skipped unseen.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;
use yunting_lab::binaries;
use yunting_lab::progress::Progress;
use yunting_tests::node::process::may_grow_open_volumes;

use super::served::{Served, mounts, namespace};

/// What upstream says of a case that it skips, and why it does not apply here.
const SKIPPED: [(&str, &str); 17] = [
    ("Controller Publish, UnpublishVolume not supported", ATTACH),
    ("ControllerPublishVolume not supported", ATTACH),
    ("ControllerUnpublishVolume not supported", ATTACH),
    ("ControllerExpandVolume not supported", "a volume grows on its node: a resizer would ask any node"),
    ("ControllerGetVolumeHealth not supported", HEALTH),
    ("ControllerListVolumeHealth not supported", HEALTH),
    ("NodeGetVolumeHealth not supported", HEALTH),
    ("NodeGetStorageHealth not supported", HEALTH),
    ("ControllerModifyVolume not supported", MODIFY),
    ("Modify Volume not supported", MODIFY),
    ("Modify volume not supported", MODIFY),
    ("ListVolumes not supported", LISTS),
    ("ListSnapshots not supported", LISTS),
    ("GetSnapshot not supported", LISTS),
    ("GroupControllerService not supported", "volumes of a group are on several nodes"),
    ("SNAPSHOT_ACCESSIBILITY_CONSTRAINTS not supported", "a snapshot is where its volume is"),
    // Upstream's own: it waits there for what it does not do yet.
    ("", "upstream has it as pending"),
];
const ATTACH: &str = "a volume is on its node: nothing is attached";
const HEALTH: &str = "what is wrong with a volume is told by its node's report and the prober";
const MODIFY: &str = "a volume has nothing that a VolumeAttributesClass could change";
const LISTS: &str = "each node knows its own alone: a list of one would say that the others are gone";
/// What is not tried on a machine that does not let anybody grow a file system that is in use.
const GROWS: &str = "should work if node-expand is called after node-publish";

/// A case as the report has it: its name, and why it was skipped or failed.
type Cases = BTreeMap<String, Vec<(String, String)>>;

fn cases(report: &str) -> Cases {
    let report: Value = serde_json::from_str(report).unwrap();
    let mut all = Cases::new();
    for spec in report[0]["SpecReports"].as_array().unwrap().iter().filter(|s| s["LeafNodeType"] == "It") {
        let above = spec["ContainerHierarchyTexts"].as_array().unwrap().iter();
        let words: Vec<&str> = above.chain([&spec["LeafNodeText"]]).filter_map(Value::as_str).collect();
        let state = spec["State"].as_str().unwrap_or_default().to_owned();
        let why = spec["Failure"]["Message"].as_str().unwrap_or_default().to_owned();
        all.entry(state).or_default().push((words.join(" "), why));
    }
    all
}

#[test]
fn the_driver_does_what_the_interface_asks() {
    let served = Served::start(8 << 30).unwrap();
    let files = tempfile::tempdir().unwrap();
    let (parameters, report) = (files.path().join("parameters.yaml"), files.path().join("report.json"));
    fs::write(&parameters, format!("csi.storage.k8s.io/pvc/namespace: {}\n", namespace())).unwrap();
    let program = binaries::of_tests("csi-sanity", &Progress::new()).unwrap().unwrap();
    let mut sanity = Command::new(program);
    let file = |flag: &str, file: &std::path::Path| format!("--{flag}={}", file.display());
    sanity.args([
        format!("--csi.endpoint=unix://{}", served.node.csi_socket().display()),
        file("csi.mountdir", &files.path().join("mount")),
        file("csi.stagingdir", &files.path().join("staging")),
        file("csi.testvolumeparameters", &parameters),
        format!("--csi.testvolumesize={}", 32 << 20),
        format!("--csi.testvolumeexpandsize={}", 64 << 20),
        file("ginkgo.json-report", &report),
        "--ginkgo.no-color".to_owned(),
    ]);
    let grows = may_grow_open_volumes();
    if !grows {
        sanity.arg(format!("--ginkgo.skip={GROWS}"));
    }
    let output = sanity.output().unwrap();
    let cases = cases(&fs::read_to_string(&report).unwrap());
    let of = |state: &str| cases.get(state).cloned().unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", served.tails());
    let mut unknown = Vec::new();
    for (name, what) in of("skipped").iter().chain(&of("pending")) {
        let known = SKIPPED.iter().find(|(known, _)| what == known).map(|(_, why)| *why);
        let unable = (!grows && name.ends_with(GROWS)).then_some("this machine lacks CAP_SYS_RESOURCE");
        match known.or(unable) {
            Some(why) => println!("skipped: {name}: {why}"),
            None => unknown.push(format!("{name}: {what}")),
        }
    }
    println!("csi-sanity: {} passed, {} skipped", of("passed").len(), of("skipped").len());
    assert!(unknown.is_empty(), "skipped, and nobody knows why:\n{}", unknown.join("\n"));
    // Nothing of it is left.
    assert_eq!(served.disk.subvolumes(), Vec::<String>::new());
    assert_eq!(served.disk.devices(), Vec::<String>::new());
    assert_eq!(mounts(served.node.directory()), Vec::<String>::new());
    assert_eq!(mounts(files.path()), Vec::<String>::new());
    assert_eq!(served.keys(), Vec::<String>::new());
}
