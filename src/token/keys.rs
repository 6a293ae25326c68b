//! The file of the keys that tokens are sealed with: a ring, to which keys are added and from which old ones go.
//!
//! The newest key seals; every key of the ring opens what it has sealed. A new key is not used for its first seconds, so that all
//! nodes that share the file have read it before the first of its tokens comes back to one of them. The file is a line for each
//! key, oldest first, with a checksum, since a key of which a bit is wrong would look like any other and refuse every token. It is
//! replaced as a whole. Files from before there were rings hold the 32 bytes of one key; it has the number 0.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use haggle_domain::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use crate::entropy;

/// From when a key was made until it seals.
pub const SETTLES: Duration = Duration::from_secs(5);
/// Keys of a ring, at most: a file of more is nobody's intention.
const MOST_KEYS: usize = 64;
/// The bytes of such a file, at most.
const MOST_BYTES: u64 = 16 * 1024;
const HEADER: &str = "haggle token keys";
/// The bytes of a key.
pub(super) const KEY: usize = 32;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read, made or replaced.
    #[error("cannot read or write the token keys {path}: {error}; check the path and its owner")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{path} holds no token keys (line {line}: {what}): restore it from a backup, or delete it to make a new one, which voids \
         every open notice"
    )]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// As many keys as there may be.
    #[error("{0} holds {MOST_KEYS} keys already; remove old ones with `haggle keys prune` first")]
    Full(PathBuf),
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Entropy(getrandom::Error),
}

/// One key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Its number, which tokens carry.
    pub(super) id: u8,
    /// When it was made, in seconds; 0 where nobody knows.
    made: i64,
    pub(super) bytes: [u8; KEY],
}

/// The keys of a file, oldest first; at least one.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Ring {
    pub(super) keys: Vec<Key>,
}

fn seconds(time: Timestamp) -> i64 {
    time.0.div_euclid(1_000_000)
}

fn whole_seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

impl Ring {
    /// The number of the key that seals now: the newest that has settled, or the oldest.
    pub(super) fn sealing(&self, now: Timestamp) -> Option<u8> {
        let settled = |key: &&Key| key.made.saturating_add(whole_seconds(SETTLES)) <= seconds(now);
        self.keys.iter().rev().find(settled).or(self.keys.first()).map(|key| key.id)
    }

    /// Adds a key; its number, or none where the ring is full.
    fn add(&mut self, bytes: [u8; KEY], now: Timestamp) -> Option<u8> {
        let newest = self.keys.last().map_or(0, |key| key.id);
        let used = |id: u8| self.keys.iter().any(|key| key.id == id);
        // From the newest on, so that a number comes back as late as it can. 0 is for files from before there were rings.
        let id = (1..=u8::MAX).map(|step| newest.wrapping_add(step)).find(|id| *id != 0 && !used(*id))?;
        if self.keys.len() >= MOST_KEYS {
            return None;
        }
        self.keys.push(Key { id, made: seconds(now), bytes });
        Some(id)
    }

    /// Removes the keys that have sealed nothing for that long; gives their numbers.
    fn prune(&mut self, keep: Duration, now: Timestamp) -> Vec<u8> {
        // A key seals until the next one has settled.
        let ended: Vec<u8> = self
            .keys
            .windows(2)
            .take_while(|pair| {
                let sealed = pair[1].made.saturating_add(whole_seconds(SETTLES));
                sealed.saturating_add(whole_seconds(keep)) <= seconds(now)
            })
            .map(|pair| pair[0].id)
            .collect();
        self.keys.retain(|key| !ended.contains(&key.id));
        ended
    }

    fn text(&self) -> String {
        let mut text = format!("{HEADER} {}\n", self.keys.len());
        for Key { id, made, bytes } in &self.keys {
            let mut line = format!("{id} {made} ");
            // Writing to a string cannot fail.
            bytes.iter().for_each(|byte| write!(line, "{byte:02x}").unwrap_or(()));
            let _ = writeln!(text, "{line} {:016x}", xxh3_64(line.as_bytes()));
        }
        text
    }

