//! Looks through a stream of `btrfs send`, command by command, before any of it is carried out: it makes exactly the point that
//! was offered, from the one that was agreed on, and names nothing outside it. A volume's subvolume holds plain files beside
//! each other; whatever else a stream asks for, no volume of ours has it. The format is `fs/btrfs/send.h` of Linux, version 1.

/// What a stream begins with, and the one version that is taken.
const MAGIC: &[u8] = b"btrfs-stream\0";
const VERSION: u32 = 1;
/// Longest command: a write has 48 KiB.
const LONGEST: usize = 1 << 20;

/// Commands.
const SUBVOLUME: u16 = 1;
const SNAPSHOT: u16 = 2;
const CLONE: u16 = 16;
const END: u16 = 21;
/// Those that make, change and remove plain files: mkfile, rename, unlink, set and remove an attribute, write, clone,
/// truncate, chmod, chown, utimes, update extent.
const OF_FILES: [u16; 12] = [3, 9, 11, 13, 14, 15, CLONE, 17, 18, 19, 20, 22];
/// Those of them that may be about the subvolume itself: its attributes, owner, mode and times.
const OF_ITSELF: [u16; 5] = [13, 14, 18, 19, 20];

/// Attributes.
const UUID: u16 = 1;
const PATH: u16 = 15;
const PATH_TO: u16 = 16;
const PATH_LINK: u16 = 17;
const CLONE_UUID: u16 = 20;
const CLONE_PATH: u16 = 22;

/// Bytes before the first command, and before what a command says.
const BEFORE_ALL: usize = MAGIC.len() + 4;
const BEFORE_EACH: usize = 10;

/// What a stream has to make.
#[derive(Debug, Clone)]
pub struct Promised {
    /// Name of the subvolume.
    pub name: String,
    /// Uuid of the snapshot at the sender.
    pub uuid: String,
    /// Uuid of the point that it is made from; nothing: it is whole.
    pub parent: Option<String>,
}

/// A stream that is being looked through.
#[derive(Debug)]
pub struct Checker {
    promised: Promised,
    seen: Seen,
    /// What has come of a command that is not whole yet.
    rest: Vec<u8>,
}

/// How far it was looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Format,
    Beginning,
    End,
}

impl Checker {
    /// Looks for this point.
    pub fn new(promised: Promised) -> Self {
        Self { promised, seen: Seen::Nothing, rest: Vec::new() }
    }

    /// Takes the next bytes. Of all that have come, those that may be carried out now: whole commands. Otherwise what is wrong
    /// with them; nothing of such a stream is to be taken any more.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        self.rest.extend_from_slice(bytes);
        let mut whole = 0;
        while let Some(piece) = self.seen.next(self.rest.get(whole..).unwrap_or_default())? {
            self.seen = self.seen.after(piece, &self.promised)?;
            whole += piece.len();
        }
        let rest = self.rest.split_off(whole);
        Ok(std::mem::replace(&mut self.rest, rest))
    }

    /// Nothing more comes: whether that was all.
    pub fn end(&self) -> Result<(), String> {
        match self.seen {
            Seen::End => Ok(()),
            Seen::Nothing | Seen::Format | Seen::Beginning => Err("it ends before its end".to_owned()),
        }
    }
}

impl Seen {
    /// What comes next in these bytes, if all of it is there.
    fn next(self, bytes: &[u8]) -> Result<Option<&[u8]>, String> {
        let length = match self {
            Self::Nothing => BEFORE_ALL,
            Self::End if bytes.is_empty() => return Ok(None),
            Self::End => return Err("it goes on behind its end".to_owned()),
            Self::Format | Self::Beginning => {
                let Some(length) = bytes.get(..4).and_then(number) else { return Ok(None) };
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                if length > LONGEST {
                    return Err(format!("a command of {length} bytes"));
                }
                BEFORE_EACH + length
            }
        };
        Ok(bytes.get(..length))
    }

    /// Looks through that.
    fn after(self, piece: &[u8], promised: &Promised) -> Result<Self, String> {
        if self == Self::Nothing {
            return of_format(piece).map(|()| Self::Format);
        }
        let (head, body) = piece.split_at_checked(BEFORE_EACH).unwrap_or_default();
        let kind = head.get(4..6).and_then(|kind| kind.try_into().ok()).map_or(0, u16::from_le_bytes);
        match (self, kind) {
            (Self::Format, _) => of_point(kind, body, promised).map(|()| Self::Beginning),
            (_, END) => Ok(Self::End),
            (_, kind) if OF_FILES.contains(&kind) => of_file(kind, body, promised).map(|()| self),
            (_, kind) => Err(format!("command {kind} makes what no volume has")),
        }
    }
}

