//! The arena: protected pages from which everything in the process is allocated once it is active.
//!
//! [`activate`] takes the best kind of page that the kernel gives and says why it was not a better one; afterwards the
//! arena grows in steps, of the same kind, up to a cap. It is never deactivated. What to do when it is full, and what
//! its kind means for the protection level, is decided by the hand.

use crate::error::SysError;
use crate::lock::Lock;
use crate::pages::{self, Refusal};
use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use talc::DefaultBinning;
use talc::base::binning::Binning;
use talc::base::{CHUNK_UNIT, Talc};
use talc::source::Source;

pub use crate::pages::Kind;

/// Which kind of page to try first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The best that can be had.
    #[default]
    Auto,
    /// Not memfd_secret, because an active one blocks hibernation; else as `Auto`.
    Mlock,
    /// Ordinary pages. For tests and for where the operator allows it.
    Plain,
}

impl Choice {
    const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Auto => &[Kind::Secret, Kind::Locked, Kind::Plain],
            Self::Mlock => &[Kind::Locked, Kind::Plain],
            Self::Plain => &[Kind::Plain],
        }
    }
}

/// What [`activate`] is asked for. The default is 2 MiB, in steps of the same size up to 16 MiB, of the best kind.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which kind to try first.
    pub choice: Choice,
    /// The first size and the step by which it grows; less is taken where RLIMIT_MEMLOCK is small.
    pub size: usize,
    /// The cap, stacks of protected threads included.
    pub max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { choice: Choice::Auto, size: 2 << 20, max: 16 << 20 }
    }
}

/// What the arena is and how full.
#[derive(Clone, Debug)]
pub struct Status {
    /// What its pages are.
    pub kind: Kind,
    /// Bytes mapped now, stacks included.
    pub size: usize,
    /// Bytes of it in use: live allocations and stacks.
    pub used: usize,
    /// Bytes it may grow to.
    pub max: usize,
    /// Why it is not a better kind, or smaller than asked for. Empty where all is as wished.
    pub reasons: Vec<String>,
}

/// Sizes below this are not asked for.
const SMALLEST: usize = 256 << 10;
/// The least that a process with a spawner, a thread that works and values in it can do with: where a better kind of page gives less than that, the next
/// kind is taken. A larger first size is halved down to this, and what was asked for is taken as it is if it is smaller.
pub const LEAST: usize = 640 << 10;
const REGIONS: usize = 64;

/// The mappings that allocations come from. `REGION_COUNT` is also the switch: 0 means that the system allocates.
static REGION_COUNT: AtomicUsize = AtomicUsize::new(0);
static REGION: [(AtomicUsize, AtomicUsize); REGIONS] =
    [const { (AtomicUsize::new(0), AtomicUsize::new(0)) }; REGIONS];
static HEAP: Lock<Talc<Growth, DefaultBinning>> = Lock::new(Talc::new(Growth::NONE));
static REASONS: OnceLock<Vec<String>> = OnceLock::new();

/// Switches the process to protected memory. Call it in `main`, before any value is read and before other threads run.
///
/// # Errors
/// If the sizes are unusable, the arena is active already, no pages at all can be had, or the program's allocator is not
/// [`crate::ProcessAllocator`]. In the last case the pages stay mapped, and nothing is allocated from them.
pub fn activate(options: Options) -> Result<Status, SysError> {
    let (size, max) = (pages::round_up(options.size), pages::round_up(options.max));
    let wrong = |reason| SysError::ArenaSize { size: options.size, max: options.max, reason };
    if size < SMALLEST {
        return Err(wrong("less than 256 KiB is of no use"));
    }
    if max < size || max > isize::MAX.unsigned_abs() / 2 {
        return Err(wrong("the cap must not be below the first size, nor more than can be addressed"));
    }
    if is_active() || REASONS.get().is_some() {
        return Err(SysError::AlreadyActive);
    }
    let (kind, length, start, reasons) = first_pages(options.choice, size)?;
    if REASONS.set(reasons).is_err() {
        return Err(SysError::AlreadyActive);
    }
    {
        let mut heap = HEAP.lock();
        heap.source = Growth { kind, step: length, max, ..Growth::NONE };
        add_region(&mut heap, start, length);
    }
    if !allocations_arrive() {
        REGION_COUNT.store(0, Ordering::Release);
        return Err(SysError::OtherAllocator);
    }
    status().ok_or(SysError::OtherAllocator)
}

/// Which kind of pages this process would get, and why no better one. Nothing is kept: for a process that has no arena of its own and has to say
/// what its hand will get.
#[must_use]
pub fn probe(choice: Choice) -> (Kind, Vec<String>) {
    match first_pages(choice, LEAST) {
        Ok((kind, length, start, reasons)) => {
            // SAFETY: `first_pages` mapped exactly these bytes just now and nothing else knows of them.
            unsafe { pages::unmap(start, length) };
            (kind, reasons)
        }
        Err(error) => (Kind::Plain, vec![error.to_string()]),
    }
}

