//! Threads whose stack, thread control block and all lie in the arena.
//!
//! `std::thread` maps its own stack and an alternate signal stack, in ordinary pages, so it is not used here. What runs
//! on such a thread, and what becomes of a panic, is the hand's affair.

use crate::arena::Stack;
use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

type Job = Box<dyn FnOnce() + Send>;

/// Runs `f` on a new detached thread with `stack` bytes of stack in the arena and every signal blocked.
///
/// For threads that live as long as the process: the thread is never joined (joining one whose stack is memfd_secret
/// aborts glibc: the wake-up is a shared futex) and its stack is never given back. A panic that leaves `f` ends the process.
///
/// # Errors
/// If there is no arena, no room in it, or the kernel gives no thread.
pub fn run_protected(stack: usize, f: Job) -> io::Result<()> {
    ProtectedStack::new(stack).ok_or_else(no_room)?.run(f)
}

/// A stack in the arena, for who tries several sizes before it says what runs on it.
pub struct ProtectedStack(Stack);

impl ProtectedStack {
    /// So many bytes, if there is an arena with room for them.
    #[must_use]
    pub fn new(length: usize) -> Option<Self> {
        Stack::new(length.max(SMALLEST_STACK)).map(Self)
    }

    /// Runs `f` on it, as [`run_protected`] does.
    ///
    /// # Errors
    /// If the kernel gives no thread.
    pub fn run(self, f: Job) -> io::Result<()> {
        let Self(stack) = self;
        let job: *mut Job = Box::into_raw(Box::new(f));
        let old = SignalMask::block_all();
        let created = create(&stack, job);
        old.restore();
        if created.is_err() {
            // SAFETY: the thread was not created, so that nobody else has `job` (made by `Box::into_raw` above) or the stack.
            unsafe {
                drop(Box::from_raw(job));
                stack.give_back();
            }
        }
        created
    }
}

fn no_room() -> io::Error {
    io::Error::new(io::ErrorKind::OutOfMemory, "cannot start a protected thread: no room in an arena")
}

/// Sleeps for ever; for a main thread that has handed its work to protected ones.
pub fn park() -> ! {
    loop {
        // SAFETY: pause(2) has no preconditions.
        unsafe { libc::pause() };
    }
}

/// Room for a thread control block with its thread-local variables, and a few frames.
const SMALLEST_STACK: usize = 64 << 10;

unsafe extern "C" {
    /// POSIX; declared here because libc does not name it on every system.
    fn pthread_attr_setstack(
        attributes: *mut libc::pthread_attr_t,
        lowest: *mut libc::c_void,
        length: libc::size_t,
    ) -> libc::c_int;
}

fn create(stack: &Stack, job: *mut Job) -> io::Result<()> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    let attributes = attributes.as_mut_ptr();
    // SAFETY: `attributes` is initialised by the first call and destroyed by the last; the stack is `length` writable,
    // page-aligned bytes which live as long as the process (`Stack` is only given back if this fails, see above);
    // `run` takes over `job`. pthread_attr_setstack(3): the address is the lowest one.
    unsafe {
        check(libc::pthread_attr_init(attributes))?;
        let created = check(pthread_attr_setstack(attributes, stack.start.as_ptr().cast(), stack.length))
            .and_then(|()| {
                check(libc::pthread_attr_setdetachstate(attributes, libc::PTHREAD_CREATE_DETACHED))
            })
            .and_then(|()| check(libc::pthread_create(thread.as_mut_ptr(), attributes, run, job.cast())));
        libc::pthread_attr_destroy(attributes);
        created
    }
}

fn check(code: i32) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

extern "C" fn run(job: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `job` is the pointer that `run_protected` made by `Box::into_raw` and passes to exactly one thread.
    let job = unsafe { Box::from_raw(job.cast::<Job>()) };
    if catch_unwind(AssertUnwindSafe(job)).is_err() {
        std::process::abort();
    }
    std::ptr::null_mut()
}

/// The calling thread's signal mask, to be put back.
pub(crate) struct SignalMask(libc::sigset_t);

impl SignalMask {
    /// Blocks every signal on the calling thread.
    pub(crate) fn block_all() -> Self {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut old = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: sigfillset(3) initialises `all`; pthread_sigmask(3) reads it and fills `old`, which is all zeroes (a
        // valid empty set) even if it failed, which it cannot with SIG_SETMASK and valid pointers.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
            Self(old.assume_init())
        }
    }

    /// Puts the mask back.
    pub(crate) fn restore(self) {
        // SAFETY: a set that pthread_sigmask(3) filled in `block_all`.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}
