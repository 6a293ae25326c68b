//! An allocator that counts, so that what a request allocates can be watched and tested.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// A thread tells the others of its allocations after so many.
const STEP: u64 = 64;

/// What all threads have told.
static TOLD: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// This thread's allocations. Without a destructor and made at compile time, so that it may be used in an allocator.
    static HERE: Cell<u64> = const { Cell::new(0) };
}

/// Another allocator, counted. Growing counts as an allocation, freeing does not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting<A>(
    /// The allocator that does the work.
    pub A,
);

/// How often memory was asked for since the process's start, but for the last few times of each thread. 0 where
/// [`Counting`] is not the program's allocator.
pub fn allocations() -> u64 {
    TOLD.load(Ordering::Relaxed)
}

/// How often this thread asked for memory.
pub fn allocations_here() -> u64 {
    HERE.get()
}

#[inline]
fn count() {
    // A thread that is just ending counts no more.
    let _ = HERE.try_with(|here| {
        let count = here.get().wrapping_add(1);
        here.set(count);
        if count.is_multiple_of(STEP) {
            TOLD.fetch_add(STEP, Ordering::Relaxed);
        }
    });
}

#[allow(unsafe_code, reason = "the trait is unsafe to implement; every call is handed on as it came")]
// SAFETY: the allocator within keeps the trait's promises, and counting touches no memory but its own numbers, allocates
// nothing and cannot panic.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the same promises to us.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { self.0.realloc(pointer, layout, size) }
    }
}
