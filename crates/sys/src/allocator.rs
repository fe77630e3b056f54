//! The global allocator of Vigo's programs: the system's until the arena is active, then the arena and only it.
//!
//! A program that never activates an arena pays one relaxed load of a static per call.

use crate::arena;
use std::alloc::{GlobalAlloc, Layout, System};

/// Put `#[global_allocator] static ALLOCATOR: ProcessAllocator = ProcessAllocator;` into each binary.
///
/// Once [`arena::activate`] has succeeded every new allocation lies in protected pages and is wiped when it is freed;
/// when those are used up the answer is null, never ordinary memory. What was allocated before goes back to the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessAllocator;

// SAFETY: every pointer handed out comes from `System` or from the arena's allocator, with the layout that was asked for,
// and goes back to the one it came from: `arena::owns` is true exactly for addresses inside the arena's own mappings,
// which `System` can never hand out. Nothing here panics or unwinds.
unsafe impl GlobalAlloc for ProcessAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if arena::is_active() {
            // SAFETY: the caller's contract (a layout of non-zero size) is the callee's.
            unsafe { arena::allocate(layout) }
        } else {
            // SAFETY: the caller's contract, passed on.
            unsafe { System.alloc(layout) }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !arena::is_active() {
            // SAFETY: the caller's contract, passed on.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the caller's contract (a layout of non-zero size) is the callee's.
        let pointer = unsafe { arena::allocate(layout) };
        if !pointer.is_null() {
            // SAFETY: a fresh allocation of `layout.size()` bytes. (Freed memory is wiped, but the allocator keeps its
            // lists in it.)
            unsafe { pointer.write_bytes(0, layout.size()) };
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if arena::owns(pointer) {
            // SAFETY: the address is inside the arena, so that this pointer came from `arena::allocate` with this layout
            // (the caller's contract).
            unsafe { arena::release(pointer, layout) }
        } else {
            // SAFETY: not the arena's, so `System` handed it out, with this layout (the caller's contract).
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !arena::is_active() {
            // SAFETY: the caller's contract, passed on; with no arena every pointer is the system's.
            return unsafe { System.realloc(pointer, layout, new_size) };
        }
        // Never in place: what a shrinking value leaves behind would stay unwiped.
        // SAFETY: the caller guarantees that `new_size` is not zero and does not overflow when rounded to the alignment.
        let fresh = unsafe { self.alloc(Layout::from_size_align_unchecked(new_size, layout.align())) };
        if !fresh.is_null() {
            // SAFETY: both are live allocations of at least that many bytes, and different ones; the old one is then freed
            // with the layout it was made with (the caller's contract).
            unsafe {
                pointer.copy_to_nonoverlapping(fresh, layout.size().min(new_size));
                self.dealloc(pointer, layout);
            }
        }
        fresh
    }
}