    /// The keys in a file's bytes; else the line that is wrong, and how.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, (usize, &'static str)> {
        // One that begins like a ring's file is what was left of one.
        if let Ok(bytes) = <[u8; KEY]>::try_from(bytes)
            && !bytes.starts_with(HEADER.as_bytes())
        {
            return Ok(Self { keys: vec![Key { id: 0, made: 0, bytes }] });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| (1, "neither a key of 32 bytes nor text"))?;
        let mut lines = (1..).zip(text.split_terminator('\n'));
        let head =
            lines.next().and_then(|(_, line)| line.strip_prefix(HEADER)?.strip_prefix(' ')?.parse().ok());
        let count: usize = head.ok_or((1, "neither a key of 32 bytes nor a list of keys"))?;
        if count > MOST_KEYS {
            return Err((1, "more than 64 keys"));
        }
        if !text.ends_with('\n') {
            return Err((count + 1, "the end is missing"));
        }
        let mut keys: Vec<Key> = Vec::new();
        for (number, line) in lines {
            let key = parse_line(line).map_err(|what| (number, what))?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err((number, "a key's number comes twice"));
            }
            keys.push(key);
        }
        if keys.is_empty() || keys.len() != count {
            return Err((1, "not as many keys follow as it says"));
        }
        Ok(Self { keys })
    }
}

fn parse_line(line: &str) -> Result<Key, &'static str> {
    const FORM: &str = "not a number, a time, a key and a checksum";
    let (body, sum) = line.rsplit_once(' ').ok_or(FORM)?;
    if format!("{:016x}", xxh3_64(body.as_bytes())) != sum {
        return Err("the checksum does not match");
    }
    let mut words = body.split(' ');
    let mut word = || words.next().ok_or(FORM);
    let id = word()?.parse().map_err(|_| FORM)?;
    let made = word()?.parse().map_err(|_| FORM)?;
    let hex = word()?.as_bytes();
    let mut bytes = [0; KEY];
    if hex.len() != 2 * KEY {
        return Err("a key has 64 hexadecimal digits");
    }
    for (byte, digits) in bytes.iter_mut().zip(hex.chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| FORM)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| "a key has 64 hexadecimal digits")?;
    }
    if words.next().is_some() { Err(FORM) } else { Ok(Key { id, made, bytes }) }
}

/// A ring's file.
#[derive(Clone, Debug)]
pub struct KeyFile(PathBuf);