fn of_format(head: &[u8]) -> Result<(), String> {
    let Some((MAGIC, version)) = head.split_at_checked(MAGIC.len()) else {
        return Err("it is no stream of btrfs".to_owned());
    };
    match number(version) {
        Some(VERSION) => Ok(()),
        other => Err(format!("its format is {other:?}, and {VERSION} is taken")),
    }
}

fn of_point(kind: u16, body: &[u8], promised: &Promised) -> Result<(), String> {
    let wanted = if promised.parent.is_some() { SNAPSHOT } else { SUBVOLUME };
    if kind != wanted {
        return Err(format!(
            "it begins with command {kind}, not {wanted}: it is not made from the agreed point"
        ));
    }
    let mut seen = 0;
    for (attribute, value) in attributes(body)? {
        let right = match attribute {
            PATH => value == promised.name.as_bytes(),
            UUID => uuid(value) == promised.uuid,
            CLONE_UUID => Some(uuid(value)) == promised.parent,
            _ => continue,
        };
        if !right {
            return Err(format!(
                "attribute {attribute} of its beginning is not that of the point that was offered"
            ));
        }
        seen += 1;
    }
    let needed = if promised.parent.is_some() { 3 } else { 2 };
    if seen == needed { Ok(()) } else { Err("its beginning does not say what it makes".to_owned()) }
}

fn of_file(kind: u16, body: &[u8], promised: &Promised) -> Result<(), String> {
    for (attribute, value) in attributes(body)? {
        match attribute {
            PATH if value.is_empty() && OF_ITSELF.contains(&kind) => (),
            PATH | PATH_TO | CLONE_PATH if !plain(value) => {
                let shown: String = String::from_utf8_lossy(value).chars().take(80).collect();
                return Err(format!("command {kind} names {shown:?}, which is no file of a volume"));
            }
            PATH_LINK => return Err(format!("command {kind} makes a link")),
            CLONE_UUID => {
                let from = uuid(value);
                if from != promised.uuid && Some(&from) != promised.parent.as_ref() {
                    return Err(format!("it takes blocks of subvolume {from}"));
                }
            }
            _ => (),
        }
    }
    Ok(())
}

/// A name in the subvolume itself.
fn plain(path: &[u8]) -> bool {
    !path.is_empty() && !path.contains(&b'/') && !path.contains(&0) && path != b"." && path != b".."
}

/// Kind and value of each.
fn attributes(mut body: &[u8]) -> Result<Vec<(u16, &[u8])>, String> {
    let mut all = Vec::new();
    while let Some(([low, high, less, more], rest)) = body.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes([*less, *more]));
        let (value, rest) = rest.split_at_checked(length).ok_or("an attribute is longer than its command")?;
        all.push((u16::from_le_bytes([*low, *high]), value));
        body = rest;
    }
    if body.is_empty() { Ok(all) } else { Err("a command ends in the middle of an attribute".to_owned()) }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_le_bytes)
}

