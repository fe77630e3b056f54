//! What every child gets, with secrets or without: its environment. How it is started is left to `vigo_sys::spawn`, and what it is told on
//! standard input to who starts it.

use crate::types::Account;
use std::ffi::{CStr, CString};
use zeroize::Zeroize as _;

/// Where programs without a slash are looked for, and what children get as PATH.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The environment of a child: six variables and what the policy gives, nothing of our own. Wiped when it is dropped. No `Debug`: it may
/// hold values.
pub struct Environment {
    words: Vec<CString>,
}

/// Why a variable cannot be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableProblem {
    /// Its name is empty or has a `=` or a NUL byte in it.
    Name,
    /// Its value has a NUL byte in it, which the kernel would take for its end.
    Value,
}

impl Environment {
    /// PATH, LANG, HOME, USER, LOGNAME and SHELL.
    ///
    /// # Errors
    /// When what is said of the user has a NUL byte in it.
    pub fn new(account: &Account) -> Result<Self, VariableProblem> {
        let mut environment = Self { words: Vec::with_capacity(8) };
        for (name, value) in [
            ("PATH", PATH),
            ("LANG", "C.UTF-8"),
            ("HOME", &account.home),
            ("USER", &account.name),
            ("LOGNAME", &account.name),
            ("SHELL", &account.shell),
        ] {
            environment.set(name, value.as_bytes().to_vec())?;
        }
        Ok(environment)
    }

    /// Sets a variable; what the policy gives takes the place of what there is by default.
    ///
    /// # Errors
    /// When it cannot be one; the value is wiped.
    pub fn set(&mut self, name: &str, mut value: Vec<u8>) -> Result<(), VariableProblem> {
        if name.is_empty() || name.contains(['=', '\0']) {
            value.zeroize();
            return Err(VariableProblem::Name);
        }
        let mut word = Vec::with_capacity(name.len() + value.len() + 2);
        word.extend_from_slice(name.as_bytes());
        word.push(b'=');
        let start = word.len();
        word.extend_from_slice(&value);
        value.zeroize();
        let word = CString::new(word).map_err(|error| {
            error.into_vec().zeroize();
            VariableProblem::Value
        })?;
        let is_same = |known: &CString| known.to_bytes().get(..start) == word.to_bytes().get(..start);
        match self.words.iter_mut().find(|known| is_same(known)) {
            Some(known) => wipe(std::mem::replace(known, word)),
            None => self.words.push(word),
        }
        Ok(())
    }

    /// As the kernel takes it.
    #[must_use]
    pub fn as_refs(&self) -> Vec<&CStr> {
        self.words.iter().map(CString::as_c_str).collect()
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.words.drain(..).for_each(wipe);
    }
}

/// Overwrites a text that may hold a value.
pub(crate) fn wipe(text: CString) {
    text.into_bytes_with_nul().zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        let account = Account { home: "/home/x".into(), name: "x".into(), shell: "/bin/sh".into() };
        Environment::new(&account).unwrap()
    }

    fn lines(environment: &Environment) -> Vec<&str> {
        environment.as_refs().into_iter().map(|word| word.to_str().unwrap()).collect()
    }

    #[test]
    fn a_child_gets_six_variables_and_what_is_given() {
        let mut environment = environment();
        environment.set("TOKEN", b"a=b".to_vec()).unwrap();
        environment.set("LANG", b"de_DE.UTF-8".to_vec()).unwrap();
        let path = format!("PATH={PATH}");
        let expected =
            [&path, "LANG=de_DE.UTF-8", "HOME=/home/x", "USER=x", "LOGNAME=x", "SHELL=/bin/sh", "TOKEN=a=b"];
        assert_eq!(lines(&environment), expected);
    }

    #[test]
    fn what_the_kernel_would_take_for_something_else_is_refused() {
        let mut environment = environment();
        for name in ["", "A=B", "A\0"] {
            assert_eq!(environment.set(name, Vec::new()), Err(VariableProblem::Name));
        }
        assert_eq!(environment.set("A", b"x\0y".to_vec()), Err(VariableProblem::Value));
        assert_eq!(lines(&environment).len(), 6);
    }
}
