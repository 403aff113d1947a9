//! The gate of protected pods: a BPF program on the node's end of a pod's link, in both directions and before everything
//! else, that lets packets pass only before their group's deadline. The kernel closes it, whatever becomes of this process.
//!
//! Program and maps are held by pins on a BPF file system, so they stand while no process of ours runs. Nothing here
//! decides whether a gate may be open: it is told a deadline and says what the kernel has.

mod boottime;
mod canary;
mod keeper;
pub mod local;
pub(in crate::node) mod netlink;
mod report;
mod watch;

use std::io;
use std::path::{Path, PathBuf};

use aya::maps::{HashMap, MapData, MapError, MapInfo};
use aya::pin::PinError;
use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use aya::{Ebpf, EbpfError, EbpfLoader};
use rustix::fs::statfs;
use rustix::mount::{MountFlags, mount};
use rustix::net::netdevice::{index_to_name, name_to_index};
use rustix::net::{AddressFamily, SocketType, socket};
use yunting_plan::boundary::Link;
use yunting_plan::vdc::Uid;

pub use boottime::BootTime;
pub(super) use keeper::{Gates, Held};
pub(super) use report::{keep as report, test_now_and_then};
pub(super) use watch::watch_over;
pub use yunting_plan::gate::LONGEST;

/// `gate.bpf.c`, built by `make gate`.
const OBJECT: &[u8] = aya::include_bytes_aligned!("gate.bpf.o");
/// The program's name in it.
const PROGRAM: &str = "gate";
/// The maps' names in it.
const MAPS: [&str; 3] = ["members", "deadlines", "counted"];
/// The type of a BPF file system.
const BPF_FS: i64 = 0xcafe_4a11;
/// The two ways over a link, each with the end of its pin's name.
const WAYS: [(TcAttachType, &str); 2] = [(TcAttachType::Ingress, "in"), (TcAttachType::Egress, "out")];

type Group = [u8; 16];

