//! The C library's calls on files, as this test program sees them.
//!
//! The standard library calls the functions that are defined here instead of the C library's, because the linker takes a
//! program's own definitions first. Each looks whether it is about a folder that a test watches, hands the call on, and tells the
//! folder's [`Disk`] what has changed, under its lock, so that the order in the trace is that in which things happened. A sync
//! is written down and not handed on: no test asks for the real disk. Calls about anything else are handed on as they came.
//!
//! The store's one call that does not come through the C library is `tempfile`'s rename; see `Trace::opened`.
//! [`Disk::check`] compares the folder with the trace, so nothing else can go past unnoticed.
#![allow(
    unsafe_code,
    reason = "definitions of C functions; each hands on what it was given, to the function of its name"
)]

use std::collections::HashMap;
use std::ffi::{CStr, OsStr, c_char, c_int, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Call, Disk, How, Node, Op};

/// How many folders are watched: without any, nothing is looked at.
static WATCHED: AtomicUsize = AtomicUsize::new(0);
static TABLES: Mutex<Option<Tables>> = Mutex::new(None);

#[derive(Default)]
struct Tables {
    disks: Vec<Arc<Disk>>,
    open: HashMap<c_int, Open>,
}

#[derive(Clone)]
struct Open {
    disk: Arc<Disk>,
    node: Node,
    path: PathBuf,
}

fn tables() -> MutexGuard<'static, Option<Tables>> {
    TABLES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder that is watched as long as this lives.
pub(crate) struct Watch(pub(crate) Arc<Disk>);

impl Watch {
    pub(crate) fn new(root: &Path) -> Self {
        let disk = Arc::new(Disk::new(root));
        tables().get_or_insert_default().disks.push(Arc::clone(&disk));
        WATCHED.fetch_add(1, Ordering::SeqCst);
        Self(disk)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(tables) = tables().as_mut() {
            tables.disks.retain(|disk| !Arc::ptr_eq(disk, &self.0));
            tables.open.retain(|_, open| !Arc::ptr_eq(&open.disk, &self.0));
        }
        WATCHED.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The C library's function of a name.
fn real(name: &CStr, known: &AtomicPtr<c_void>) -> *mut c_void {
    let mut function = known.load(Ordering::Relaxed);
    if function.is_null() {
        // SAFETY: the name ends in a zero; a pointer comes back that is only called as what it is.
        function = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
        assert!(!function.is_null());
        known.store(function, Ordering::Relaxed);
    }
    function
}

/// Calls the C library's function of that name with the same arguments.
macro_rules! real {
    ($name:ident($($argument:expr),*) as fn($($kind:ty),*) -> $result:ty) => {{
        static KNOWN: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
        let name = CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()).unwrap();
        let function = real(name, &KNOWN);
        // SAFETY: this is the C function of that name, its kind is what its manual page says, and the arguments are the caller's.
        unsafe {
            let function: unsafe extern "C" fn($($kind),*) -> $result = std::mem::transmute(function);
            function($($argument),*)
        }
    }};
}

fn fail(errno: c_int) -> c_int {
    // SAFETY: the address of this thread's error number.
    unsafe { *libc::__errno_location() = errno };
    -1
}

fn text(path: *const c_char) -> PathBuf {
    // SAFETY: callers give a text that ends in a zero, as the manual page asks.
    PathBuf::from(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()))
}

/// The disk and the path that a call is about, if it is watched.
fn about(folder: c_int, path: *const c_char) -> Option<(Arc<Disk>, PathBuf)> {
    if WATCHED.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let mut path = text(path);
    let tables = tables();
    let tables = tables.as_ref()?;
    if !path.is_absolute() && folder != libc::AT_FDCWD {
        path = tables.open.get(&folder)?.path.join(path);
    }
    let disk = tables.disks.iter().find(|disk| path.starts_with(&disk.root))?;
    Some((Arc::clone(disk), path))
}

fn opened(file: c_int) -> Option<Open> {
    if WATCHED.load(Ordering::Relaxed) == 0 {
        return None;
    }
    tables().as_ref()?.open.get(&file).cloned()
}

/// A number given to a new file cannot mean an old one any more.
fn note(file: c_int, open: Option<Open>) {
    if file >= 0
        && WATCHED.load(Ordering::Relaxed) > 0
        && let Some(tables) = tables().as_mut()
    {
        match open {
            Some(open) => tables.open.insert(file, open),
            None => tables.open.remove(&file),
        };
    }
}

