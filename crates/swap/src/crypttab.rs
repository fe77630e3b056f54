//! crypttab(5) as text: which mappings are made at boot and whether their key is a new one each time. Every byte that is not ours stays.

use crate::lines::Lines;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CryptEntry {
    /// The name of the mapping.
    pub name: String,
    /// The device or file below it, as written.
    pub device: String,
    /// Where the key comes from.
    pub key: String,
    /// The options.
    pub options: Vec<String>,
    /// Which line of the file it is, from 0.
    pub number: usize,
}

impl CryptEntry {
    /// True if the key is made anew at each boot: from a random device, or by the option `swap`.
    #[must_use]
    pub fn is_ephemeral(&self) -> bool {
        let random = ["/dev/urandom", "/dev/random", "/dev/hw_random", "/dev/hwrng"];
        random.contains(&self.key.as_str()) || self.options.iter().any(|option| option == "swap")
    }

    /// True if its cipher does nothing.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.options.iter().any(|option| {
            option.strip_prefix("cipher=").is_some_and(|cipher| cipher.starts_with("cipher_null"))
        })
    }
}

/// The text of a crypttab.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crypttab {
    lines: Lines,
}

impl Crypttab {
    /// Any text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { lines: Lines::new(text) }
    }

    /// The text, with what was changed.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.text()
    }

    /// Its entries.
    #[must_use]
    pub fn entries(&self) -> Vec<CryptEntry> {
        let entry = |(number, line): (usize, &String)| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let name = fields.first().filter(|name| !name.starts_with('#'))?;
            let text = |at: usize| fields.get(at).map_or(String::new(), |field| (*field).to_owned());
            let options = text(3).split(',').map(str::to_owned).filter(|option| !option.is_empty()).collect();
            Some(CryptEntry { name: (*name).to_owned(), device: text(1), key: text(2), options, number })
        };
        self.lines.numbered().filter_map(entry).collect()
    }

    /// The entry of that name.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<CryptEntry> {
        self.entries().into_iter().find(|entry| entry.name == name)
    }

    /// Takes a line out. The numbers of the others stay.
    pub fn remove(&mut self, number: usize) {
        self.lines.remove(number);
    }

    /// Puts a line at the end.
    pub fn add(&mut self, line: &str) {
        self.lines.add(line);
    }

    /// A line that makes a mapping for swap with a new key at each boot. `size` is in bits: with XTS half of them encrypt and half of them tweak.
    #[must_use]
    pub fn line(name: &str, device: &str, bits: u32) -> String {
        format!("{name} {device} /dev/urandom swap,cipher=aes-xts-plain64,size={bits}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_by_their_key() {
        let text = "# note\n\na /dev/sda1 /dev/urandom swap,cipher=aes-xts-plain64,size=512\nb UUID=1 /etc/key plain\nc /dev/sda3 none luks\nd /dev/x /dev/urandom cipher=cipher_null-ecb\n";
        let table = Crypttab::new(text);
        let entries = table.entries();
        assert_eq!(
            entries.iter().map(|entry| entry.is_ephemeral()).collect::<Vec<_>>(),
            [true, false, false, true]
        );
        assert_eq!(entries.iter().filter(|entry| entry.is_null()).count(), 1);
        assert_eq!(table.entry("b").unwrap().device, "UUID=1");
        assert_eq!(table.text(), text);
    }

    #[test]
    fn a_line_of_ours_goes_without_a_trace() {
        let mut table = Crypttab::new("# note");
        table.add(&Crypttab::line("vigo-swap0", "/dev/disk/by-partuuid/1", 512));
        assert_eq!(
            table.text(),
            "# note\nvigo-swap0 /dev/disk/by-partuuid/1 /dev/urandom swap,cipher=aes-xts-plain64,size=512\n"
        );
        table.remove(1);
        assert_eq!(table.text(), "# note\n");
    }
}
