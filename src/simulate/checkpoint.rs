//! Worlds that were simulated before, kept in a file, so that a what-if that was stopped goes on where it was.
//!
//! The file has a line that says what it is, then a frame a world: a key of 16 bytes, the length of what follows in 4, its
//! checksum in 8, the checksum of all that in 8 (little-endian), and what came of the world in CBOR. Frames are only added. An
//! end that was not written whole, as after a power cut, is cut off; what else cannot be read is an error.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use haggle_simulator::drive::Outcome;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::scenario::Setup;
use crate::exit::{Exit, ExitError};

/// How the file begins.
const KIND: &[u8] = b"haggle simulated worlds 2\n";
/// Of a frame, before what came of the world.
const HEAD: usize = 36;
/// Of it before its own checksum.
const SUMMED: usize = 28;

/// Which world: the program, the variant and the seed. Another one of any of them is another world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(u128);

/// The program and a variant, of which seeds make worlds.
#[derive(Clone, Debug)]
pub(super) struct Keys(String);

impl Keys {
    /// Of a variant. `program` is [`program`]'s.
    pub(super) fn new(program: &str, setup: &Setup) -> Self {
        Self(format!("{program}\n{setup:?}"))
    }

    /// The world of a seed.
    pub(super) fn of(&self, seed: u64) -> Key {
        Key(xxh3_128(format!("{seed}\n{}", self.0).as_bytes()))
    }
}

/// Which program this is, to the bit: one that decides otherwise makes other worlds of the same seeds.
///
/// # Errors
///
/// It cannot be read.
pub(super) fn program() -> Result<String, ExitError> {
    let bytes = std::env::current_exe().and_then(std::fs::read).map_err(|error| {
        ExitError::new(Exit::IoFailed, format!("the program's own file cannot be read: {error}"))
    })?;
    Ok(format!("{} {:016x}", env!("CARGO_PKG_VERSION"), xxh3_64(&bytes)))
}

/// An open file of worlds.
pub(super) struct Checkpoint {
    path: PathBuf,
    file: Mutex<File>,
    worlds: HashMap<Key, Outcome>,
}

impl Checkpoint {
    /// Opens a file, or makes it.
    ///
    /// # Errors
    ///
    /// It cannot be read or written, is in use, or is something else.
    pub(super) fn open(path: &Path) -> Result<Self, ExitError> {
        let name = path.display();
        let failed = |error: std::io::Error| {
            ExitError::new(Exit::IoFailed, format!("{name} cannot be read and written: {error}"))
        };
        // Whoever reads from a pipe waits for somebody to write.
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            let problem = format!("{name} is no file; name another --checkpoint");
            return Err(ExitError::new(Exit::InputUnusable, problem));
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let problem = format!("{name} is in use by another simulation; name another --checkpoint");
                return Err(ExitError::new(Exit::DataLocked, problem));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        if !bytes.starts_with(KIND) {
            // A beginning of the first line is all that a power cut can have left.
            if !KIND.starts_with(&bytes) {
                let problem = format!("{name} is no checkpoint of a simulation; name another file");
                return Err(ExitError::new(Exit::InputUnusable, problem));
            }
            file.set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| file.write_all(KIND))
                .map_err(failed)?;
            return Ok(Self { path: path.to_owned(), file: Mutex::new(file), worlds: HashMap::new() });
        }
        let (worlds, whole) = frames(&bytes).map_err(|at| {
            let problem = format!("{name} is damaged at byte {at}; remove it, and all is simulated anew");
            ExitError::new(Exit::InputUnusable, problem)
        })?;
        file.set_len(whole as u64).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), worlds })
    }

    /// What came of a world, if it was simulated before.
    pub(super) fn get(&self, key: Key) -> Option<&Outcome> {
        self.worlds.get(&key)
    }

    /// Keeps what came of a world.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(super) fn put(&self, key: Key, outcome: &Outcome) -> Result<(), ExitError> {
        let failed = |error: std::io::Error| {
            let problem = format!("{} cannot be written: {error}", self.path.display());
            ExitError::new(Exit::IoFailed, problem)
        };
        let body =
            minicbor::to_vec(outcome).map_err(|error| failed(std::io::Error::other(error.to_string())))?;
        let length = u32::try_from(body.len()).map_err(|_| failed(ErrorKind::FileTooLarge.into()))?;
        let mut frame = Vec::with_capacity(HEAD + body.len());
        frame.extend(key.0.to_le_bytes());
        frame.extend(length.to_le_bytes());
        frame.extend(xxh3_64(&body).to_le_bytes());
        frame.extend(xxh3_64(&frame).to_le_bytes());
        frame.extend(body);
        // One write a frame, so that a stop leaves at most the last one cut.
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&frame).map_err(failed)
    }
}

