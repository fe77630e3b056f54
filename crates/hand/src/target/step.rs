//! The places between two system calls at which a kill is interesting. Outside tests nothing happens there.

#[cfg(not(test))]
pub(super) const fn step(_name: &'static str) {}

/// True if a test wants the way of file systems that have no nameless files.
#[cfg(all(not(test), target_os = "linux"))]
pub(super) const fn is_without_nameless() -> bool {
    false
}

#[cfg(test)]
pub(super) use hook::{is_without_nameless, step};

#[cfg(test)]
pub(super) mod hook {
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Names the step at which the process kills itself, counted from 1.
    pub(crate) const VARIABLE: &str = "VIGO_TEST_KILL_AT_STEP";
    /// Takes nameless files away.
    pub(crate) const WITHOUT_NAMELESS: &str = "VIGO_TEST_WITHOUT_NAMELESS";
    static COUNT: AtomicUsize = AtomicUsize::new(0);

    pub(crate) fn step(name: &'static str) {
        let Ok(wanted) = std::env::var(VARIABLE) else { return };
        if COUNT.fetch_add(1, Ordering::SeqCst) + 1 == wanted.parse::<usize>().unwrap() {
            println!("killed at {name}");
            let own = rustix::process::getpid();
            rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
        }
    }

    pub(crate) fn is_without_nameless() -> bool {
        std::env::var_os(WITHOUT_NAMELESS).is_some()
    }
}