impl KeyFile {
    /// At that path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    fn io(&self, error: io::Error) -> KeyError {
        KeyError::Io { path: self.0.clone(), error }
    }

    /// The file's bytes; none where there is no file.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, KeyError> {
        match File::open(&self.0) {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(|error| self.io(error))?;
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io(error)),
        }
    }

    /// The file's bytes; an error where there is no file.
    pub(super) fn read_or_gone(&self) -> Result<Vec<u8>, KeyError> {
        self.read()?.ok_or_else(|| self.io(io::ErrorKind::NotFound.into()))
    }

    pub(super) fn parse(&self, bytes: &[u8]) -> Result<Ring, KeyError> {
        Ring::parse(bytes).map_err(|(line, what)| KeyError::Malformed { path: self.0.clone(), line, what })
    }

    /// The ring's bytes, which are made, with one key, if there is no file.
    pub(super) fn read_or_create(&self, now: Timestamp) -> Result<Vec<u8>, KeyError> {
        if let Some(bytes) = self.read()? {
            return Ok(bytes);
        }
        let _lock = self.lock()?;
        // Another node may have been first.
        if let Some(bytes) = self.read()? {
            return Ok(bytes);
        }
        let mut ring = Ring { keys: Vec::new() };
        ring.add(fresh()?, now);
        self.replace(&ring)?;
        Ok(ring.text().into_bytes())
    }

    /// Adds a key, which seals from [`SETTLES`] on; gives its number.
    pub fn rotate(&self, now: Timestamp) -> Result<u8, KeyError> {
        let _lock = self.lock()?;
        let mut ring = self.ring()?;
        let id = ring.add(fresh()?, now).ok_or_else(|| KeyError::Full(self.0.clone()))?;
        self.replace(&ring)?;
        Ok(id)
    }

    /// Removes the keys that have sealed nothing for that long, whose tokens are refused from then on; gives their numbers.
    pub fn prune(&self, keep: Duration, now: Timestamp) -> Result<Vec<u8>, KeyError> {
        let _lock = self.lock()?;
        let mut ring = self.ring()?;
        let pruned = ring.prune(keep, now);
        if !pruned.is_empty() {
            self.replace(&ring)?;
        }
        Ok(pruned)
    }

    /// Each key's number and when it was made, oldest first; the epoch where nobody knows.
    pub fn list(&self) -> Result<Vec<(u8, Timestamp)>, KeyError> {
        let ring = self.ring()?;
        Ok(ring.keys.iter().map(|key| (key.id, Timestamp(key.made.saturating_mul(1_000_000)))).collect())
    }

    fn ring(&self) -> Result<Ring, KeyError> {
        self.parse(&self.read_or_gone()?)
    }

    /// One at a time changes the file.
    fn lock(&self) -> Result<File, KeyError> {
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        private(&mut options);
        let file = options.open(self.0.with_extension("lock")).map_err(|error| self.io(error))?;
        file.lock().map_err(|error| self.io(error))?;
        Ok(file)
    }

    /// Written aside, synced, then renamed: a crash leaves the old file or the new one.
    fn replace(&self, ring: &Ring) -> Result<(), KeyError> {
        let aside = self.0.with_extension("new");
        let mut options = File::options();
        options.write(true).create_new(true);
        private(&mut options);
        let replaced = || -> io::Result<()> {
            match fs::remove_file(&aside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = options.open(&aside)?;
            file.write_all(ring.text().as_bytes())?;
            file.sync_all()?;
            fs::rename(&aside, &self.0)?;
            let folder = self.0.parent().filter(|folder| !folder.as_os_str().is_empty());
            if cfg!(unix) { File::open(folder.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
        };
        replaced().map_err(|error| self.io(error))
    }
}

/// Only its owner reads it.
#[cfg_attr(not(unix), allow(unused_variables, reason = "there are no modes"))]
fn private(options: &mut fs::OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

fn fresh() -> Result<[u8; KEY], KeyError> {
    let mut bytes = [0; KEY];
    entropy::fill(&mut bytes).map_err(KeyError::Entropy)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn ids(file: &KeyFile) -> Vec<u8> {
        file.list().unwrap().into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn keys_are_added_seal_when_all_know_them_and_go_when_nothing_they_sealed_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path().join("token.key"));
        let at = |days: i64| Timestamp(1_790_000_000_000_000 + days * DAY);
        let sealing = |now| file.ring().unwrap().sealing(now);
        file.read_or_create(at(0)).unwrap();
        assert_eq!(sealing(at(0)), Some(1), "an only key seals at once");
        assert_eq!(file.rotate(at(10)).unwrap(), 2);
        assert_eq!((sealing(at(10)), sealing(at(10) + SETTLES)), (Some(1), Some(2)));
        let month = Duration::from_secs(30 * 86_400);
        assert!(file.prune(month, at(40)).unwrap().is_empty(), "it sealed for some seconds more");
        assert_eq!(file.prune(month, at(41)).unwrap(), [1]);
        assert!(file.prune(month, at(4_000)).unwrap().is_empty(), "the newest stays");
        assert_eq!(ids(&file), [2]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join("token.key")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_key_from_before_there_were_rings_goes_on_as_number_0() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        fs::write(&path, [7; KEY]).unwrap();
        let file = KeyFile::new(&path);
        assert_eq!(ids(&file), [0]);
        file.rotate(Timestamp(DAY)).unwrap();
        assert_eq!(ids(&file), [0, 1]);
        assert_eq!(file.ring().unwrap().keys[0].bytes, [7; KEY]);
    }

    #[test]
    fn numbers_do_not_come_twice_and_no_ring_grows_without_end() {
        let mut ring = Ring { keys: Vec::new() };
        for number in 0..1_000 {
            ring.add([0; KEY], Timestamp(number * DAY)).unwrap();
            ring.prune(Duration::from_secs(20 * 86_400), Timestamp(number * DAY));
            let mut ids: Vec<u8> = ring.keys.iter().map(|key| key.id).collect();
            ids.sort_unstable();
            ids.dedup();
            assert!(ids.len() == ring.keys.len() && ids.len() < 25 && !ids.contains(&0));
        }
        while ring.add([0; KEY], Timestamp(0)).is_some() {}
        assert_eq!(ring.keys.len(), MOST_KEYS);
        assert!(ring.text().len() < MOST_BYTES as usize);
    }

    proptest! {
        /// Whatever one byte becomes, wherever the file is cut: no other key is taken for one of the ring's.
        #[test]
        fn a_damaged_ring_is_refused(at in 0usize..10_000, to in any::<u8>(), cut in any::<bool>(), keys in 1u8..4) {
            let mut ring = Ring { keys: Vec::new() };
            for key in 0..keys {
                ring.add([key.wrapping_mul(91); KEY], Timestamp(i64::from(key) * DAY));
            }
            let whole = ring.text().into_bytes();
            let mut bytes = whole.clone();
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] = to }
            match Ring::parse(&bytes) {
                Ok(read) => prop_assert!(read == ring && bytes == whole),
                Err((line, _)) => prop_assert!(line <= MOST_KEYS + 2),
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Ring::parse(&bytes);
        }
    }
}