/// The worlds of a file's bytes, and how many bytes are whole frames; or where something is wrong.
fn frames(bytes: &[u8]) -> Result<(HashMap<Key, Outcome>, usize), usize> {
    let (mut worlds, mut at) = (HashMap::new(), KIND.len());
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        // What a file system had made room for and not written yet is empty.
        let Some((head, rest)) = rest.split_at_checked(HEAD).filter(|_| rest.iter().any(|byte| *byte != 0))
        else {
            break;
        };
        let (key, length, sum) = read_head(head).ok_or(at)?;
        let Some(body) = rest.get(..length) else { break };
        let is_last = rest.len() == length;
        match minicbor::decode::<Outcome>(body).ok().filter(|_| xxh3_64(body) == sum) {
            Some(outcome) => worlds.insert(key, outcome),
            // The last one may have been cut within what was not on the disk yet.
            None if is_last => break,
            None => return Err(at),
        };
        at += HEAD + length;
    }
    Ok((worlds, at))
}

/// A frame's key, the length of its body and that one's checksum; none where the head is not what was written.
fn read_head(head: &[u8]) -> Option<(Key, usize, u64)> {
    let (summed, sum) = head.split_at_checked(SUMMED)?;
    if xxh3_64(summed).to_le_bytes() != sum {
        return None;
    }
    let (key, rest) = summed.split_first_chunk::<16>()?;
    let (length, body_sum) = rest.split_first_chunk::<4>()?;
    let body_sum = u64::from_le_bytes(*body_sum.first_chunk::<8>()?);
    Some((Key(u128::from_le_bytes(*key)), u32::from_le_bytes(*length) as usize, body_sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(auctions: u64) -> Outcome {
        Outcome { auctions, bids: 1, ..Outcome::default() }
    }

    #[test]
    fn worlds_are_found_again_and_a_cut_end_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worlds");
        let file = Checkpoint::open(&path).unwrap();
        assert!(Checkpoint::open(&path).is_err(), "in use");
        file.put(Key(1), &world(10)).unwrap();
        file.put(Key(2), &world(20)).unwrap();
        drop(file);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let file = Checkpoint::open(&path).unwrap();
            assert_eq!(file.get(Key(2)), None, "cut at {cut}");
            file.put(Key(3), &world(30)).unwrap();
            drop(file);
            assert_eq!(Checkpoint::open(&path).unwrap().get(Key(3)), Some(&world(30)), "cut at {cut}");
        }
        std::fs::write(&path, &whole).unwrap();
        let file = Checkpoint::open(&path).unwrap();
        assert_eq!((file.get(Key(1)), file.get(Key(2))), (Some(&world(10)), Some(&world(20))));
    }

    #[test]
    fn damage_and_other_files_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worlds");
        std::fs::write(&path, "name = \"quiet\"").unwrap();
        let said = Checkpoint::open(&path).err().unwrap().to_string();
        assert!(said.contains("is no checkpoint"), "{said}");
        assert_eq!(std::fs::read(&path).unwrap(), b"name = \"quiet\"", "left as it was");
        std::fs::remove_file(&path).unwrap();
        let file = Checkpoint::open(&path).unwrap();
        file.put(Key(1), &world(10)).unwrap();
        file.put(Key(2), &world(20)).unwrap();
        drop(file);
        let whole = std::fs::read(&path).unwrap();
        for byte in 0..HEAD + 3 {
            let mut bytes = whole.clone();
            bytes[KIND.len() + byte] ^= 0xff;
            std::fs::write(&path, &bytes).unwrap();
            let said = Checkpoint::open(&path).err().unwrap().to_string();
            assert!(said.contains(&format!("damaged at byte {}", KIND.len())), "{byte}: {said}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "left as it was");
        }
        std::fs::write(&path, [&whole[..], &[0; 100]].concat()).unwrap();
        assert_eq!(
            Checkpoint::open(&path).unwrap().get(Key(2)),
            Some(&world(20)),
            "an end that was not written"
        );
    }

    #[test]
    fn another_program_variant_or_seed_is_another_world() {
        let keys = |text: &str| Keys(text.to_owned());
        assert_eq!(keys("a").of(1), keys("a").of(1));
        assert_ne!(keys("a").of(1), keys("a").of(2));
        assert_ne!(keys("a").of(1), keys("b").of(1));
    }
}