/// What the arena is; `None` while there is none.
#[must_use]
pub fn status() -> Option<Status> {
    // No allocation while the lock is held: it would wait for itself.
    let growth = if is_active() { HEAP.lock().source } else { return None };
    let mut reasons = REASONS.get().cloned().unwrap_or_default();
    if let Some(refused) = growth.refused {
        reasons.push(format!("the arena cannot grow: {refused}"));
    }
    let Growth { kind, mapped: size, used, max, .. } = growth;
    Some(Status { kind, size, used, max, reasons })
}

/// Bytes that can still be allocated, at most: what is free plus what it may grow by. A single value must leave some of
/// it for rounding. Without an arena there is no bound, so that the answer is `usize::MAX`.
#[must_use]
pub fn room() -> usize {
    if !is_active() {
        return usize::MAX;
    }
    let growth = HEAP.lock().source;
    let bound = if growth.refused.is_some() { growth.mapped } else { growth.max };
    bound.saturating_sub(growth.used)
}

/// Whether what `value` refers to lies in the arena's heap.
#[must_use]
pub fn contains<T: ?Sized>(value: &T) -> bool {
    owns(std::ptr::from_ref(value).cast())
}

/// The heap's mappings, first address and the one behind the last, for a look at their flags in /proc/self/smaps.
#[must_use]
pub fn regions() -> Vec<(usize, usize)> {
    let count = REGION_COUNT.load(Ordering::Acquire);
    REGION
        .iter()
        .take(count)
        .map(|(start, end)| (start.load(Ordering::Relaxed), end.load(Ordering::Relaxed)))
        .collect()
}

/// One relaxed load: all that this costs a process without an arena.
#[inline]
pub(crate) fn is_active() -> bool {
    REGION_COUNT.load(Ordering::Relaxed) != 0
}

/// The kind of page in use.
pub(crate) fn kind() -> Option<Kind> {
    is_active().then(|| HEAP.lock().source.kind)
}

/// Whether this address lies in the heap of the arena.
#[inline]
pub(crate) fn owns(pointer: *const u8) -> bool {
    let count = REGION_COUNT.load(Ordering::Relaxed);
    if count == 0 {
        return false;
    }
    // Pairs with the release store in `add_region`: who sees the count sees the bounds.
    fence(Ordering::Acquire);
    REGION.iter().take(count).any(|(start, end)| {
        (start.load(Ordering::Relaxed)..end.load(Ordering::Relaxed)).contains(&pointer.addr())
    })
}

/// Allocates in the arena; null if there is no room.
///
/// # Safety
/// `layout.size()` must not be zero.
pub(crate) unsafe fn allocate(layout: Layout) -> *mut u8 {
    // Pairs with the release store in `add_region`: who sees the arena active sees its heap set up.
    fence(Ordering::Acquire);
    let mut heap = HEAP.lock();
    // SAFETY: a layout of non-zero size is this function's own contract.
    match unsafe { heap.allocate(layout) } {
        Some(pointer) => {
            heap.source.used += layout.size();
            pointer.as_ptr()
        }
        None => std::ptr::null_mut(),
    }
}

/// Wipes and frees.
///
/// # Safety
/// `pointer` must come from [`allocate`] with this `layout` and must not be used any more.
pub(crate) unsafe fn release(pointer: *mut u8, layout: Layout) {
    // SAFETY: a live allocation of `layout.size()` bytes, by this function's contract.
    unsafe { pointer.write_bytes(0, layout.size()) };
    // The compiler must take these bytes for read: else it may drop a write to memory that is about to be freed.
    std::hint::black_box(pointer);
    let mut heap = HEAP.lock();
    heap.source.used = heap.source.used.saturating_sub(layout.size());
    // SAFETY: allocated from this heap with this layout, by this function's contract.
    unsafe { heap.deallocate(pointer, layout) };
}

/// Pages for a stack, of the arena's kind and counted like the rest of it.
pub(crate) struct Stack {
    pub(crate) start: NonNull<u8>,
    pub(crate) length: usize,
    in_heap: bool,
}

impl Stack {
    /// Maps a stack of its own with guard pages; where the limit on locked memory is used up, takes it from the heap.
    pub(crate) fn new(length: usize) -> Option<Self> {
        let length = pages::round_up(length);
        let kind = kind()?;
        let granted = {
            let mut heap = HEAP.lock();
            let fits = heap.source.max.saturating_sub(heap.source.mapped) >= length;
            let start = if fits { pages::map(kind, length).ok() } else { None };
            if start.is_some() {
                heap.source.mapped += length;
                heap.source.used += length;
            }
            start
        };
        if let Some(start) = granted {
            return Some(Self { start, length, in_heap: false });
        }
        let layout =
            Layout::from_size_align(length, pages::page_size()).ok().filter(|layout| layout.size() > 0)?;
        // SAFETY: the size is not zero (the line above).
        let start = NonNull::new(unsafe { allocate(layout) })?;
        Some(Self { start, length, in_heap: true })
    }