fn inode(file: c_int) -> u64 {
    // SAFETY: a zeroed `stat` is one, and is filled in for an open file.
    unsafe {
        let mut stat: libc::stat64 = std::mem::zeroed();
        assert_eq!(libc::fstat64(file, &raw mut stat), 0);
        stat.st_ino
    }
}

/// The same of what is at a path.
fn inode_at(path: *const c_char) -> Option<u64> {
    // SAFETY: a zeroed `stat` is one; the path is the caller's.
    unsafe {
        let mut stat: libc::stat64 = std::mem::zeroed();
        (libc::stat64(path, &raw mut stat) == 0).then_some(stat.st_ino)
    }
}

/// What every way of opening comes to.
fn open_at(folder: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    let hand_on =
        || real!(openat64(folder, path, flags, mode) as fn(c_int, *const c_char, c_int, c_uint) -> c_int);
    let Some((disk, name)) = about(folder, path) else {
        let file = hand_on();
        note(file, None);
        return file;
    };
    let mut trace = disk.lock();
    if let Some(How::Errno(errno)) = trace.call(Call::Open, &name) {
        if let Some(inode) = inode_at(path) {
            trace.opened(&name, inode);
        }
        return fail(errno);
    }
    let file = hand_on();
    if file < 0 {
        return file;
    }
    let inode = inode(file);
    let node = match trace.opened(&name, inode) {
        Some(node) => {
            if flags & libc::O_TRUNC != 0 {
                trace.ops.push(Op::Resize { node, size: 0 });
            }
            node
        }
        None => trace.made(&name, inode, false),
    };
    drop(trace);
    note(file, Some(Open { disk, node, path: name }));
    file
}

/// # Safety
/// As `open64(3)` asks: the path ends in a zero.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    open_at(libc::AT_FDCWD, path, flags, mode)
}

/// # Safety
/// As `open(3)` asks: the path ends in a zero.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    open_at(libc::AT_FDCWD, path, flags, mode)
}

/// # Safety
/// As `openat64(3)` asks: the path ends in a zero.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn openat64(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: c_uint,
) -> c_int {
    open_at(folder, path, flags, mode)
}

/// # Safety
/// As `close(2)` asks.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn close(file: c_int) -> c_int {
    note(file, None);
    real!(close(file) as fn(c_int) -> c_int)
}

/// # Safety
/// As `write(2)` asks: so many bytes are there.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn write(file: c_int, bytes: *const c_void, count: usize) -> isize {
    let hand_on = |count: usize| real!(write(file, bytes, count) as fn(c_int, *const c_void, usize) -> isize);
    let Some(open) = opened(file) else { return hand_on(count) };
    let mut trace = open.disk.lock();
    if trace.is_folder(open.node) {
        return hand_on(count);
    }
    let count = match trace.call(Call::Write, &open.path) {
        Some(How::Errno(errno)) => return fail(errno) as isize,
        Some(How::Short) if count > 1 => count / 2,
        _ => count,
    };
    let written = hand_on(count);
    if written > 0 {
        // SAFETY: an open file has a position; so many bytes were given and written.
        let (end, data) = unsafe {
            (
                libc::lseek64(file, 0, libc::SEEK_CUR),
                slice::from_raw_parts(bytes.cast::<u8>(), written as usize),
            )
        };
        trace.ops.push(Op::Write { node: open.node, at: (end - written as i64) as u64, data: data.into() });
    }
    written
}

/// # Safety
/// As `writev(2)` asks: the parts are there.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn writev(file: c_int, parts: *const libc::iovec, count: c_int) -> isize {
    if opened(file).is_none() {
        return real!(writev(file, parts, count) as fn(c_int, *const libc::iovec, c_int) -> isize);
    }
    // The first part that holds anything: a short write, which every caller must go on from.
    // SAFETY: so many parts were given, each with so many bytes.
    unsafe {
        let parts = slice::from_raw_parts(parts, usize::try_from(count).unwrap_or(0));
        let part = parts.iter().find(|part| part.iov_len > 0);
        part.map_or(0, |part| write(file, part.iov_base, part.iov_len))
    }
}

