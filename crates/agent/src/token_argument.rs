//! The one secret that may stand on a command line: an enrolment token after `--token`. It is taken out of this process's arguments before anything else is done.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// Overwrites the token in the arguments that every user can read in /proc. True if one was there and could be overwritten.
pub fn wipe(arguments: &[OsString]) -> bool {
    let after_flag = arguments.windows(2).find_map(|pair| match pair {
        [flag, token] if flag == "--token" => Some(token.as_bytes()),
        _ => None,
    });
    let joined = || arguments.iter().find_map(|argument| argument.as_bytes().strip_prefix(b"--token="));
    after_flag.or_else(joined).is_some_and(vigo_sys::arguments::wipe)
}
