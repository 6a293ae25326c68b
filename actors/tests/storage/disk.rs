//! A folder whose every change is written down, and what a disk could hold of it after a power cut.
//!
//! A [`Disk`] is fed by `interpose.rs`: each call that changes a file, in the order in which they returned. [`State`] plays the
//! changes back up to any of them. What was synced is *durable*; what was not is *pending*, and [`State::write_out`] draws
//! what became of it:
//!
//! - of a file's pending writes all, none, the first ones with the last cut anywhere, or for each sector of 512 or 4096 bytes
//!   any of its versions, as a system that writes pages back when it likes leaves them; the size is that of any version, so
//!   it may say more than was written (zeros) or less;
//! - of a folder's pending creations, renames and removals all, none, the first ones, or any subset.
//!
//! A write whose sync failed stays pending for ever: a later sync says nothing about it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file or a folder, by its place in the list of all that ever were.
pub(crate) type Node = usize;

/// The kinds of calls that a fault can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Open,
    Write,
    Resize,
    Sync,
    Rename,
    Remove,
    MakeFolder,
}

/// What goes wrong with the calls of a kind, counted from 0 since it was planned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) call: Call,
    pub(crate) first: u64,
    /// After the first one every so many; 0 for none.
    pub(crate) every: u64,
    pub(crate) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The call fails with this number and does nothing.
    Errno(i32),
    /// A write takes a part of what it was given.
    Short,
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Write {
        node: Node,
        at: u64,
        data: Arc<[u8]>,
    },
    Resize {
        node: Node,
        size: u64,
    },
    Sync {
        node: Node,
    },
    /// A sync that failed.
    Unsynced {
        node: Node,
    },
    Entry {
        folder: Node,
        change: Change,
    },
}

/// A change of a folder.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Add { name: String, node: Node },
    Remove { name: String },
    Rename { from: String, to: String, node: Node },
}

#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) ops: Vec<Op>,
    /// Which are folders.
    folders: Vec<bool>,
    inodes: HashMap<u64, Node>,
    /// What each path is now.
    names: BTreeMap<PathBuf, Node>,
    fault: Option<Fault>,
    /// Calls of each kind so far.
    pub(crate) calls: HashMap<Call, u64>,
    /// How many ops there were when the fault came, each time, and which file it hit.
    pub(crate) hits: Vec<(usize, PathBuf)>,
}

/// A folder that is watched.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) root: PathBuf,
    trace: Mutex<Trace>,
    /// What was there, durably, when the watch began.
    base: State,
}

impl Disk {
    /// Watches a folder. All that is in it counts as durable.
    pub(crate) fn new(root: &Path) -> Self {
        let mut trace = Trace::default();
        let mut base = State::default();
        adopt(root, &mut trace, &mut base);
        Self { root: root.to_owned(), trace: Mutex::new(trace), base }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Trace> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many changes there were.
    pub(crate) fn position(&self) -> usize {
        self.lock().ops.len()
    }

    /// The state before the first change.
    pub(crate) fn begin(&self) -> State {
        self.base.clone()
    }

    /// Takes a state from one position to a later one.
    pub(crate) fn go_on(&self, state: &mut State, from: usize, to: usize) {
        let trace = self.lock();
        trace.ops[from..to].iter().for_each(|op| state.apply(op));
        state.grow(trace.folders.len().saturating_sub(1));
        state.folders.clone_from(&trace.folders);
    }

    /// The state at a position.
    pub(crate) fn at(&self, position: usize) -> State {
        let mut state = self.begin();
        self.go_on(&mut state, 0, position);
        state
    }

    pub(crate) fn plan(&self, fault: Option<Fault>) {
        let mut trace = self.lock();
        trace.fault = fault;
        trace.calls.clear();
    }

    /// Compares the folder with what the changes make of it: nothing went past the watch.
    pub(crate) fn check(&self) {
        let (mut seen, mut known) = (BTreeMap::new(), BTreeMap::new());
        let kept = tempfile::tempdir_in(scratch()).unwrap();
        self.at(self.position()).write_out(kept.path(), &mut Draw::everything());
        list(&self.root, &self.root, &mut seen);
        list(kept.path(), kept.path(), &mut known);
        let names = |of: &BTreeMap<PathBuf, Vec<u8>>| of.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&seen), names(&known), "a change of a name went past the watch");
        for (path, bytes) in seen {
            assert!(known[&path] == bytes, "a change of {} went past the watch", path.display());
        }
    }
}

