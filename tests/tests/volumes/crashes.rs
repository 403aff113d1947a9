//! The driver dies before and after each program that it runs for a volume, one after another, from the volume's making to
//! its end. Whoever asked asks again, as sidecars and kubelets do: nothing is lost, nothing is left, nothing is open twice.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;
use yunting_tests::node::process::eventually;

use super::served::{Served, mounts};

/// The programs that the driver runs.
const TOOLS: [&str; 6] = ["btrfs", "e2fsck", "losetup", "mkfs.ext4", "resize2fs", "xfs_io"];
/// Text that a pod wrote.
const TEXT: &str = "kept through every end";

/// Programs in place of those, which count their calls, and at one of them end who called.
struct Tools(TempDir);

/// When who called ends.
#[derive(Debug, Clone, Copy)]
enum When {
    Before,
    After,
}

impl Tools {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = std::env::var("PATH").unwrap();
        for tool in TOOLS {
            let real = path.split(':').map(|d| Path::new(d).join(tool)).find(|p| p.is_file());
            let (real, own) = (real.unwrap_or_else(|| panic!("no {tool}")), directory.path().display());
            let script = format!(
                "#!/bin/sh\n\
                 n=$(($(cat {own}/calls) + 1))\n\
                 echo $n > {own}/calls\n\
                 if [ $n = \"$(cat {own}/before)\" ]; then kill -KILL $PPID; exit 1; fi\n\
                 {} \"$@\"\n\
                 ended=$?\n\
                 if [ $n = \"$(cat {own}/after)\" ]; then kill -KILL $PPID; fi\n\
                 exit $ended\n",
                real.display()
            );
            let file = directory.path().join(tool);
            fs::write(&file, script).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let tools = Self(directory);
        tools.choose(0, When::Before);
        tools
    }

    /// The call at which who called ends, counted from now; 0: none.
    fn choose(&self, call: u32, when: When) {
        let (before, after) = match when {
            When::Before => (call, 0),
            When::After => (0, call),
        };
        for (name, number) in [("calls", 0), ("before", before), ("after", after)] {
            fs::write(self.0.path().join(name), number.to_string()).unwrap();
        }
    }

    fn calls(&self) -> u32 {
        fs::read_to_string(self.0.path().join("calls")).unwrap().trim().parse().unwrap()
    }
}

/// Asks until it is done.
fn asked<T>(what: &str, served: &Served, ask: impl Fn() -> Result<T, String>) -> T {
    let mut last = String::new();
    let done = eventually(what, || ask().map_err(|why| last = why).ok());
    done.unwrap_or_else(|late| panic!("{late}; last: {last}\n{}", served.tails()))
}

/// A volume's life. How often it is open is looked at wherever it may be.
fn life(served: &Served, places: &Path) {
    let (one, two) = (places.join("one"), places.join("two"));
    let open = |most: usize| {
        let devices = served.disk.devices();
        assert!(devices.len() <= most, "{devices:?}");
    };
    asked("a volume is made", served, || served.create("one", None));
    asked("it is opened", served, || served.stage("one", &one));
    open(1);
    fs::write(one.join("file"), TEXT).unwrap();
    fs::File::open(one.join("file")).unwrap().sync_all().unwrap();
    let snapshot = asked("a snapshot is taken", served, || served.snapshot("one", "snapshot"));
    fs::write(one.join("later"), TEXT).unwrap();
    asked("it is closed", served, || served.unstage("one", &one));
    open(0);
    asked("a volume is made of the snapshot", served, || served.create("two", Some(&snapshot)));
    asked("both are open", served, || served.stage("one", &one));
    asked("both are open", served, || served.stage("two", &two));
    open(2);
    for (at, files) in [(&one, 2), (&two, 1)] {
        assert_eq!(fs::read_to_string(at.join("file")).unwrap(), TEXT);
        assert_eq!(fs::read_dir(at).unwrap().count(), files, "in {}", at.display());
    }
    for (name, at) in [("one", &one), ("two", &two)] {
        asked("it is closed", served, || served.unstage(name, at));
    }
    asked("the snapshot goes", served, || served.delete_snapshot(&snapshot));
    for name in ["one", "two"] {
        asked("it goes", served, || served.delete(name));
    }
    let left =
        || (served.disk.subvolumes(), served.disk.devices(), mounts(served.node.directory()), served.keys());
    let nothing = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let gone = eventually("nothing is left", || (left() == nothing).then_some(()));
    gone.unwrap_or_else(|late| panic!("{late}: {:?}\n{}", left(), served.tails()));
}

#[test]
fn a_driver_that_dies_at_any_step_loses_nothing_and_leaves_nothing() {
    let tools = Tools::new();
    let served = Served::with_tools(2 << 30, tools.0.path()).unwrap();
    let places = tempfile::tempdir().unwrap();
    life(&served, places.path());
    let calls = tools.calls();
    assert!(calls >= 10, "only {calls} programs were run: there is nothing to die at");
    let mut died = 0;
    for call in 1..=calls {
        for when in [When::Before, When::After] {
            let before = served.node.process.starts();
            tools.choose(call, when);
            life(&served, places.path());
            died += served.node.process.starts() - before;
        }
    }
    println!("{calls} programs in a volume's life; the driver died {died} times");
    assert_eq!(died, u64::from(calls) * 2, "it did not die where it was to");
    assert_eq!(mounts(places.path()), Vec::<String>::new());
}
