//! Takes a word out of the arguments of this process, which every user can read in /proc/PID/cmdline (proc_pid_cmdline(5)).

/// Overwrites every place in the arguments where `word` stands. True if one was found and overwritten.
#[must_use]
pub fn wipe(word: &[u8]) -> bool {
    if word.is_empty() {
        return false;
    }
    let Some((start, length)) = region() else { return false };
    // SAFETY: the kernel says that the argument strings of this process lie in exactly these bytes (proc_pid_stat(5), arg_start and arg_end), which are ordinary writable memory of the initial stack for as long as the process lives. Nobody holds a reference into them: the standard library copies out of them when it is asked for arguments, and this is called before there is a second thread.
    let bytes = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, length) };
    let mut found = false;
    while let Some(at) = bytes.windows(word.len()).position(|window| window == word) {
        for byte in bytes.iter_mut().skip(at).take(word.len()) {
            // SAFETY: `byte` is a reference into the slice above. Volatile, so that the write is not left out although nobody reads it here.
            unsafe { std::ptr::write_volatile(byte, b'x') };
        }
        found = true;
        if word.iter().all(|byte| *byte == b'x') {
            break;
        }
    }
    found
}

/// Where the arguments lie: fields 48 and 49 of /proc/self/stat, counted after the name in brackets, which may hold anything.
fn region() -> Option<(usize, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(45);
    let start: usize = fields.next()?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    let length = end.checked_sub(start)?;
    (start != 0 && length < 1 << 22).then_some((start, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_in_the_arguments_is_gone_afterwards() {
        // The test program's own name is in its arguments, and nobody needs it any more.
        let cmdline = || std::fs::read("/proc/self/cmdline").unwrap();
        let name = std::env::args().next().unwrap();
        let tail = name.rsplit('/').next().unwrap().as_bytes();
        assert!(cmdline().windows(tail.len()).any(|window| window == tail));
        assert!(wipe(tail));
        assert!(!cmdline().windows(tail.len()).any(|window| window == tail));
        assert!(!wipe(b"a word that is not there"));
        assert!(!wipe(b""));
    }
}
