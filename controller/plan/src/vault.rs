//! What is asked of a Vault's transit engine, and what its answers mean. Pure: the site's controller asks. One transit key
//! for each VDC and site; its versions are the generations of the VDC's key.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What the keys are: authenticated, so that a wrapped key is bound to its volume.
pub const TYPE: &str = "aes256-gcm96";
/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;
/// Most versions that are made at once to reach a generation.
pub const AT_ONCE: u32 = 64;

/// A transit key as the engine shows it: no key is in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Key {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Newest version.
    pub latest_version: u32,
    /// Oldest version that the engine still has.
    #[serde(default)]
    pub min_available_version: u32,
    /// Oldest version that opens anything.
    pub min_decryption_version: u32,
    /// When each version that opens anything was made, in seconds since 1970.
    pub keys: BTreeMap<u32, i64>,
    /// Whether somebody with the right to may read it out.
    #[serde(default)]
    pub exportable: bool,
    /// The same, whole.
    #[serde(default)]
    pub allow_plaintext_backup: bool,
    /// Whether each context has a key of its own, which ours have not.
    #[serde(default)]
    pub derived: bool,
}

impl Key {
    /// Why the key cannot be used; nothing where it can.
    pub fn unfit(&self) -> Option<String> {
        if self.kind != TYPE || self.derived {
            return Some(format!("its type is {}{}, not {TYPE}", self.kind, derived(self.derived)));
        }
        if self.exportable || self.allow_plaintext_backup {
            return Some("it may be read out of Vault (exportable or allow_plaintext_backup)".to_owned());
        }
        (!self.keys.contains_key(&self.latest_version)).then(|| "its newest version opens nothing".to_owned())
    }
}

fn derived(derived: bool) -> &'static str {
    if derived { " (derived)" } else { "" }
}

/// What is done so that a VDC has a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// One is made.
    Make,
    /// It gets so many versions more.
    Rotate(u32),
    /// It has one: its generation.
    Enough(u32),
    /// It cannot be used, and why.
    Refuse(String),
}

/// Decides. `key` is what is there; it is to have at least that generation, and a newest one that is not older than
/// `max_age_days`.
pub fn ensure(key: Option<&Key>, generation: u32, max_age_days: u32, now: i64) -> Step {
    let Some(key) = key else { return Step::Make };
    if let Some(why) = key.unfit() {
        return Step::Refuse(why);
    }
    let (wanted, newest) = (generation.max(1), key.latest_version);
    if newest < wanted {
        return if wanted - newest <= AT_ONCE {
            Step::Rotate(wanted - newest)
        } else {
            Step::Refuse(format!(
                "it is at generation {newest} and generation {wanted} is asked for: at most {AT_ONCE} are made at once; raise encryption.keyGeneration in steps"
            ))
        };
    }
    let made = key.keys.get(&newest).copied().unwrap_or(now);
    let old = now - made >= i64::from(max_age_days.max(1)) * DAY;
    if old { Step::Rotate(1) } else { Step::Enough(newest) }
}

/// The version from which on the key is kept, if older ones are to end: `oldest` is the oldest that something may still be
/// wrapped with. The newest never ends.
pub fn forget(key: &Key, oldest: u32) -> Option<u32> {
    let first = oldest.min(key.latest_version);
    let done = key.min_decryption_version >= first && key.min_available_version >= first;
    (first > 1 && !done).then_some(first)
}

/// What an answer with an error means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The engine has no such key: its own word, and not that of a Vault that has no such engine.
    NoSuchKey,
    /// The key is there and does not open this: it was wrapped for another place, or changed.
    DoesNotOpen,
    /// The token may not do that.
    Denied,
    /// Vault is sealed.
    Sealed,
    /// Something else, in Vault's words.
    Other(String),
}

/// Reads an answer with an error. Vault says 404 of keys and of engines that it does not have: of a key without a word.
pub fn meaning(code: u16, errors: &[String]) -> Meaning {
    let said = |text: &str| errors.iter().any(|e| e.contains(text));
    match code {
        404 if errors.is_empty() => Meaning::NoSuchKey,
        400 if said("message authentication failed") => Meaning::DoesNotOpen,
        403 => Meaning::Denied,
        503 if said("sealed") => Meaning::Sealed,
        _ => {
            let words = errors.join("; ").split_whitespace().collect::<Vec<_>>().join(" ");
            let words: String = words.chars().take(200).collect();
            Meaning::Other(format!("it answered {code}: {words}"))
        }
    }
}

