//! One probe of one open volume: two texts by chance are written, one into what pods see and one beside it at the root of the
//! file system, which is not encrypted, and both are read back from their blocks in the volume's image, past every cache. What
//! that shows is judged in `yunting_plan::vdc::encryption`.
//!
//! Both files have no name: nobody sees them, and they are gone with this process, too. A file without a name has the key of
//! the directory it is made in, as every file that a pod makes there.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use data_encoding::HEXLOWER;
use fiemap::{Fiemap, FiemapExtentFlags, FiemapFlags};
use rustix::fs::{Advice, Mode, OFlags, StatVfsMountFlags, fadvise, open, statvfs};
use yunting_plan::vdc::encryption::{Evidence, Outcome, read};

use super::cipher;
use super::error::Error;
use crate::context::{Context, RandomFailed};
use crate::error::chain;

/// Bytes of a text's line, and of the file that is full of it: two blocks.
const LINE: usize = 64;
const LENGTH: usize = 8192;
/// Blocks begin at multiples of this; so does what is read past the cache.
const BLOCK: usize = 4096;
/// Bytes that have to be free in the volume: a probe takes no pod's last ones.
const FREE: u64 = 1 << 20;
/// Bytes that have to be free on the disk below: where that is full, whoever writes makes the volume read-only.
const FREE_BELOW: u64 = 64 << 20;
/// Extents whose place or content is not what stands at one place of the image.
const ELSEWHERE: FiemapExtentFlags = FiemapExtentFlags::UNKNOWN
    .union(FiemapExtentFlags::DELALLOC)
    .union(FiemapExtentFlags::NOT_ALIGNED)
    .union(FiemapExtentFlags::DATA_INLINE)
    .union(FiemapExtentFlags::DATA_TAIL)
    .union(FiemapExtentFlags::UNWRITTEN);

/// What one probe writes; no other ever wrote it. Never shown to anybody.
pub struct Texts {
    hidden: Vec<u8>,
    clear: Vec<u8>,
}

impl Texts {
    /// Fresh ones.
    pub fn fresh(context: &Context) -> Result<Self, RandomFailed> {
        let text = || Ok(HEXLOWER.encode(&context.random(LINE / 2)?).into_bytes().repeat(LENGTH / LINE));
        Ok(Self { hidden: text()?, clear: text()? })
    }
}

/// Why there is no evidence.
enum Stop {
    /// It was asked to leave.
    Left,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Probes the volume of a subvolume that is open at a place. Blocks while the disk works. `leave` is asked between steps
/// whether somebody else waits for the volume; then nothing is shown, and nothing of the probe is left.
pub fn look(subvolume: &Path, place: &Path, texts: &Texts, leave: &dyn Fn() -> bool) -> Option<Outcome> {
    match evidence(subvolume, place, texts, leave) {
        Ok(outcome) => Some(outcome),
        Err(Stop::Left) => None,
        Err(Stop::Failed(error)) => Some(Outcome::Unproved(chain(&error))),
    }
}

fn evidence(
    subvolume: &Path,
    place: &Path,
    texts: &Texts,
    leave: &dyn Fn() -> bool,
) -> Result<Outcome, Stop> {
    let go_on = || if leave() { Err(Stop::Left) } else { Ok(()) };
    has_room(subvolume, place)?;
    go_on()?;
    let hidden = Written::new(&cipher::data(place), &texts.hidden)?;
    go_on()?;
    let clear = Written::new(place, &texts.clear)?;
    go_on()?;
    let file = cipher::image(subvolume);
    let image = open(&file, OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty());
    let image = File::from(image.map_err(|e| Error::file("open past the cache", &file)(e.into()))?);
    let raw = |of: &Written| of.raw(&image).map_err(Error::file("read past the cache", &file));
    Ok(read(Evidence {
        written: &texts.hidden,
        through: &hidden.through().map_err(Error::file("read in", place))?,
        raw: &raw(&hidden)?,
        control: &texts.clear,
        control_raw: &raw(&clear)?,
    }))
}

/// A probe must neither fill a volume nor be what finds the disk full.
fn has_room(subvolume: &Path, place: &Path) -> Result<(), Error> {
    let seen = statvfs(place).map_err(|e| Error::file("look at", place)(e.into()))?;
    if seen.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(Error::NotNow(
            "it is read-only: the disk was full or failed; start its pod anew".to_owned(),
        ));
    }
    if seen.f_bavail.saturating_mul(seen.f_frsize) < FREE || seen.f_favail < 2 {
        return Err(Error::NoRoom(format!("it is full: less than {FREE} bytes or no file is left in it")));
    }
    let below = statvfs(subvolume).map_err(|e| Error::file("look at", subvolume)(e.into()))?;
    if below.f_bavail.saturating_mul(below.f_frsize) < FREE_BELOW {
        return Err(Error::NoRoom(format!("less than {FREE_BELOW} bytes are left on the disk of volumes")));
    }
    Ok(())
}

/// A file without a name that is on the disk.
struct Written {
    file: File,
    /// Where its bytes lie in the image, in their order: first and how many.
    extents: Vec<(u64, usize)>,
}

impl Written {
    fn new(directory: &Path, text: &[u8]) -> Result<Self, Error> {
        let write = || {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            let mut file = File::from(open(directory, flags, Mode::RUSR | Mode::WUSR)?);
            file.write_all(text)?;
            file.sync_data()?;
            let extents = extents(&file)?;
            io::Result::Ok(Self { file, extents })
        };
        write().map_err(Error::file("write a text in", directory))
    }

    /// What the mount shows of it, read from the disk.
    fn through(&self) -> io::Result<Vec<u8>> {
        fadvise(&self.file, 0, None, Advice::DontNeed)?;
        let mut bytes = vec![0; LENGTH];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// What stands at its place in the image.
    fn raw(&self, image: &File) -> io::Result<Vec<u8>> {
        let mut all = Vec::with_capacity(LENGTH);
        for (first, length) in &self.extents {
            // Memory that begins at a block's border, too.
            let mut bytes = vec![0; length + BLOCK];
            let skip = bytes.as_ptr().align_offset(BLOCK);
            let block = bytes.get_mut(skip..skip.saturating_add(*length));
            let block = block.ok_or_else(|| io::Error::other("no memory begins at a block's border"))?;
            image.read_exact_at(block, *first)?;
            all.extend_from_slice(block);
        }
        Ok(all)
    }
}

/// Where a file of [`LENGTH`] bytes lies on its device, which is the image.
fn extents(file: &File) -> io::Result<Vec<(u64, usize)>> {
    let mut extents = Vec::new();
    let mut missing = LENGTH;
    for extent in Fiemap::with_flags(file, FiemapFlags::SYNC) {
        let extent = extent?;
        if extent.fe_flags.intersects(ELSEWHERE) {
            return Err(io::Error::other(format!("its blocks have no place: {:?}", extent.fe_flags)));
        }
        let length = usize::try_from(extent.fe_length).unwrap_or(usize::MAX).min(missing);
        extents.push((extent.fe_physical, length));
        missing -= length;
    }
    if missing == 0 { Ok(extents) } else { Err(io::Error::other("not all of its blocks have a place")) }
}
