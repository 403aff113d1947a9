//! Looks through a stream of `btrfs send` before it touches the disk: it makes exactly the point that was offered, from the
//! one that was agreed on, and names nothing outside it. A volume's subvolume holds plain files beside each other; whatever
//! else a stream asks for, no volume of ours has it. The format is `fs/btrfs/send.h` of Linux, version 1.

use std::io::Read;

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

/// What a stream has to make.
#[derive(Debug, Clone, Copy)]
pub struct Promised<'a> {
    /// Name of the subvolume.
    pub name: &'a str,
    /// Uuid of the snapshot at the sender.
    pub uuid: &'a str,
    /// Uuid of the point that it is made from; nothing: it is whole.
    pub parent: Option<&'a str>,
}

/// Looks through it to its end; what is wrong with it.
pub fn check(mut stream: impl Read, promised: Promised<'_>) -> Result<(), String> {
    let head: [u8; 17] = take(&mut stream)?;
    let (magic, version) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err("it is no stream of btrfs".to_owned());
    }
    if number(version) != Some(VERSION) {
        return Err(format!("its format is {:?}, and {VERSION} is taken", number(version)));
    }
    let (begun, first) = command(&mut stream)?;
    of_point(begun, &first, promised)?;
    loop {
        let (kind, body) = command(&mut stream)?;
        if kind == END {
            break;
        }
        if !OF_FILES.contains(&kind) {
            return Err(format!("command {kind} makes what no volume has"));
        }
        of_file(kind, &body, promised)?;
    }
    match stream.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err("it goes on behind its end".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn of_point(kind: u16, body: &[u8], promised: Promised<'_>) -> Result<(), String> {
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
            CLONE_UUID => Some(uuid(value).as_str()) == promised.parent,
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

fn of_file(kind: u16, body: &[u8], promised: Promised<'_>) -> Result<(), String> {
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
                if from != promised.uuid && Some(from.as_str()) != promised.parent {
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

fn command(stream: &mut impl Read) -> Result<(u16, Vec<u8>), String> {
    let head: [u8; 10] = take(stream)?;
    let [a, b, c, d, low, high, ..] = head;
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > LONGEST {
        return Err(format!("a command of {length} bytes"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).map_err(|_| "it ends in the middle of a command".to_owned())?;
    Ok((u16::from_le_bytes([low, high]), body))
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

fn take<const N: usize>(stream: &mut impl Read) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).map_err(|_| "it ends before its end".to_owned())?;
    Ok(bytes)
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

    fn judged(commands: &[Vec<u8>]) -> Result<(), String> {
        let (own, parent) = (uuid(&OWN), uuid(&PARENT));
        check(&stream(commands)[..], Promised { name: "p", uuid: &own, parent: Some(&parent) })
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
        assert!(
            check(&b"something else, quite"[..], Promised { name: "p", uuid: "", parent: None }).is_err()
        );
    }

    #[test]
    fn nothing_that_is_cut_off_is_taken_or_makes_it_fall_over() {
        let write = command(15, &[attribute(PATH, b"image"), attribute(18, &[0; 8]), attribute(19, b"data")]);
        let whole = stream(&[begin(), write, command(END, &[])]);
        let (own, parent) = (uuid(&OWN), uuid(&PARENT));
        let promised = Promised { name: "p", uuid: &own, parent: Some(&parent) };
        for length in 0..whole.len() {
            assert!(check(&whole[..length], promised).is_err(), "{length}");
        }
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 0x80;
            let _ = check(&other[..], promised);
        }
    }
}