/// What cannot be done with a gate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program was not taken.
    #[error(
        "the kernel does not take the gate's program; it needs Linux 6.6 with BPF, and CAP_BPF and CAP_NET_ADMIN"
    )]
    Load(#[source] EbpfError),
    /// It lacks something.
    #[error("the gate's program has no {0}; the build is broken")]
    Missing(&'static str),
    /// It cannot stand on a link.
    #[error("the gate cannot be put on link {link}")]
    Attach {
        /// Which.
        link: Link,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is not known whether there is such a link.
    #[error("link {number} cannot be asked for its name")]
    Number {
        /// Which.
        number: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A map cannot be read or written.
    #[error("the gate of {what} cannot be {done}")]
    Map {
        /// Whose.
        what: String,
        /// What was to be done.
        done: &'static str,
        /// Why.
        #[source]
        source: MapError,
    },
    /// The kernel has something else than was written.
    #[error("the gate of group {} was to be {wanted:?} and reads {read:?}", group.as_str())]
    ReadBack {
        /// Whose.
        group: Uid,
        /// What was written.
        wanted: Option<BootTime>,
        /// What is there.
        read: Option<BootTime>,
    },
    /// A deadline that is none.
    #[error("deadline {0:?} is further away than {LONGEST:?}: nobody has such a right")]
    TooFar(BootTime),
    /// A group that is none.
    #[error("group {} is no UUID", .0.as_str())]
    Group(Uid),
    /// The place of pins.
    #[error("cannot use {path} for what the kernel holds; it has to be a BPF file system")]
    Pins {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a link's gate has let through and refused since it stands, in packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Before the deadline.
    pub passed: u64,
    /// All others.
    pub dropped: u64,
}

/// The gates of a node.
pub struct Gate {
    kernel: Ebpf,
    members: HashMap<MapData, u32, Group>,
    deadlines: HashMap<MapData, Group, u64>,
    counted: HashMap<MapData, u32, [u64; 2]>,
    /// Of the maps, in their order, as the kernel numbers them.
    maps: [u32; 3],
    /// Of the program.
    own: u32,
    pins: PathBuf,
}

impl Gate {
    /// Makes sure that a place is on a BPF file system: where it is not, one is mounted there.
    pub fn prepare(pins: &Path) -> Result<(), Error> {
        let of = |source| Error::Pins { path: pins.to_owned(), source };
        std::fs::create_dir_all(pins).map_err(of)?;
        let bpf = statfs(pins).map_err(|e| of(e.into()))?.f_type == BPF_FS;
        if bpf {
            Ok(())
        } else {
            mount("bpf", pins, "bpf", MountFlags::empty(), None).map_err(|e| of(e.into()))
        }
    }

    /// Takes over what is pinned there, or puts it there. Nothing that stands opens, closes or counts anew by it.
    pub fn start(pins: &Path) -> Result<Self, Error> {
        let mut loader = EbpfLoader::new();
        let places = MAPS.map(|name| pins.join(name));
        for (name, place) in MAPS.iter().zip(&places) {
            loader.map_pin_path(name, place.as_path());
        }
        let mut kernel = loader.load(OBJECT).map_err(Error::Load)?;
        program(&mut kernel)?.load().map_err(|e| Error::Load(EbpfError::from(e)))?;
        let open = |source| Error::Map { what: pins.display().to_string(), done: "opened", source };
        let mut maps = [0; 3];
        for (id, place) in maps.iter_mut().zip(&places) {
            *id = MapInfo::from_pin(place).map_err(open)?.id();
        }
        let map = |kernel: &mut Ebpf, name| kernel.take_map(name).ok_or(Error::Missing(name));
        let own = program(&mut kernel)?.info().map_err(|e| Error::Load(EbpfError::from(e)))?.id();
        Ok(Self {
            maps,
            own,
            members: HashMap::try_from(map(&mut kernel, MAPS[0])?).map_err(open)?,
            deadlines: HashMap::try_from(map(&mut kernel, MAPS[1])?).map_err(open)?,
            counted: HashMap::try_from(map(&mut kernel, MAPS[2])?).map_err(open)?,
            kernel,
            pins: pins.to_owned(),
        })
    }

    /// Puts the gate on a pod's link, closed until its group's deadline says otherwise. Doing it again renews the program
    /// and leaves no packet through meanwhile.
    pub fn guard(&mut self, link: &Link, group: &Uid) -> Result<u32, Error> {
        let (number, group) = (index(link)?, bytes(group)?);
        let of = |done| move |source| Error::Map { what: format!("link {number}"), done, source };
        self.counted
            .get(&number, 0)
            .map(drop)
            .or_else(|_| self.counted.insert(number, [0, 0], 0).map_err(of("counted")))?;
        // Closed before it belongs to anybody: a link that another pod had is not open by its group.
        for (direction, name) in WAYS {
            let place = self.pins.join(format!("{number}-{name}"));
            self.attach(link, direction, &place)
                .map_err(|source| Error::Attach { link: link.clone(), source })?;
        }
        self.members.insert(number, group, 0).map_err(of("given to its group"))?;
        Ok(number)
    }

    fn attach(
        &mut self,
        link: &Link,
        direction: TcAttachType,
        place: &Path,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let program = program(&mut self.kernel)?;
        let standing = match PinnedLink::from_pin(place) {
            Ok(pinned) => Some(FdLink::from(pinned)),
            Err(LinkError::SyscallError(e)) if e.io_error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(standing) = standing {
            let id = program.attach_to_link(standing.try_into()?)?;
            // Dropping the handle leaves the pin, and with it the program.
            drop(program.take_link(id)?);
            return Ok(());
        }
        let first = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = program.attach_with_options(&link.to_string(), direction, first)?;
        let standing: FdLink = program.take_link(id)?.try_into()?;
        standing.pin(place).map(drop).map_err(|e: PinError| e.into())
    }

    /// Takes the gate off a link that is there.
    pub fn release_link(&mut self, link: &Link) -> Result<(), Error> {
        self.release(index(link)?)
    }

    /// Takes the gate off a link whose pod is gone, by the link's number. A link that the kernel has removed already took its programs along.
    pub fn release(&mut self, number: u32) -> Result<(), Error> {
        for (_, name) in WAYS {
            let path = self.pins.join(format!("{number}-{name}"));
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::Pins { path, source });
                }
                _ => (),
            }
        }
        let of = |done| move |source| Error::Map { what: format!("link {number}"), done, source };
        absent_is_gone(self.members.remove(&number)).map_err(of("taken from its group"))?;
        absent_is_gone(self.counted.remove(&number)).map_err(of("forgotten"))
    }

    /// Lets a group's packets pass until a moment. One that has gone by closes.
    pub fn open(&mut self, group: &Uid, until: BootTime) -> Result<(), Error> {
        if until.after(BootTime::now()) > LONGEST {
            return Err(Error::TooFar(until));
        }
        let key = bytes(group)?;
        let of = |source| Error::Map { what: format!("group {}", group.as_str()), done: "opened", source };
        self.deadlines.insert(key, until.nanoseconds(), 0).map_err(of)?;
        self.reads(group, Some(until))
    }

    /// Lets none of them pass from now on.
    pub fn close(&mut self, group: &Uid) -> Result<(), Error> {
        let key = bytes(group)?;
        let of = |source| Error::Map { what: format!("group {}", group.as_str()), done: "closed", source };
        absent_is_gone(self.deadlines.remove(&key)).map_err(of)?;
        self.reads(group, None)
    }

    /// Until when the kernel lets a group's packets pass, which may have gone by; nothing where it never did.
    pub fn state(&self, group: &Uid) -> Result<Option<BootTime>, Error> {
        match self.deadlines.get(&bytes(group)?, 0) {
            Ok(nanoseconds) => Ok(Some(BootTime::from_nanoseconds(nanoseconds))),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(source) => {
                Err(Error::Map { what: format!("group {}", group.as_str()), done: "read", source })
            }
        }
    }

    fn reads(&self, group: &Uid, wanted: Option<BootTime>) -> Result<(), Error> {
        let read = self.state(group)?;
        if read == wanted { Ok(()) } else { Err(Error::ReadBack { group: group.clone(), wanted, read }) }
    }

    /// What a link's gate has counted.
    pub fn counted(&self, link: &Link) -> Result<Counted, Error> {
        self.counted_on(index(link)?)
    }

    /// The same, by the link's number.
    pub fn counted_on(&self, number: u32) -> Result<Counted, Error> {
        let of = |source| Error::Map { what: format!("link {number}"), done: "read", source };
        let [passed, dropped] = self.counted.get(&number, 0).map_err(of)?;
        Ok(Counted { passed, dropped })
    }

    /// Whether the gate stands on a link, in both directions and before every other program.
    pub fn stands(&self, link: &Link) -> bool {
        WAYS.into_iter().all(|(direction, _)| {
            let first = SchedClassifier::query_tcx(&link.to_string(), direction);
            first.is_ok_and(|(_, all)| all.first().is_some_and(|p| p.name_as_str() == Some(PROGRAM)))
        })
    }
}

impl Gate {
    /// The program as the kernel calls it: a hash of its instructions, the same wherever it is loaded.
    pub fn hash(&mut self) -> Result<String, Error> {
        let info = program(&mut self.kernel)?.info().map_err(|e| Error::Load(EbpfError::from(e)))?;
        Ok(format!("{:016x}", info.tag()))
    }

    /// What is missing of the gate on a link, by its number; nothing where all stands, or where there is no such link any
    /// more, over which no packet goes.
    pub fn missing(&self, number: u32, group: &Uid) -> Result<Vec<String>, Error> {
        let Some(name) = name(number)? else { return Ok(Vec::new()) };
        let own = self.own;
        let mut missing: Vec<String> = WAYS
            .into_iter()
            .filter(|(direction, _)| {
                let first = SchedClassifier::query_tcx(&name, *direction);
                !first.is_ok_and(|(_, all)| all.first().is_some_and(|p| p.id() == own))
            })
            .map(|(_, way)| format!("the program is not first on the way {way}"))
            .collect();
        let member = self.members.get(&number, 0).ok();
        if member != Some(bytes(group)?) {
            missing.push("it does not belong to its group".to_owned());
        }
        Ok(missing)
    }

    /// What is missing that all links need: a map that is no longer pinned would be another one after the next start.
    pub fn missing_of_all(&self) -> Vec<String> {
        let id = |name: &str| MapInfo::from_pin(self.pins.join(name)).map(|i| i.id()).ok();
        let missing = MAPS.into_iter().zip(self.maps).filter(|(name, own)| id(name) != Some(*own));
        missing.map(|(name, _)| format!("map {name} is not pinned")).collect()
    }

    /// Numbers of the links that it was put on and not taken off.
    pub fn pinned(&self) -> Result<Vec<u32>, Error> {
        let of = |source| Error::Pins { path: self.pins.clone(), source };
        let mut all = Vec::new();
        for file in std::fs::read_dir(&self.pins).map_err(of)? {
            let name = file.map_err(of)?.file_name();
            all.extend(
                name.to_str().and_then(|n| n.split_once('-')).and_then(|(n, _)| n.parse::<u32>().ok()),
            );
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// Forgets deadlines that have gone by, so that those of groups that left the node do not fill the map.
    pub fn forget(&mut self) {
        let now = BootTime::now().nanoseconds();
        let past = self.deadlines.iter().flatten().filter(|(_, until)| *until <= now).map(|(group, _)| group);
        for group in past.collect::<Vec<_>>() {
            // What cannot be removed is closed as it is.
            let _ = self.deadlines.remove(&group);
        }
    }
}

/// A link's name in this thread's network namespace; nothing where there is none of that number.
pub(super) fn name(number: u32) -> Result<Option<String>, Error> {
    let of = |e: rustix::io::Errno| Error::Number { number, source: e.into() };
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).map_err(of)?;
    match index_to_name(any, number) {
        Ok(name) => Ok(Some(name)),
        Err(rustix::io::Errno::NODEV | rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(of(error)),
    }
}

fn program(kernel: &mut Ebpf) -> Result<&mut SchedClassifier, Error> {
    let program = kernel.program_mut(PROGRAM).ok_or(Error::Missing(PROGRAM))?;
    program.try_into().map_err(|e: ProgramError| Error::Load(EbpfError::from(e)))
}

fn absent_is_gone(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(e)) if e.io_error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A link's number in this thread's network namespace.
fn index(link: &Link) -> Result<u32, Error> {
    let of = |e: rustix::io::Errno| Error::Attach { link: link.clone(), source: e.into() };
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).map_err(of)?;
    name_to_index(any, &link.to_string()).map_err(of)
}

fn bytes(group: &Uid) -> Result<Group, Error> {
    let digits: String = group.as_str().chars().filter(|c| *c != '-').collect();
    let decoded = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok();
    decoded.and_then(|b| Group::try_from(b).ok()).ok_or_else(|| Error::Group(group.clone()))
}
