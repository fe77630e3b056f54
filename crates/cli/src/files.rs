//! Reading files with a bound.

use crate::error::CliError;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// A token file: one line.
const TOKEN: usize = 4096;

/// The bytes of a file, if it has no more than `limit`.
///
/// # Errors
/// When it cannot be read or is longer.
pub fn read_bounded(path: &Path, limit: usize) -> Result<Vec<u8>, CliError> {
    let failed = |source| CliError::File { doing: "read", path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit {
        return Err(failed(std::io::Error::other(format!("it is longer than {limit} bytes"))));
    }
    Ok(bytes)
}

/// The token in a token file. It is worth as much as whoever made it may do, so no one else may read the file.
///
/// # Errors
/// When it cannot be read, others may read it, or it is no token.
pub fn read_token(path: &Path) -> Result<String, CliError> {
    let metadata = path.metadata().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => CliError::usage(
            format!("cannot read the token file `{}`: there is none", path.display()),
            "`admin.token` stands in the server's data folder while the server runs; is it running?",
        ),
        _ => CliError::File { doing: "read", path: path.into(), source },
    })?;
    let mode = metadata.permissions().mode() & 0o7777;
    // A pipe or a descriptor has no mode that says anything.
    if metadata.is_file() && mode & 0o077 != 0 {
        return Err(CliError::usage(
            format!("cannot use the token file `{}`: others may read it (mode {mode:04o})", path.display()),
            format!("run `chmod go= '{}'`", path.display()),
        ));
    }
    let bytes = read_bounded(path, TOKEN)?;
    let token = String::from_utf8(bytes).ok().map(|text| text.trim().to_owned());
    token.filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())).ok_or_else(
        || {
            let what = format!("cannot use the token file `{}`: it holds no token", path.display());
            CliError::usage(what, "it is one line; the server writes one to `admin.token` in its data folder")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};

    fn token(content: &[u8], mode: u32) -> Result<String, CliError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        read_token(&path)
    }

    #[test]
    fn a_token_is_one_line() {
        assert_eq!(token(b"vigo-admin-12\n", 0o600).unwrap(), "vigo-admin-12");
        for wrong in [&b""[..], b"\n", b"a b", b"a\nb", b"\xff", &[b'a'; 5000]] {
            assert!(token(wrong, 0o600).is_err());
        }
    }

    #[test]
    fn a_token_file_that_others_may_read_is_refused_with_the_command() {
        let error = token(b"vigo-admin-12\n", 0o644).unwrap_err();
        assert!(error.help().unwrap().contains("chmod go="), "{error}");
        assert!(!error.report().contains("vigo-admin"), "the token is in no message");
    }
}
