//! An allocator that counts, for each thread, what it holds and how often it asked.
//!
//! Rhai's size limits do not see every path by which a script's memory grows, so `functions` compares
//! `held` before and during a call; tests of the hot path compare `allocations`. A binary that wants
//! this declares
//!
//! ```
//! #[global_allocator]
//! static METER: meter::Meter = meter::Meter;
//! ```
//!
//! Where it is not installed, both counters stay at zero. This is the one crate with unsafe code:
//! `GlobalAlloc` is an unsafe trait.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with counting.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter;

thread_local! {
    // Initialised by constants and without destructors: reading them never allocates.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Bytes that this thread has asked for, less those that it has given back. What another thread frees
/// counts there: a single number may be negative, and only differences on one thread mean something.
pub fn held() -> isize {
    HELD.try_with(Cell::get).unwrap_or(0)
}

/// How often this thread has asked for memory, growth of a block included.
pub fn allocations() -> u64 {
    ALLOCATIONS.try_with(Cell::get).unwrap_or(0)
}

/// Counts a change. While the thread is being torn down its counters may be gone: then nothing is counted.
fn count(bytes: isize, allocations: u64) {
    let _ = HELD.try_with(|held| held.set(held.get().wrapping_add(bytes)));
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get().wrapping_add(allocations)));
}

// SAFETY: every method hands its arguments unchanged to `System`, whose contract is this trait's, and
// returns its answer unchanged. Counting touches thread-local cells only: it neither allocates nor panics.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`.
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            count(layout.size() as isize, 1);
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            count(layout.size() as isize, 1);
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`; the block came from `System`.
        unsafe { System.dealloc(block, layout) };
        count(-(layout.size() as isize), 0);
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `realloc`; the block came from `System`.
        let moved = unsafe { System.realloc(block, layout, size) };
        if !moved.is_null() {
            count(size as isize - layout.size() as isize, 1);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static METER: Meter = Meter;

    #[test]
    fn each_thread_counts_what_it_holds() {
        let (before, asked) = (held(), allocations());
        let mut block: Vec<u8> = Vec::with_capacity(1000);
        assert_eq!((held() - before, allocations() - asked), (1000, 1));
        block.reserve_exact(5000);
        assert_eq!((held() - before, allocations() - asked), (5000, 2));
        drop(block);
        assert_eq!((held() - before, allocations() - asked), (0, 2));
    }

    #[test]
    fn a_block_freed_elsewhere_counts_there() {
        let block: Vec<u8> = Vec::with_capacity(1000);
        let change = std::thread::spawn(move || {
            let before = held();
            drop(block);
            held() - before
        });
        assert_eq!(change.join().expect("the thread ends well"), -1000);
    }
}
