//! What the worker takes away from itself before it touches the network, and what of that it could not.

use std::path::Path;
use vigo_sys::harden::{Hold, harden_process_memory, name_process};
use vigo_wire::worker::NAME;

/// What looking up a host name reads: the resolver's files, and the libraries that the C library loads for it. Folders where the
/// file itself is a link into one that is replaced now and then (resolv.conf(5), nsswitch.conf(5), gai.conf(5)).
const READ_ONLY: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/ld.so.cache",
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
];

/// Names this process, hardens it and cages it. Gives what does not hold, a line each; nothing is fatal: `vigo` decides by the protection
/// level.
pub fn enter() -> Vec<String> {
    name_process(NAME);
    let mut missing = harden_process_memory(Hold::Agent).warnings;
    let paths: Vec<&Path> = READ_ONLY.iter().map(Path::new).filter(|path| path.exists()).collect();
    let caged = vigo_sys::sandbox::worker(&paths);
    let parts = [
        ("no_new_privs", caged.no_new_privileges),
        ("capabilities", caged.capabilities),
        ("seccomp", caged.seccomp),
        ("landlock", caged.landlock.map(drop)),
        ("threads", caged.alone),
    ];
    for (name, result) in parts {
        if let Err(why) = result {
            missing.push(format!("{name}: {why}"));
        }
    }
    missing
}