/// # Safety
/// As `pwrite64(2)` asks: so many bytes are there.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pwrite64(file: c_int, bytes: *const c_void, count: usize, at: i64) -> isize {
    let hand_on = |count: usize| {
        real!(pwrite64(file, bytes, count, at) as fn(c_int, *const c_void, usize, i64) -> isize)
    };
    let Some(open) = opened(file) else { return hand_on(count) };
    let mut trace = open.disk.lock();
    let count = match trace.call(Call::Write, &open.path) {
        Some(How::Errno(errno)) => return fail(errno) as isize,
        Some(How::Short) if count > 1 => count / 2,
        _ => count,
    };
    let written = hand_on(count);
    if written > 0 {
        // SAFETY: so many bytes were given and written.
        let data = unsafe { slice::from_raw_parts(bytes.cast::<u8>(), written as usize) };
        trace.ops.push(Op::Write { node: open.node, at: at as u64, data: data.into() });
    }
    written
}

/// # Safety
/// As `ftruncate64(2)` asks.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ftruncate64(file: c_int, size: i64) -> c_int {
    let hand_on = || real!(ftruncate64(file, size) as fn(c_int, i64) -> c_int);
    let Some(open) = opened(file) else { return hand_on() };
    let mut trace = open.disk.lock();
    if let Some(How::Errno(errno)) = trace.call(Call::Resize, &open.path) {
        return fail(errno);
    }
    let done = hand_on();
    if done == 0 {
        trace.ops.push(Op::Resize { node: open.node, size: size as u64 });
    }
    done
}

fn sync(file: c_int) -> Option<c_int> {
    let open = opened(file)?;
    let mut trace = open.disk.lock();
    Some(if let Some(How::Errno(errno)) = trace.call(Call::Sync, &open.path) {
        // Interrupted, it has done nothing and is asked again; failed, it has let go of what it could not write.
        if errno != libc::EINTR {
            trace.ops.push(Op::Unsynced { node: open.node });
        }
        fail(errno)
    } else {
        trace.ops.push(Op::Sync { node: open.node });
        0
    })
}

/// # Safety
/// As `fsync(2)` asks.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fsync(file: c_int) -> c_int {
    sync(file).unwrap_or_else(|| real!(fsync(file) as fn(c_int) -> c_int))
}

/// # Safety
/// As `fdatasync(2)` asks.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fdatasync(file: c_int) -> c_int {
    sync(file).unwrap_or_else(|| real!(fdatasync(file) as fn(c_int) -> c_int))
}

/// # Safety
/// As `rename(2)` asks: the paths end in a zero.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let hand_on = || real!(rename(from, to) as fn(*const c_char, *const c_char) -> c_int);
    let Some((disk, from)) = about(libc::AT_FDCWD, from) else { return hand_on() };
    let mut trace = disk.lock();
    if let Some(How::Errno(errno)) = trace.call(Call::Rename, &from) {
        return fail(errno);
    }
    let done = hand_on();
    if done == 0 {
        trace.renamed(&from, &text(to));
    }
    done
}

fn remove(folder: c_int, path: *const c_char, hand_on: impl FnOnce() -> c_int) -> c_int {
    let Some((disk, path)) = about(folder, path) else { return hand_on() };
    let mut trace = disk.lock();
    if let Some(How::Errno(errno)) = trace.call(Call::Remove, &path) {
        return fail(errno);
    }
    let done = hand_on();
    if done == 0 {
        trace.removed(&path);
    }
    done
}

/// # Safety
/// As `unlink(2)` asks: the path ends in a zero.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    remove(libc::AT_FDCWD, path, || real!(unlink(path) as fn(*const c_char) -> c_int))
}

/// # Safety
/// As `unlinkat(2)` asks: the path ends in a zero.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    remove(folder, path, || real!(unlinkat(folder, path, flags) as fn(c_int, *const c_char, c_int) -> c_int))
}

/// # Safety
/// As `rmdir(2)` asks: the path ends in a zero.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    remove(libc::AT_FDCWD, path, || real!(rmdir(path) as fn(*const c_char) -> c_int))
}

/// # Safety
/// As `mkdir(2)` asks: the path ends in a zero.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mkdir(path: *const c_char, mode: c_uint) -> c_int {
    let hand_on = || real!(mkdir(path, mode) as fn(*const c_char, c_uint) -> c_int);
    let Some((disk, name)) = about(libc::AT_FDCWD, path) else { return hand_on() };
    let mut trace = disk.lock();
    if let Some(How::Errno(errno)) = trace.call(Call::MakeFolder, &name) {
        return fail(errno);
    }
    let done = hand_on();
    if done == 0
        && let Some(inode) = inode_at(path)
    {
        trace.made(&name, inode, true);
    }
    done
}
