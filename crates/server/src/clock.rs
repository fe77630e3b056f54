//! The time: seconds since 1970 in the store and on the wire, RFC 3339 towards people.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `seconds` since 1970 as RFC 3339 in UTC; empty for 0, which means never.
#[must_use]
pub fn rfc3339(seconds: u64) -> String {
    let stamp = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    match stamp {
        Some(stamp) if seconds != 0 => stamp.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_read_as_people_write_them_and_zero_is_never() {
        assert_eq!(super::rfc3339(86_400), "1970-01-02T00:00:00Z");
        assert_eq!(super::rfc3339(0), "");
        assert_eq!(super::rfc3339(u64::MAX), "");
    }
}