/// Version and base64 of a ciphertext as the engine writes it, `vault:v3:...`.
pub fn split(ciphertext: &str) -> Option<(u32, &str)> {
    let (version, data) = ciphertext.strip_prefix("vault:v")?.split_once(':')?;
    Some((version.parse().ok()?, data))
}

/// The same the other way.
pub fn join(version: u32, data: &str) -> String {
    format!("vault:v{version}:{data}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn key(latest: u32, oldest: u32) -> Key {
        Key {
            kind: TYPE.to_owned(),
            latest_version: latest,
            min_available_version: 0,
            min_decryption_version: oldest,
            keys: (oldest..=latest).map(|v| (v, NOW)).collect(),
            exportable: false,
            allow_plaintext_backup: false,
            derived: false,
        }
    }

    #[test]
    fn a_key_is_made_once_and_rotated_when_it_is_to_be() {
        assert_eq!(ensure(None, 1, 90, NOW), Step::Make);
        assert_eq!(ensure(Some(&key(1, 1)), 1, 90, NOW), Step::Enough(1));
        assert_eq!(ensure(Some(&key(1, 1)), 0, 90, NOW), Step::Enough(1));
        assert_eq!(ensure(Some(&key(1, 1)), 3, 90, NOW), Step::Rotate(2));
        assert_eq!(ensure(Some(&key(3, 2)), 2, 90, NOW), Step::Enough(3));
        assert_eq!(ensure(Some(&key(3, 2)), 2, 90, NOW + 90 * DAY - 1), Step::Enough(3));
        assert_eq!(ensure(Some(&key(3, 2)), 2, 90, NOW + 90 * DAY), Step::Rotate(1));
        // A clock that went back makes none.
        assert_eq!(ensure(Some(&key(3, 2)), 2, 90, NOW - 90 * DAY), Step::Enough(3));
        assert!(matches!(ensure(Some(&key(1, 1)), AT_ONCE + 2, 90, NOW), Step::Refuse(_)));
    }

    #[test]
    fn a_key_that_may_be_read_out_or_binds_nothing_is_refused() {
        let unfit = [
            Key { exportable: true, ..key(1, 1) },
            Key { allow_plaintext_backup: true, ..key(1, 1) },
            Key { derived: true, ..key(1, 1) },
            Key { kind: "aes256-cbc".to_owned(), ..key(1, 1) },
            Key { keys: [].into(), ..key(1, 1) },
        ];
        for key in unfit {
            assert!(matches!(ensure(Some(&key), 1, 90, NOW), Step::Refuse(_)), "{key:?}");
        }
    }

    #[test]
    fn old_versions_end_and_the_newest_never() {
        assert_eq!(forget(&key(3, 1), 1), None);
        assert_eq!(forget(&key(3, 1), 2), Some(2));
        assert_eq!(forget(&key(3, 1), 9), Some(3));
        // It was stopped before the engine had thrown them away.
        assert_eq!(forget(&key(3, 3), 3), Some(3));
        assert_eq!(forget(&Key { min_available_version: 3, ..key(3, 3) }, 3), None);
    }

    #[test]
    fn only_a_word_of_the_engine_says_that_there_is_no_key() {
        let errors = |text: &str| vec![text.to_owned()];
        assert_eq!(meaning(404, &[]), Meaning::NoSuchKey);
        let route = "no handler for route \"transit/keys/x\". route entry not found.";
        for (code, text) in [(404, route), (400, "encryption key not found"), (502, ""), (200, "")] {
            assert!(matches!(meaning(code, &errors(text)), Meaning::Other(_)), "{code} {text}");
        }
        assert!(matches!(meaning(502, &[]), Meaning::Other(_)));
        assert_eq!(meaning(400, &errors("cipher: message authentication failed")), Meaning::DoesNotOpen);
        assert_eq!(meaning(403, &errors("permission denied")), Meaning::Denied);
        assert_eq!(meaning(503, &errors("Vault is sealed")), Meaning::Sealed);
    }

    #[test]
    fn a_ciphertext_is_what_it_was() {
        assert_eq!(split("vault:v12:QUJD"), Some((12, "QUJD")));
        assert_eq!(join(12, "QUJD"), "vault:v12:QUJD");
        for bad in ["", "vault:v:QUJD", "vault:v1", "other:v1:QUJD", "vault:vx:QUJD"] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