fn uuid(bytes: &[u8]) -> String {
    let text = data_encoding::HEXLOWER.encode(bytes);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, text.len())].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [u8; 16] = [0x11; 16];
    const PARENT: [u8; 16] = [0x22; 16];

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len()).unwrap();
        [&kind.to_le_bytes()[..], &length.to_le_bytes(), value].concat()
    }

    fn command(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
        let body = attributes.concat();
        let length = u32::try_from(body.len()).unwrap();
        [&length.to_le_bytes()[..], &kind.to_le_bytes(), &[0; 4], &body].concat()
    }

    fn stream(commands: &[Vec<u8>]) -> Vec<u8> {
        [MAGIC, &VERSION.to_le_bytes(), &commands.concat()].concat()
    }

    fn begin() -> Vec<u8> {
        command(SNAPSHOT, &[attribute(PATH, b"p"), attribute(UUID, &OWN), attribute(CLONE_UUID, &PARENT)])
    }

    /// As it comes over a wire: in pieces that end anywhere. What may be carried out is all of it, and never more than whole
    /// commands.
    fn check(stream: &[u8], piece: usize) -> Result<(), String> {
        let parent = Some(uuid(&PARENT));
        let mut checker = Checker::new(Promised { name: "p".to_owned(), uuid: uuid(&OWN), parent });
        let mut carried = Vec::new();
        for bytes in stream.chunks(piece) {
            carried.extend(checker.take(bytes)?);
            assert!(stream.starts_with(&carried));
        }
        checker.end()?;
        assert_eq!(carried, stream);
        Ok(())
    }

    fn judged(commands: &[Vec<u8>]) -> Result<(), String> {
        let verdicts = [1, 7, 1 << 20].map(|piece| check(&stream(commands), piece));
        assert!(verdicts.windows(2).all(|two| two[0] == two[1]), "{verdicts:?}");
        verdicts[0].clone()
    }

    #[test]
    fn what_makes_the_point_is_taken() {
        let write = command(15, &[attribute(PATH, b"image"), attribute(18, &[0; 8]), attribute(19, b"data")]);
        let itself = command(20, &[attribute(PATH, b"")]);
        let clone = command(CLONE, &[attribute(PATH, b"image"), attribute(CLONE_UUID, &PARENT)]);
        assert_eq!(judged(&[begin(), write, itself, clone, command(END, &[])]), Ok(()));
    }

    #[test]
    fn what_reaches_outside_or_makes_something_else_is_not() {
        let end = || command(END, &[]);
        let whole = command(SUBVOLUME, &[attribute(PATH, b"p"), attribute(UUID, &OWN)]);
        assert!(judged(&[whole, end()]).unwrap_err().contains("not made from the agreed point"));
        let other = command(
            SNAPSHOT,
            &[attribute(PATH, b"p"), attribute(UUID, &PARENT), attribute(CLONE_UUID, &PARENT)],
        );
        assert!(judged(&[other, end()]).unwrap_err().contains("not that of the point"));
        let nameless = command(SNAPSHOT, &[attribute(UUID, &OWN), attribute(CLONE_UUID, &PARENT)]);
        assert!(judged(&[nameless, end()]).is_err());
        for path in [&b"../x"[..], b"/etc/passwd", b"a/b", b"..", b".", b""] {
            let write = command(15, &[attribute(PATH, path)]);
            assert!(
                judged(&[begin(), write, end()]).unwrap_err().contains("no file of a volume"),
                "{path:?}"
            );
        }
        // A directory, a device, a symbolic link, a hard link; a second beginning.
        for kind in [4, 5, 8, 10, SUBVOLUME] {
            let made = command(kind, &[attribute(PATH, b"x")]);
            assert!(judged(&[begin(), made, end()]).unwrap_err().contains("no volume has"), "{kind}");
        }
        let foreign = command(CLONE, &[attribute(PATH, b"image"), attribute(CLONE_UUID, &[0x33; 16])]);
        assert!(judged(&[begin(), foreign, end()]).unwrap_err().contains("takes blocks of"));
        assert!(judged(&[begin()]).is_err() && judged(&[begin(), end(), end()]).is_err());
        assert!(check(b"something else, quite", 5).unwrap_err().contains("no stream"));
    }

    #[test]
    fn of_a_command_nothing_is_carried_out_before_it_was_looked_through() {
        let outside = command(15, &[attribute(PATH, b"../x"), attribute(19, &[7; 4096])]);
        let good = stream(&[begin()]);
        let parent = Some(uuid(&PARENT));
        let mut checker = Checker::new(Promised { name: "p".to_owned(), uuid: uuid(&OWN), parent });
        let (first, last) = outside.split_at(outside.len() - 1);
        assert_eq!(checker.take(&[good.as_slice(), first].concat()), Ok(good));
        assert!(checker.take(last).unwrap_err().contains("no file of a volume"));
    }

    #[test]
    fn nothing_that_is_cut_off_is_taken_or_makes_it_fall_over() {
        let write = command(15, &[attribute(PATH, b"image"), attribute(18, &[0; 8]), attribute(19, b"data")]);
        let whole = stream(&[begin(), write, command(END, &[])]);
        for length in 0..whole.len() {
            assert!(check(&whole[..length], 3).is_err(), "{length}");
        }
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 0x80;
            let _ = check(&other, 3);
        }
    }
}
