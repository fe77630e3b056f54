//! Globs on envoy names: `*` is any run of characters, `?` any one.

use std::fmt;
use std::str::FromStr;

/// A pattern for envoy names. Names are lower case, so a pattern is, too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob(String);

/// Why a text is no glob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no pattern for envoy names: it takes letters, digits, `-`, `.`, and `*` (anything) or `?` (one character), 253 at most"
)]
pub struct GlobError(String);

impl Glob {
    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if `name` fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        fits(self.0.as_bytes(), name.as_bytes())
    }

    /// True if everything that fits `other` also fits this. It may miss a case, it never claims one that is not.
    ///
    /// `*` and `?` cannot stand in a name, so as characters of a name only this pattern's own `*` (or `?` for `?`) takes them.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        fits_pattern(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl FromStr for Glob {
    type Err = GlobError;
    fn from_str(text: &str) -> Result<Self, GlobError> {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-.*?".contains(&byte);
        if text.is_empty() || text.len() > vigo_base::limits::ENVOY_NAME || !text.bytes().all(letter) {
            return Err(GlobError(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

fn fits(pattern: &[u8], name: &[u8]) -> bool {
    walk(pattern, name, |wanted, found| wanted == b'?' || wanted == found)
}

fn fits_pattern(pattern: &[u8], other: &[u8]) -> bool {
    walk(pattern, other, |wanted, found| wanted == found || (wanted == b'?' && found != b'*'))
}

/// One `*` at a time: what the last one took is lengthened when the rest does not fit, so the work is the product of the lengths at most.
fn walk(pattern: &[u8], name: &[u8], one: impl Fn(u8, u8) -> bool) -> bool {
    let (mut wanted, mut found) = (0, 0);
    let mut last_star = None;
    while let Some(letter) = name.get(found) {
        match pattern.get(wanted) {
            Some(b'*') => {
                last_star = Some((wanted, found));
                wanted += 1;
            }
            Some(own) if one(*own, *letter) => {
                wanted += 1;
                found += 1;
            }
            _ => {
                let Some((star, taken)) = last_star else { return false };
                last_star = Some((star, taken + 1));
                wanted = star + 1;
                found = taken + 1;
            }
        }
    }
    pattern.get(wanted..).unwrap_or_default().iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(text: &str) -> Glob {
        text.parse().unwrap()
    }

    #[test]
    fn a_star_is_any_run_and_a_question_mark_one_character() {
        for (pattern, name) in [
            ("*", "web-1.example.com"),
            ("prod-web-*.example.com", "prod-web-12.example.com"),
            ("WEB-?", "web-1"),
            ("*a*a*b", "aaaaab"),
        ] {
            assert!(glob(pattern).matches(name), "{pattern} {name}");
        }
        for (pattern, name) in [("web-?", "web-10"), ("web-*", "db-1"), ("*.com", "web.org"), ("web", "web1")]
        {
            assert!(!glob(pattern).matches(name), "{pattern} {name}");
        }
        let slow = format!("{}b", "a*".repeat(60));
        assert!(!glob(&slow).matches(&"a".repeat(250)));
    }

    #[test]
    fn covering_is_seen_and_never_invented() {
        for (wide, narrow) in [
            ("*", "web-*"),
            ("web-*", "web-1"),
            ("web-*", "web-*-db"),
            ("web-?", "web-1"),
            ("*", "*"),
            ("?*", "a*"),
        ] {
            assert!(glob(wide).covers(&glob(narrow)), "{wide} {narrow}");
        }
        for (wide, narrow) in [("web-1", "web-*"), ("web-?", "web-*"), ("web-*", "*"), ("a", "?")] {
            assert!(!glob(wide).covers(&glob(narrow)), "{wide} {narrow}");
        }
    }

    #[test]
    fn other_signs_are_refused() {
        for wrong in ["", "web_1", "a b", "[ab]", "a,b", &"a".repeat(254)] {
            assert!(wrong.parse::<Glob>().is_err(), "{wrong}");
        }
    }
}
