//! Sizes as people write them.

/// Units, largest first: what `G` stands for is 1024 to the third.
const UNITS: [(char, u64); 4] = [('T', 1 << 40), ('G', 1 << 30), ('M', 1 << 20), ('K', 1 << 10)];

/// Bytes of `512M`, `2G`, `1.5G` or a plain number; an ending `iB` or `B` changes nothing. `None` for what is no size, or larger than a machine can have.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_suffix("iB").or_else(|| text.strip_suffix('B')).unwrap_or(text);
    let last = text.chars().last()?;
    let unit = UNITS.iter().find(|(letter, _)| *letter == last.to_ascii_uppercase());
    let (number, unit) = match unit {
        Some((_, unit)) => (text.get(..text.len() - 1)?, *unit),
        None => (text, 1),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    if part.len() > 6 || (unit == 1 && number.contains('.')) {
        return None;
    }
    let digits =
        |text: &str| (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(());
    digits(whole)?;
    digits(part)?;
    let scale = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
    let fraction = part.parse::<u64>().ok()?.checked_mul(unit)? / scale;
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(fraction).filter(|bytes| *bytes < 1 << 60)
}

/// A size for people: `812 MiB`.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    match bytes {
        0 => "0 MiB".to_owned(),
        1..0x10_0000 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        bytes if bytes % (1 << 30) == 0 => format!("{} GiB", bytes >> 30),
        bytes => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("4096", Some(4096)),
            ("512M", Some(512 << 20)),
            ("2G", Some(2 << 30)),
            ("2GiB", Some(2 << 30)),
            ("1.5g", Some(3 << 29)),
            ("", None),
            ("G", None),
            (".5G", None),
            ("1.5", None),
            ("-1G", None),
            ("1e3", None),
            ("99999999T", None),
            ("18446744073709551616", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
        assert_eq!(show_size(812 << 20), "812 MiB");
        assert_eq!(show_size(2 << 30), "2 GiB");
        assert_eq!(show_size(4000), "4 KiB");
    }
}
