//! What nodes say of models in the table: names there, the manifest of a model's files, and the parts that these are cut into.
//!
//! A part is called by the hash of what is in it, so under one name there is one content, and parts are never mixed. A manifest
//! lists the parts. Whoever reads it has checked that the sizes agree before he makes any file.

use std::collections::BTreeSet;
use std::fmt;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::model::registry::is_id;

/// Bytes of a part; only the last of a file may have fewer. Brokers take messages of 1 MB, if they are not told otherwise.
pub(super) const PART: u64 = 512 << 10;
/// Bytes of a model's files together.
pub(super) const LARGEST: u64 = 256 << 20;
/// Files of a model; today it has five.
const FILES: usize = 8;
/// Bytes of a manifest, or of the registry's state: several times what the largest take.
const LONGEST: usize = 900 << 10;
/// The layout of manifests.
const FORMAT: u32 = 1;

/// The name of the registry's state.
pub(super) const STATE: &str = "state";

/// The SHA-256 of some bytes; in hex where it is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Digest([u8; 32]);

impl Digest {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut own = [0; 32];
        own.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(own)
    }

    fn parse(hex: &str) -> Option<Self> {
        let mut own = [0; 32];
        let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
        if pairs.len() != own.len() {
            return None;
        }
        for (byte, [high, low]) in own.iter_mut().zip(pairs) {
            // Of each value one name: no capitals.
            let digit = |it: u8| match it {
                b'0'..=b'9' => Some(it - b'0'),
                b'a'..=b'f' => Some(it - b'a' + 10),
                _ => None,
            };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(own))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(hex: String) -> Result<Self, String> {
        Self::parse(&hex).ok_or_else(|| "a part's name is not 64 digits of hex".to_owned())
    }
}

/// A name in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// The registry's state.
    State,
    /// What is said of the model of this id.
    Model(&'a str),
    /// A part of this model's files.
    Part(&'a str, Digest),
}

impl<'a> Name<'a> {
    /// None where it is no name of ours, or leads out of the registry's folder.
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        if name == STATE {
            return Some(Self::State);
        }
        if let Some(id) = name.strip_prefix("model/") {
            return is_id(id).then_some(Self::Model(id));
        }
        let (id, hex) = name.strip_prefix("part/")?.split_once('/')?;
        is_id(id).then_some(Self::Part(id, Digest::parse(hex)?))
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State => f.write_str(STATE),
            Self::Model(id) => write!(f, "model/{id}"),
            Self::Part(id, digest) => write!(f, "part/{id}/{digest}"),
        }
    }
}

/// A file of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    /// Its name in the model's folder.
    pub(super) name: String,
    pub(super) bytes: u64,
    /// Its parts in their order.
    pub(super) parts: Vec<Digest>,
}

impl Listed {
    /// How many bytes a part has.
    pub(super) fn length_of(&self, part: usize) -> u64 {
        self.bytes.saturating_sub((part as u64).saturating_mul(PART)).min(PART)
    }
}

/// What is said of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// It consists of these files.
    Files(Vec<Listed>),
    /// It was removed.
    Removed,
}

/// Why something that another node said is not taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    /// A newer program said it: it is left as it is.
    #[error("is of format {0}, this program reads {FORMAT}; update this node")]
    Newer(u32),
    /// It is passed over.
    #[error("{0}")]
    Wrong(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    id: String,
    says: Word,
}

/// Only the layout's number: other layouts may have other fields.
#[derive(Deserialize)]
struct Layout {
    format: u32,
}

impl Word {
    /// As it lies in the table.
    pub(super) fn encode(self, id: &str) -> Result<Vec<u8>, String> {
        let manifest = Manifest { format: FORMAT, id: id.to_owned(), says: self };
        serde_json::to_vec(&manifest).map_err(|error| error.to_string())
    }

    /// What lies in the table under a model's id. All that it says of sizes and names is checked.
    pub(super) fn decode(id: &str, bytes: &[u8]) -> Result<Self, Unusable> {
        let wrong = |why: &dyn fmt::Display| Unusable::Wrong(why.to_string());
        fits(bytes)?;
        let Layout { format } = serde_json::from_slice(bytes).map_err(|error| wrong(&error))?;
        if format != FORMAT {
            return Err(Unusable::Newer(format));
        }
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| wrong(&error))?;
        if manifest.id != id {
            return Err(wrong(&format!("it is the manifest of {:?}", manifest.id)));
        }
        if let Self::Files(files) = &manifest.says {
            check(files).map_err(|why| wrong(&why))?;
        }
        Ok(manifest.says)
    }
}

/// Refuses what is too long to be read.
pub(super) fn fits(bytes: &[u8]) -> Result<(), Unusable> {
    let length = bytes.len();
    if length > LONGEST {
        return Err(Unusable::Wrong(format!("it has {length} bytes, at most {LONGEST} are read")));
    }
    Ok(())
}

