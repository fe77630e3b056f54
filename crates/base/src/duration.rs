//! Lengths of time as an operator writes them.

use std::time::Duration;

/// Reads `90s`, `5m`, `2h`, `1d`; a bare number counts seconds. The longest is a year.
///
/// # Errors
/// A text for the operator when it is none of these.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(split).unwrap_or((text, ""));
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => 0,
    };
    let count: u64 = digits.parse().unwrap_or(u64::MAX);
    match count.checked_mul(seconds) {
        Some(total) if seconds > 0 && total <= 366 * 86_400 => Ok(Duration::from_secs(total)),
        _ => Err("write a number with s, m, h or d, like `90s` or `5m`; a year at most".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_seconds_minutes_hours_and_days() {
        for (text, seconds) in [("5", 5), ("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86_400), ("0s", 0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "s", "5x", "-5s", "5 m", "99999999999999999999", "400d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
