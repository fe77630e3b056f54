//! `traits.os`: which operating system, from os-release(5) and uname(2).

use crate::Class::Stable;
use crate::{Given, Known, Source, TraitError, known, text};
use vigo_wire::node::Node;

pub const KNOWN: [Known; 7] = [
    known("family", Stable, "`debian`, `redhat`, `suse`, `arch`, `alpine` ..., from ID and ID_LIKE"),
    known("distro", Stable, "ID of os-release: `ubuntu`, `rocky` ..."),
    known("version", Stable, "VERSION_ID of os-release"),
    known("codename", Stable, "VERSION_CODENAME of os-release"),
    known("name", Stable, "the name for people"),
    known("arch", Stable, "the machine as `uname -m` says it"),
    known("kernel", Stable, "the kernel's release as `uname -r` says it"),
];

/// Which family a distribution belongs to. What is not here is looked up by its ID_LIKE, then is a family of its own.
const FAMILIES: [(&str, &[&str]); 9] = [
    ("debian", &["debian", "ubuntu", "raspbian", "linuxmint", "kali", "pop", "devuan", "elementary"]),
    ("redhat", &["rhel", "fedora", "centos", "rocky", "almalinux", "ol", "amzn", "scientific", "redhat"]),
    ("suse", &["suse", "opensuse", "opensuse-leap", "opensuse-tumbleweed", "sles", "sle-micro", "sle_hpc"]),
    ("arch", &["arch", "archlinux", "manjaro", "endeavouros", "archarm"]),
    ("alpine", &["alpine", "postmarketos"]),
    ("gentoo", &["gentoo"]),
    ("nixos", &["nixos"]),
    ("void", &["void"]),
    ("slackware", &["slackware"]),
];

pub fn collect(source: &Source, _: &Given) -> Result<Vec<Node>, TraitError> {
    // os-release(5): the file in /etc wins over the one in /usr/lib.
    let release = match source.optional("/etc/os-release")? {
        Some(release) => Some(release),
        None => source.optional("/usr/lib/os-release")?,
    };
    let release = release.unwrap_or_default();
    let field = |name: &str| field(&release, name);
    let distro = field("ID").map(|id| id.to_ascii_lowercase());
    let family = match &distro {
        Some(id) => family(id, &field("ID_LIKE").unwrap_or_default()),
        None => std::env::consts::OS.to_owned(),
    };
    let kernel = rustix::system::uname();
    Ok(vec![
        text(Some(family)),
        text(distro),
        text(field("VERSION_ID")),
        text(field("VERSION_CODENAME").or_else(|| field("UBUNTU_CODENAME"))),
        text(field("PRETTY_NAME").or_else(|| field("NAME"))),
        text(Some(kernel.machine().to_string_lossy())),
        text(Some(kernel.release().to_string_lossy())),
    ])
}

fn family(id: &str, like: &str) -> String {
    let known = |id: &str| FAMILIES.iter().find(|(_, ids)| ids.contains(&id)).map(|(family, _)| *family);
    let found = known(id).or_else(|| like.split_ascii_whitespace().find_map(known));
    found.unwrap_or(id).to_owned()
}

/// A value of os-release(5): an assignment as in a shell, perhaps in quotes.
fn field(release: &str, name: &str) -> Option<String> {
    let value = release.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?.trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    let mut out = String::new();
    let mut letters = quoted.unwrap_or(value).chars();
    while let Some(letter) = letters.next() {
        out.push(if letter == '\\' { letters.next().unwrap_or('\\') } else { letter });
    }
    (!out.is_empty()).then_some(out)
}
