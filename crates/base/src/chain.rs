//! An error with its causes on one line: how every program prints one, and how it stands in a report.

use std::error::Error;

/// The error and its causes, divided by colons. A transparent error, which says what its cause says, is said once.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read `x`")]
    struct Outer(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Transparent(Outer);

    #[test]
    fn causes_follow_their_error_and_are_said_once() {
        let error = Transparent(Outer(std::io::Error::other("no disk")));
        assert_eq!(chain(&error), "cannot read `x`: no disk");
    }
}