/// Memory, where the system has a folder in it: thousands of folders are written and read.
pub(crate) fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

fn list(root: &Path, folder: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap().to_owned();
        if entry.file_type().unwrap().is_dir() {
            into.insert(name, Vec::new());
            list(root, &path, into);
        } else {
            into.insert(name, written(&path));
        }
    }
}

/// A file's bytes up to the last pages that are only there in its size, and its size.
fn written(path: &Path) -> Vec<u8> {
    let metadata = fs::metadata(path).unwrap();
    let mut file = fs::File::open(path).unwrap();
    let mut bytes = Vec::new();
    // A log begins with 64 MiB of nothing.
    let mut block = vec![0; 64 * 1024];
    let mut left = metadata.blocks() * 512;
    while left > 0 {
        let read = file.read(&mut block).unwrap();
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&block[..read]);
        left = left.saturating_sub(read as u64);
    }
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    bytes.extend_from_slice(&metadata.len().to_le_bytes());
    bytes
}

fn adopt(path: &Path, trace: &mut Trace, base: &mut State) -> Node {
    let metadata = fs::metadata(path).unwrap();
    let node = trace.add(metadata.is_dir());
    trace.inodes.insert(metadata.ino(), node);
    trace.names.insert(path.to_owned(), node);
    base.grow(node);
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let child = adopt(&entry.path(), trace, base);
            base.entries[node].durable.insert(name, child);
        }
    } else {
        let bytes = fs::read(path).unwrap();
        base.files[node].durable = Content { size: bytes.len() as u64, bytes };
    }
    base.folders = trace.folders.clone();
    node
}

impl Trace {
    fn add(&mut self, folder: bool) -> Node {
        self.folders.push(folder);
        self.folders.len() - 1
    }

    pub(crate) fn node(&self, path: &Path) -> Option<Node> {
        self.names.get(path).copied()
    }

    pub(crate) fn is_folder(&self, node: Node) -> bool {
        self.folders[node]
    }

    /// Counts a call; what is to go wrong with it.
    pub(crate) fn call(&mut self, call: Call, path: &Path) -> Option<How> {
        let count = self.calls.entry(call).or_default();
        let number = *count;
        *count += 1;
        let fault = self.fault.filter(|fault| fault.call == call)?;
        let since = number.checked_sub(fault.first)?;
        let hits = since == 0 || fault.every > 0 && since % fault.every == 0;
        hits.then(|| self.hits.push((self.ops.len(), path.to_owned())))?;
        Some(fault.how)
    }

    fn entry(&mut self, path: &Path, change: impl FnOnce(String) -> Change) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let folder = self.names[path.parent().unwrap()];
        self.ops.push(Op::Entry { folder, change: change(name) });
    }

    /// Something was made at a path.
    pub(crate) fn made(&mut self, path: &Path, inode: u64, folder: bool) -> Node {
        let node = self.add(folder);
        self.inodes.insert(inode, node);
        self.names.insert(path.to_owned(), node);
        self.entry(path, |name| Change::Add { name, node });
        node
    }

    pub(crate) fn removed(&mut self, path: &Path) {
        if self.names.remove(path).is_some() {
            self.entry(path, |name| Change::Remove { name });
        }
    }

    pub(crate) fn renamed(&mut self, from: &Path, to: &Path) {
        let Some(node) = self.node(from) else { return };
        assert_eq!(from.parent(), to.parent(), "nobody moves from folder to folder");
        let moved: Vec<PathBuf> = self.names.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in moved {
            let node = self.names.remove(&path).unwrap();
            let rest = path.strip_prefix(from).unwrap();
            let path = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
            self.names.insert(path, node);
        }
        let to = to.file_name().unwrap().to_str().unwrap().to_owned();
        self.entry(from, |from| Change::Rename { from, to, node });
    }

    /// What was opened at a path. `tempfile` renames by a system call of its own, past the C library; then what is opened
    /// afterwards is known under its old name.
    pub(crate) fn opened(&mut self, path: &Path, inode: u64) -> Option<Node> {
        let node = *self.inodes.get(&inode)?;
        if self.node(path) != Some(node)
            && let Some((old, _)) = self.names.iter().find(|(_, known)| **known == node)
        {
            let old = old.clone();
            self.renamed(&old, path);
        }
        Some(node)
    }
}

