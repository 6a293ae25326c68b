//! A model's files on their way: cut into parts and put into the table, and gathered from there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::sleep;
use std::time::Duration;

use haggle_actors::backbone::{Kept, Log, LogError, Table};

use super::shelf::Shelved;
use super::word::{Digest, LARGEST, Listed, Name, PART, too_large};
use crate::exit::ExitError;

/// How often it is looked whether the node goes on.
const LOOK: Duration = Duration::from_millis(100);

/// Why something is not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// The node ends.
    #[error("the node ends")]
    Ends,
    /// It is tried again when the broker answers.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Something is wrong, here or with what others said.
    #[error("{0}")]
    Wrong(String),
}

impl From<ExitError> for Problem {
    fn from(error: ExitError) -> Self {
        Self::Wrong(error.message)
    }
}

impl Problem {
    /// A file cannot be read or written.
    pub(super) fn file(path: &Path, error: &io::Error) -> Self {
        Self::Wrong(format!("{} cannot be read or written: {error}", path.display()))
    }
}

/// The table, and whether the node goes on.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) log: &'a dyn Log,
    pub(super) goes_on: &'a dyn Fn() -> bool,
}

impl Way<'_> {
    /// Puts a value into the table, or has it go, and returns once that is done. One after the other: what nodes tell each other of
    /// money goes the same way, and must not wait behind many large messages.
    pub(super) fn put(self, name: &str, bytes: Option<&[u8]>) -> Result<(), Problem> {
        loop {
            self.or_end()?;
            let (sender, kept) = channel();
            let on_kept = Box::new(move |result| {
                // Whoever waited has gone.
                let _ = sender.send(result);
            });
            let sent = match bytes {
                Some(bytes) => self.log.keep(Table::Models, name, bytes, on_kept),
                None => self.log.forget(Table::Models, name, on_kept),
            };
            match sent {
                Ok(()) => {}
                Err(LogError::Full) => {
                    sleep(LOOK);
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            return loop {
                match kept.recv_timeout(LOOK) {
                    Ok(result) => break Ok(result?),
                    Err(RecvTimeoutError::Disconnected) => break Err(LogError::Closed.into()),
                    Err(RecvTimeoutError::Timeout) => self.or_end()?,
                }
            };
        }
    }

    fn or_end(self) -> Result<(), Problem> {
        if (self.goes_on)() { Ok(()) } else { Err(Problem::Ends) }
    }

    /// Puts those parts of files into the table that it lacks, and says what the files consist of.
    pub(super) fn send(
        self,
        id: &str,
        folder: &Path,
        names: &[String],
        there: Option<&Shelved>,
    ) -> Result<Vec<Listed>, Problem> {
        let mut total = 0u64;
        for name in names {
            let path = folder.join(name);
            let found = fs::metadata(&path).map_err(|error| Problem::file(&path, &error))?;
            total = total.saturating_add(found.len());
        }
        if total > LARGEST {
            return Err(Problem::Wrong(too_large(total)));
        }
        let mut files = Vec::new();
        let mut part = Vec::new();
        for name in names {
            let path = folder.join(name);
            let failed = |error: io::Error| Problem::file(&path, &error);
            let mut file = File::open(&path).map_err(failed)?;
            let mut listed = Listed { name: name.clone(), bytes: 0, parts: Vec::new() };
            loop {
                part.clear();
                let length = (&mut file).take(PART).read_to_end(&mut part).map_err(failed)?;
                if length == 0 {
                    break;
                }
                let digest = Digest::of(&part);
                if there.is_none_or(|there| !there.parts.contains_key(&digest)) {
                    self.put(&Name::Part(id, digest).to_string(), Some(&part))?;
                }
                listed.bytes += length as u64;
                listed.parts.push(digest);
            }
            files.push(listed);
        }
        Ok(files)
    }

    /// Makes files of a model's parts in an empty folder, and syncs them.
    pub(super) fn gather(
        self,
        id: &str,
        files: &[Listed],
        there: &Shelved,
        folder: &Path,
    ) -> Result<(), Problem> {
        let mut gathering = Gathering::new(id, files, folder)?;
        let places = gathering.wanted.keys().map(|digest| there.parts.get(digest).copied());
        // Where one is not there nothing is looked for.
        let Some(first) = places.min().unwrap_or(Some(0)) else {
            return Err(Problem::Wrong("some of its parts are not in the nodes' table".to_owned()));
        };
        let mut failed = None;
        self.log.changes(Table::Models, first, &mut |kept| {
            failed = gathering.see(kept).and_then(|()| self.or_end()).err();
            let done = failed.is_some() || gathering.wanted.is_empty();
            if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        failed.map_or(Ok(()), Err)?;
        gathering.finish()
    }
}

/// Files of which some parts are still wanted.
struct Gathering<'a> {
    id: &'a str,
    files: &'a [Listed],
    folder: &'a Path,
    open: Vec<File>,
    /// Parts that are not there yet, and of which files they are which.
    wanted: BTreeMap<Digest, Vec<(usize, usize)>>,
}

impl<'a> Gathering<'a> {
    fn new(id: &'a str, files: &'a [Listed], folder: &'a Path) -> Result<Self, Problem> {
        let (mut open, mut wanted) = (Vec::new(), BTreeMap::<_, Vec<_>>::new());
        for (at, listed) in files.iter().enumerate() {
            let path = folder.join(&listed.name);
            open.push(File::create_new(&path).map_err(|error| Problem::file(&path, &error))?);
            for (part, digest) in listed.parts.iter().enumerate() {
                wanted.entry(*digest).or_default().push((at, part));
            }
        }
        Ok(Self { id, files, folder, open, wanted })
    }

    fn see(&mut self, kept: Kept<'_>) -> Result<(), Problem> {
        let (Some(Name::Part(id, digest)), Some(bytes)) = (Name::parse(kept.name), kept.bytes) else {
            return Ok(());
        };
        // What lies under another content's name is passed over as if it were not there.
        if id != self.id || !self.wanted.contains_key(&digest) || Digest::of(bytes) != digest {
            return Ok(());
        }
        for (at, part) in self.wanted.remove(&digest).into_iter().flatten() {
            let (Some(listed), Some(file)) = (self.files.get(at), self.open.get(at)) else { continue };
            let (length, said) = (bytes.len() as u64, listed.length_of(part));
            if length != said {
                let name = &listed.name;
                let problem = format!("part {part} of {name} has {length} bytes, its manifest says {said}");
                return Err(Problem::Wrong(problem));
            }
            let written = file.write_all_at(bytes, part as u64 * PART);
            written.map_err(|error| Problem::file(&self.folder.join(&listed.name), &error))?;
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), Problem> {
        if let Some(digest) = self.wanted.keys().next() {
            let count = self.wanted.len();
            let problem =
                format!("{count} of its parts in the nodes' table are damaged or gone, such as {digest}");
            return Err(Problem::Wrong(problem));
        }
        for (listed, file) in self.files.iter().zip(&self.open) {
            file.sync_all().map_err(|error| Problem::file(&self.folder.join(&listed.name), &error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use haggle_actors::backbone::MemoryCluster;

    use super::*;

    #[test]
    fn files_are_cut_and_gathered_again_and_what_is_there_is_not_sent_twice() {
        let (cluster, folder) = (MemoryCluster::new(1), tempfile::tempdir().unwrap());
        let log = cluster.connect();
        let way = Way { log: &log, goes_on: &|| true };
        // Two parts are alike, one is short, and a file is empty.
        let long: Vec<u8> =
            [vec![1; PART as usize], vec![2; PART as usize], vec![1; PART as usize], vec![3; 7]].concat();
        let names = ["long".to_owned(), "empty".to_owned()];
        fs::write(folder.path().join("long"), &long).unwrap();
        fs::write(folder.path().join("empty"), "").unwrap();
        let files = way.send("m-0", folder.path(), &names, None).unwrap();
        assert_eq!(
            files.iter().map(|it| (it.bytes, it.parts.len())).collect::<Vec<_>>(),
            [(3 * PART + 7, 4), (0, 0)]
        );
        let mut shelf = super::super::shelf::Shelf::default();
        shelf.read(&log).unwrap();
        let there = &shelf.models["m-0"];
        assert_eq!(there.parts.len(), 3);
        let kept = log.stats().kept;
        assert_eq!(way.send("m-0", folder.path(), &names, Some(there)).unwrap(), files);
        assert_eq!(log.stats().kept, kept);
        let gathered = folder.path().join("gathered");
        fs::create_dir(&gathered).unwrap();
        way.gather("m-0", &files, there, &gathered).unwrap();
        assert!(fs::read(gathered.join("long")).unwrap() == long);
        assert_eq!(fs::read(gathered.join("empty")).unwrap(), b"");
        // A manifest that says that the file is shorter than its parts.
        let mut lies = files.clone();
        lies[0].bytes -= 1;
        fs::remove_dir_all(&gathered).unwrap();
        fs::create_dir(&gathered).unwrap();
        let problem = way.gather("m-0", &lies, there, &gathered).unwrap_err().to_string();
        assert!(problem.contains("part 3 of long has 7 bytes, its manifest says 6"), "{problem}");
    }

    #[test]
    fn a_model_that_is_too_large_is_not_sent() {
        let (cluster, folder) = (MemoryCluster::new(1), tempfile::tempdir().unwrap());
        let log = cluster.connect();
        let way = Way { log: &log, goes_on: &|| true };
        File::create(folder.path().join("huge")).unwrap().set_len(LARGEST + 1).unwrap();
        let problem = way.send("m-0", folder.path(), &["huge".to_owned()], None).unwrap_err().to_string();
        assert!(problem.contains("nodes share models of at most 268435456"), "{problem}");
        assert_eq!(log.stats().kept, 0);
    }

    #[test]
    fn a_node_that_ends_waits_for_no_broker() {
        let cluster = MemoryCluster::new(1);
        let log = cluster.connect();
        log.faults().cut(true);
        let looks = std::cell::Cell::new(0);
        let goes_on = || {
            looks.set(looks.get() + 1);
            looks.get() < 3
        };
        let way = Way { log: &log, goes_on: &goes_on };
        assert!(matches!(way.put("state", Some(b"")), Err(Problem::Ends)));
    }
}
