//! What one rendering remembers while the engine runs: values that hold secrets refuse operations here, and the sink hears here that a slot comes.
//!
//! The engine's hooks for comparing, truth and writing cannot fail, so a forbidden operation is noted and fails the rendering afterwards. One rendering runs on one thread from begin to end.

use std::cell::RefCell;
use vigo_base::Pieces;

#[derive(Default)]
struct Session {
    depth: usize,
    tainted: bool,
    refused: Option<&'static str>,
    pending: Option<Pieces>,
    active: Vec<String>,
}

thread_local! {
    static SESSION: RefCell<Session> = RefCell::default();
}

/// A rendering under way; nested ones (a variable inside a template) share the outer one's memory.
pub struct Guard(());

impl Guard {
    pub fn enter() -> Self {
        SESSION.with_borrow_mut(|session| {
            if session.depth == 0 {
                *session = Session::default();
            }
            session.depth += 1;
        });
        Self(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        SESSION.with_borrow_mut(|session| session.depth -= 1);
    }
}

/// Notes that something was done to a secret that must not be.
pub fn refuse(what: &'static str) {
    SESSION.with_borrow_mut(|session| {
        session.refused.get_or_insert(what);
    });
}

/// What was refused so far.
pub fn refused() -> Option<&'static str> {
    SESSION.with_borrow(|session| session.refused)
}

/// A value with a secret in it exists now.
pub fn taint() {
    SESSION.with_borrow_mut(|session| session.tainted = true);
}

/// True if a value with a secret in it may be about.
pub fn is_tainted() -> bool {
    SESSION.with_borrow(|session| session.tainted)
}

/// Announces that the next write stands for these pieces.
pub fn announce(pieces: Pieces) {
    SESSION.with_borrow_mut(|session| session.pending = Some(pieces));
}

/// What was announced, once.
pub fn take_announced() -> Option<Pieces> {
    SESSION.with_borrow_mut(|session| session.pending.take())
}

/// Begins to render a variable; gives the circle when it is being rendered already.
pub fn begin(name: &str) -> Result<(), Vec<String>> {
    SESSION.with_borrow_mut(|session| {
        if let Some(start) = session.active.iter().position(|active| active == name) {
            let mut circle: Vec<String> = session.active.iter().skip(start).cloned().collect();
            circle.push(name.to_owned());
            return Err(circle);
        }
        session.active.push(name.to_owned());
        Ok(())
    })
}

/// How many variables are being rendered inside one another.
pub fn nesting() -> usize {
    SESSION.with_borrow(|session| session.active.len())
}

/// Ends what [`begin`] began.
pub fn end() {
    SESSION.with_borrow_mut(|session| session.active.pop());
}