/// A file's bytes, without the zeros at its end, and its size.
#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    size: u64,
}

impl Content {
    fn write(&mut self, at: u64, data: &[u8]) {
        let (at, end) = (at as usize, at as usize + data.len());
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(data);
        self.size = self.size.max(end as u64);
    }

    fn resize(&mut self, size: u64) {
        self.bytes.truncate(size as usize);
        self.size = size;
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Write { at: u64, data: Arc<[u8]> },
    Resize(u64),
}

impl Edit {
    fn apply(&self, content: &mut Content) {
        match self {
            Self::Write { at, data } => content.write(*at, data),
            Self::Resize(size) => content.resize(*size),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct FileState {
    durable: Content,
    pending: Vec<Edit>,
    /// How many of those no sync will make durable any more.
    forsaken: usize,
}

#[derive(Clone, Debug, Default)]
struct FolderState {
    durable: BTreeMap<String, Node>,
    pending: Vec<Change>,
}

/// All files and folders at some point of a trace. The root is node 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    folders: Vec<bool>,
    files: Vec<FileState>,
    entries: Vec<FolderState>,
}

/// Vigna's SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// What becomes of pending writes.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Kept,
    Lost,
    Torn,
    Sectors(u64),
    Each,
}

/// How a disk is drawn.
pub(crate) struct Draw {
    files: Fate,
    folders: Fate,
    random: Random,
}

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut fate = || {
            [Fate::Kept, Fate::Lost, Fate::Torn, Fate::Sectors(512), Fate::Sectors(4096), Fate::Each]
                [random.below(6)]
        };
        let (files, folders) = (fate(), fate());
        Self { files, folders, random }
    }

    /// As the system sees it, which is what a killed process leaves.
    pub(crate) fn everything() -> Self {
        Self { files: Fate::Kept, folders: Fate::Kept, random: Random(0) }
    }

    /// Only what was synced.
    pub(crate) fn synced() -> Self {
        Self { files: Fate::Lost, folders: Fate::Lost, random: Random(0) }
    }

    fn file(&mut self, file: &FileState) -> Content {
        let mut content = file.durable.clone();
        let count = file.pending.len();
        if count == 0 {
            return content;
        }
        let random = &mut self.random;
        let fate = match self.files {
            Fate::Each => {
                [Fate::Kept, Fate::Lost, Fate::Torn, Fate::Sectors(512), Fate::Sectors(4096)][random.below(5)]
            }
            fate => fate,
        };
        match fate {
            Fate::Kept | Fate::Each => file.pending.iter().for_each(|edit| edit.apply(&mut content)),
            Fate::Lost => {}
            Fate::Torn => {
                let last = random.below(count);
                file.pending[..last].iter().for_each(|edit| edit.apply(&mut content));
                if let Edit::Write { at, data } = &file.pending[last] {
                    content.write(*at, &data[..random.below(data.len().max(1))]);
                }
            }
            Fate::Sectors(sector) => {
                // Half of them, or a few here and there.
                let often = random.below(2) == 0;
                let mut version = || match random.below(if often { 5 } else { 40 }) {
                    0 | 1 => 0,
                    2 => random.below(count + 1),
                    _ => count,
                };
                // How many of the edits had been made when a sector, and the size, were written back last.
                let mut versions: HashMap<u64, usize> = HashMap::new();
                let sized = version();
                let mut size = content.size;
                for (index, edit) in file.pending.iter().enumerate() {
                    match edit {
                        Edit::Resize(to) => {
                            if index < sized {
                                content.resize(*to);
                                size = *to;
                            }
                        }
                        Edit::Write { at, data } => {
                            let (mut from, end) = (*at, at + data.len() as u64);
                            if index < sized {
                                size = size.max(end);
                            }
                            while from < end {
                                let number = from / sector;
                                let to = end.min((number + 1) * sector);
                                if index < *versions.entry(number).or_insert_with(&mut version) {
                                    content.write(from, &data[(from - at) as usize..(to - at) as usize]);
                                }
                                from = to;
                            }
                        }
                    }
                }
                content.resize(size);
            }
        }
        content
    }