    /// Gives the pages back.
    ///
    /// # Safety
    /// Nothing may run on this stack, now or later.
    pub(crate) unsafe fn give_back(self) {
        if self.in_heap {
            if let Ok(layout) = Layout::from_size_align(self.length, pages::page_size()) {
                // SAFETY: allocated in `new` with this layout; unused by this function's contract.
                unsafe { release(self.start.as_ptr(), layout) };
            }
            return;
        }
        // SAFETY: mapped in `new` with this length; unused by this function's contract.
        unsafe { pages::unmap(self.start, self.length) };
        let mut heap = HEAP.lock();
        heap.source.mapped = heap.source.mapped.saturating_sub(self.length);
        heap.source.used = heap.source.used.saturating_sub(self.length);
    }
}

/// The book of the arena, kept inside the allocator under its lock.
#[derive(Clone, Copy)]
struct Growth {
    kind: Kind,
    step: usize,
    max: usize,
    mapped: usize,
    used: usize,
    refused: Option<Refusal>,
}

impl Growth {
    const NONE: Self = Self { kind: Kind::Plain, step: 0, max: 0, mapped: 0, used: 0, refused: None };
}

impl std::fmt::Debug for Growth {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Growth")
            .field("kind", &self.kind)
            .field("mapped", &self.mapped)
            .finish_non_exhaustive()
    }
}

// SAFETY: `acquire` uses system calls and `talc` only: nothing in it allocates or takes the heap's lock.
unsafe impl Source for Growth {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let growth = talc.source;
        let overhead = 4 * CHUNK_UNIT;
        let need = pages::round_up(layout.size().saturating_add(layout.align()).saturating_add(overhead));
        let left = growth.max.saturating_sub(growth.mapped);
        if growth.step == 0 || need > left || REGION_COUNT.load(Ordering::Relaxed) >= REGIONS {
            return Err(());
        }
        let mut length = growth.step.max(need).min(left);
        loop {
            match pages::map(growth.kind, length) {
                Ok(start) => {
                    talc.source.refused = None;
                    add_region(talc, start, length);
                    return Ok(());
                }
                Err(refused) if refused.smaller_may_do && length > need => {
                    length = pages::round_up(length / 2).max(need);
                }
                Err(refused) => {
                    talc.source.refused = Some(refused);
                    return Err(());
                }
            }
        }
    }
}

/// Makes fresh pages part of the heap. There is a free slot: `acquire` looked, and the first one finds all of them free.
fn add_region<B: Binning>(talc: &mut Talc<Growth, B>, start: NonNull<u8>, length: usize) {
    let count = REGION_COUNT.load(Ordering::Relaxed);
    let Some((from, to)) = REGION.get(count) else { return };
    // SAFETY: `length` writable bytes from `start`, mapped by our caller for this heap alone and never unmapped.
    if unsafe { talc.claim(start.as_ptr(), length) }.is_none() {
        return;
    }
    talc.source.mapped += length;
    from.store(start.addr().get(), Ordering::Relaxed);
    to.store(start.addr().get() + length, Ordering::Relaxed);
    REGION_COUNT.store(count + 1, Ordering::Release);
}

type First = (Kind, usize, NonNull<u8>, Vec<String>);

fn first_pages(choice: Choice, size: usize) -> Result<First, SysError> {
    let mut reasons = Vec::new();
    for &kind in choice.kinds() {
        let mut length = size;
        loop {
            match pages::map(kind, length) {
                Ok(start) => return Ok((kind, length, start, reasons)),
                Err(refused) => {
                    reasons.push(refused.to_string());
                    if !refused.smaller_may_do || length <= LEAST {
                        break;
                    }
                    length = pages::round_up(length / 2).max(LEAST);
                }
            }
        }
    }
    Err(SysError::NoPages(reasons.join("; ")))
}

/// Whether the program's allocator is ours: an allocation made now must lie in the arena.
fn allocations_arrive() -> bool {
    let probe = std::hint::black_box(Box::new(0_u64));
    contains(&*probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_another_allocator_is_told_so_and_goes_on_without_an_arena() {
        let answer = activate(Options { choice: Choice::Plain, ..Options::default() });
        assert!(matches!(answer, Err(SysError::OtherAllocator)), "{answer:?}");
        assert!(status().is_none() && !is_active());
        assert!(Stack::new(4096).is_none());
    }
}