/// Whether files can be those of a model. Which ones it has is seen when they are there.
fn check(files: &[Listed]) -> Result<(), String> {
    if files.len() > FILES {
        return Err(format!("it has {} files, at most {FILES} are taken", files.len()));
    }
    let plain = |name: &str| {
        let known = |it: u8| it.is_ascii_alphanumeric() || b"._-".contains(&it);
        !name.starts_with('.') && (1..=96).contains(&name.len()) && name.bytes().all(known)
    };
    let mut names = BTreeSet::new();
    let mut total = 0u64;
    for Listed { name, bytes, parts } in files {
        if !plain(name) || !names.insert(name) {
            return Err(format!("{name:?} is no name of a file, or of two"));
        }
        if bytes.div_ceil(PART) != parts.len() as u64 {
            return Err(format!(
                "{name} has {} parts, its {bytes} bytes are {}",
                parts.len(),
                bytes.div_ceil(PART)
            ));
        }
        total = total.saturating_add(*bytes);
    }
    if total > LARGEST { Err(too_large(total)) } else { Ok(()) }
}

/// What is said of a model of so many bytes that is not shared.
pub(super) fn too_large(bytes: u64) -> String {
    format!("its files have {bytes} bytes, nodes share models of at most {LARGEST}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listed(name: &str, bytes: u64, parts: usize) -> Listed {
        Listed { name: name.to_owned(), bytes, parts: vec![Digest::of(b"a part"); parts] }
    }

    #[test]
    fn names_say_what_they_are_of_and_lead_nowhere_else() {
        let digest = Digest::of(b"a part");
        for name in [Name::State, Name::Model("a-0123"), Name::Part("a-0123", digest)] {
            assert_eq!(Name::parse(&name.to_string()), Some(name));
        }
        let hex = digest.to_string();
        for name in [
            "",
            "model/",
            "model/..",
            "model/../../etc",
            "model/.hidden",
            "model/a/b",
            "model/a\0",
            "part/a-0123",
            &format!("part/../{hex}"),
            &format!("part/a-0123/{}", hex.to_uppercase()),
            &format!("part/a-0123/{}", &hex[1..]),
            &format!("part/a-0123/{hex}/.."),
            "states",
        ] {
            assert_eq!(Name::parse(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_manifest_that_cannot_be_one_is_refused_with_the_reason() {
        let read = |files: Vec<Listed>| {
            let bytes = Word::Files(files).encode("a-0").unwrap();
            Word::decode("a-0", &bytes).map_err(|problem| problem.to_string())
        };
        let fine = vec![listed("manifest.json", 10, 1), listed("empty", 0, 0), listed("m.bin", 2 * PART, 2)];
        assert_eq!(read(fine.clone()), Ok(Word::Files(fine)));
        for (files, problem) in [
            (vec![listed("../m.bin", 1, 1)], "\"../m.bin\" is no name of a file"),
            (vec![listed("/etc/passwd", 1, 1)], "is no name of a file"),
            (vec![listed("..", 1, 1)], "is no name of a file"),
            (vec![listed("", 1, 1)], "is no name of a file"),
            (vec![listed("a", 1, 1), listed("a", 1, 1)], "or of two"),
            (vec![listed("a", PART + 1, 1)], "has 1 parts, its 524289 bytes are 2"),
            (vec![listed("a", 1, 2)], "has 2 parts, its 1 bytes are 1"),
            (vec![listed("a", u64::MAX, 1)], "bytes are"),
            (vec![listed("a", LARGEST, 512), listed("b", 1, 1)], "nodes share models of at most"),
            (vec![listed("a", 0, 0); 9], "has 9 files"),
        ] {
            let found = read(files.clone()).unwrap_err();
            assert!(found.contains(problem), "{files:?}: {found}");
        }
        let bytes = Word::Removed.encode("a-0").unwrap();
        assert!(
            Word::decode("b-0", &bytes).unwrap_err().to_string().contains("it is the manifest of \"a-0\"")
        );
        let newer = br#"{"format":2,"id":"a-0","says":{"more":[]},"and":1}"#;
        assert_eq!(Word::decode("a-0", newer), Err(Unusable::Newer(2)));
        assert!(Word::decode("a-0", &vec![b' '; LONGEST + 1]).unwrap_err().to_string().contains("at most"));
    }

    #[test]
    fn the_largest_models_manifest_fits_into_a_message() {
        let bytes = Word::Files(vec![listed("m.bin", LARGEST, 512)]).encode("a-0").unwrap();
        assert!(bytes.len() < LONGEST / 10, "{}", bytes.len());
    }

    proptest! {
        #[test]
        fn no_bytes_are_more_than_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), id in ".{0,20}") {
            let _ = Word::decode(&id, &bytes);
            let _ = Name::parse(&id);
        }

        #[test]
        fn a_manifest_that_was_changed_is_refused_or_still_checked(at in 0usize..1000, to in any::<u8>()) {
            let mut bytes = Word::Files(vec![listed("m.bin", PART + 1, 2)]).encode("a-0").unwrap();
            let at = at % bytes.len();
            bytes[at] = to;
            if let Ok(Word::Files(files)) = Word::decode("a-0", &bytes) {
                prop_assert_eq!(check(&files), Ok(()));
            }
        }
    }
}