    fn folder(&mut self, folder: &FolderState) -> BTreeMap<String, Node> {
        let mut entries = folder.durable.clone();
        let count = folder.pending.len();
        let first = self.random.below(count + 1);
        for (index, change) in folder.pending.iter().enumerate() {
            let kept = match self.folders {
                Fate::Kept => true,
                Fate::Lost => false,
                Fate::Torn => index < first,
                Fate::Sectors(_) | Fate::Each => self.random.below(2) == 0,
            };
            if kept {
                change.apply(&mut entries);
            }
        }
        entries
    }
}

impl Change {
    fn apply(&self, entries: &mut BTreeMap<String, Node>) {
        match self {
            Self::Add { name, node } => {
                entries.insert(name.clone(), *node);
            }
            Self::Remove { name } => {
                entries.remove(name);
            }
            Self::Rename { from, to, node } => {
                if entries.get(from) == Some(node) {
                    entries.remove(from);
                }
                entries.insert(to.clone(), *node);
            }
        }
    }
}

impl State {
    fn grow(&mut self, node: Node) {
        let count = self.files.len().max(node + 1);
        self.files.resize_with(count, FileState::default);
        self.entries.resize_with(count, FolderState::default);
        self.folders.resize(count, false);
    }

    /// Goes on by one change.
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Write { node, at, data } => {
                self.grow(*node);
                self.files[*node].pending.push(Edit::Write { at: *at, data: Arc::clone(data) });
            }
            Op::Resize { node, size } => {
                self.grow(*node);
                self.files[*node].pending.push(Edit::Resize(*size));
            }
            Op::Sync { node } => {
                self.grow(*node);
                let file = &mut self.files[*node];
                // What was forsaken may never have come to the disk; it stays in doubt.
                for edit in file.pending.drain(file.forsaken..) {
                    edit.apply(&mut file.durable);
                }
                let folder = &mut self.entries[*node];
                for change in folder.pending.drain(..) {
                    change.apply(&mut folder.durable);
                }
            }
            Op::Unsynced { node } => {
                self.grow(*node);
                self.files[*node].forsaken = self.files[*node].pending.len();
            }
            Op::Entry { folder, change } => {
                self.grow(*folder);
                if let Change::Add { node, .. } = change {
                    self.grow(*node);
                }
                self.entries[*folder].pending.push(change.clone());
            }
        }
    }

    /// Writes what a disk could hold into an empty folder.
    pub(crate) fn write_out(&self, root: &Path, draw: &mut Draw) {
        self.write_folder(0, root, draw);
    }

    fn write_folder(&self, node: Node, path: &Path, draw: &mut Draw) {
        for (name, child) in draw.folder(&self.entries[node]) {
            let path = path.join(name);
            if self.folders[child] {
                fs::create_dir(&path).unwrap();
                self.write_folder(child, &path, draw);
            } else {
                let content = draw.file(&self.files[child]);
                let mut file = fs::File::create(&path).unwrap();
                file.set_len(content.size).unwrap();
                file.seek(SeekFrom::Start(0)).unwrap();
                file.write_all(&content.bytes).unwrap();
            }
        }
    }
}
