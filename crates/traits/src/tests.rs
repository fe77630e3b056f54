//! Collectors on machines made of files, and all of them on this one.

use crate::{
    COLLECTORS, Class, Collected, Given, Source, collect, known_paths, swap_posture, without_volatile,
};
use std::path::Path;
use tempfile::TempDir;
use vigo_base::{ProtectionLevel, SwapClass};
use vigo_wire::node::{Kind, Node};

fn given() -> Given {
    Given { level: ProtectionLevel::Weak, reasons: vec!["no landlock".into()] }
}

/// A machine of these files; a path that ends in `/` is a directory, ` -> ` makes a link.
fn machine(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let place = folder.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        match content.strip_prefix("-> ") {
            _ if path.ends_with('/') => std::fs::create_dir_all(&place).unwrap(),
            Some(target) => std::os::unix::fs::symlink(target, &place).unwrap(),
            None => std::fs::write(&place, content).unwrap(),
        }
    }
    folder
}

fn collect_on(files: &[(&str, &str)]) -> Collected {
    collect(&Source::below(machine(files).path()), &given())
}

fn at<'a>(collected: &'a Collected, path: &str) -> &'a Node {
    path.split('.')
        .try_fold(&collected.traits, |node, step| node.get(step))
        .unwrap_or_else(|| panic!("no {path}"))
}

fn text<'a>(collected: &'a Collected, path: &str) -> Option<&'a str> {
    match &at(collected, path).kind {
        Some(Kind::Literal(text)) => Some(text),
        None => None,
        other => panic!("{path}: {other:?}"),
    }
}

fn texts(node: &Node) -> Vec<String> {
    match &node.kind {
        Some(Kind::List(list)) => list
            .items
            .iter()
            .map(|item| format!("{:?}", item.kind).replace("Some(Literal(", "").replace("))", ""))
            .collect(),
        other => panic!("{other:?}"),
    }
}

const MEMORY: (&str, &str) =
    ("/proc/meminfo", "MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable:   1024 kB\n");
const PASSWD: (&str, &str) = (
    "/etc/passwd",
    "root:x:0:0::/root:/bin/sh\n# note\n+nis\nalice:x:1000:1000::/home/alice:/bin/sh\nbroken\nnobody:x:65534:65534::/:/bin/false\n",
);

#[test]
fn an_empty_machine_has_every_trait_that_it_can_and_names_what_failed() {
    let collected = collect_on(&[]);
    let failed: Vec<_> = collected.failures.iter().map(|(group, _)| *group).collect();
    assert_eq!(failed, ["memory", "swap", "users"]);
    assert!(
        collected.failures[0].1.starts_with("cannot read `/proc/meminfo`: "),
        "{}",
        collected.failures[0].1
    );
    assert_eq!(text(&collected, "os.distro"), None);
    assert_eq!(text(&collected, "network.ipv4"), None);
    assert_eq!(text(&collected, "time.timezone"), Some("UTC"));
    assert!(collected.traits.get("memory").is_none());
}

#[test]
fn every_known_path_exists_in_the_order_of_the_list() {
    let collected = collect_on(&[MEMORY, PASSWD, ("/proc/swaps", "Filename Type Size Used Priority\n")]);
    assert_eq!(collected.failures, []);
    let Some(Kind::Map(groups)) = &collected.traits.kind else { panic!() };
    let mut found = Vec::new();
    for group in &groups.entries {
        let Some(Kind::Map(map)) = &group.value.as_ref().unwrap().kind else { panic!() };
        found.extend(map.entries.iter().map(|entry| format!("{}.{}", group.name, entry.name)));
    }
    let known: Vec<String> = known_paths().map(|(path, _)| path).collect();
    assert_eq!(found, known);
    assert!(collected.traits.is_data());
    assert_eq!(COLLECTORS.len(), groups.entries.len());
}

#[test]
fn families_follow_the_id_then_what_it_is_like() {
    for (release, family, distro) in [
        ("ID=debian\nVERSION_ID=\"12\"\n", "debian", "debian"),
        ("ID=ubuntu\nID_LIKE=debian\n", "debian", "ubuntu"),
        ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "redhat", "rocky"),
        ("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", "suse", "opensuse-leap"),
        ("ID=alpine\n", "alpine", "alpine"),
        ("ID=cachyos\nID_LIKE=arch\n", "arch", "cachyos"),
        ("ID=newdistro\nID_LIKE='unknown debian'\n", "debian", "newdistro"),
        ("ID=mine\n", "mine", "mine"),
    ] {
        let collected = collect_on(&[("/etc/os-release", release)]);
        assert_eq!(text(&collected, "os.family"), Some(family), "{release}");
        assert_eq!(text(&collected, "os.distro"), Some(distro), "{release}");
    }
    let release =
        "NAME=X\nPRETTY_NAME=\"Debian \\\"x\\\"\"\nID=debian\nVERSION_CODENAME=bookworm\nVERSION_ID='12'";
    let collected = collect_on(&[("/usr/lib/os-release", release)]);
    assert_eq!(text(&collected, "os.name"), Some("Debian \"x\""));
    assert_eq!(text(&collected, "os.version"), Some("12"));
    assert_eq!(text(&collected, "os.codename"), Some("bookworm"));
}

#[test]
fn processors_and_containers_are_counted_and_named() {
    for (online, want) in [("0", 1), ("0-1", 2), ("0-3,8,10-11", 7)] {
        let collected = collect_on(&[("/sys/devices/system/cpu/online", online)]);
        assert_eq!(at(&collected, "hardware.cpu_count").kind, Some(Kind::Integer(want)), "{online}");
    }
    let info = "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu hypervisor sse\n";
    let collected = collect_on(&[("/proc/cpuinfo", info), ("/.dockerenv", "")]);
    assert_eq!(text(&collected, "hardware.cpu_model"), Some("Some CPU"));
    assert_eq!(at(&collected, "hardware.virtual").kind, Some(Kind::Boolean(true)));
    assert_eq!(text(&collected, "hardware.container"), Some("docker"));
    let collected = collect_on(&[("/proc/1/environ", "A=b\0container=lxc\0")]);
    assert_eq!(text(&collected, "hardware.container"), Some("lxc"));
    assert_eq!(text(&collect_on(&[]), "hardware.container"), None);
}

const NETWORK: &[(&str, &str)] = &[
    ("/proc/sys/kernel/hostname", "Web-1\n"),
    ("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 web-1.example.com web-1 # mine\n"),
    (
        "/proc/net/route",
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
         eth1\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
         eth0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n\
         eth1\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
    ),
    (
        "/proc/net/fib_trie",
        "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /8 link UNICAST\n     |-- 10.1.2.3\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.168.1.7\n        /32 host LOCAL\nLocal:\n     |-- 10.1.2.3\n        /32 host LOCAL\n     |-- 10.255.255.255\n        /32 link BROADCAST\n",
    ),
    (
        "/proc/net/if_inet6",
        "00000000000000000000000000000001 01 80 10 80       lo\nfe800000000000000000000000000001 02 40 20 80     eth1\n20010db8000000000000000000000007 02 40 00 80     eth1\n",
    ),
    ("/sys/class/net/lo/ifindex", "1\n"),
    ("/sys/class/net/eth0/ifindex", "3\n"),
    ("/sys/class/net/eth1/ifindex", "2\n"),
    ("/sys/class/net/eth1/address", "02:00:00:00:00:01\n"),
    ("/sys/class/net/eth1/mtu", "1500\n"),
    ("/sys/class/net/eth1/operstate", "up\n"),
    ("/sys/class/net/bonding_masters", "\n"),
];

#[test]
fn names_and_addresses_come_from_files() {
    // The table has the byte order of the machine that wrote it.
    if cfg!(target_endian = "big") {
        return;
    }
    let collected = collect_on(NETWORK);
    assert_eq!(text(&collected, "network.hostname"), Some("web-1"));
    assert_eq!(text(&collected, "network.fqdn"), Some("web-1.example.com"));
    assert_eq!(text(&collected, "network.domain"), Some("example.com"));
    assert_eq!(text(&collected, "network.ipv4"), Some("192.168.1.7"));
    assert_eq!(text(&collected, "network.ipv6"), Some("2001:db8::7"));
    assert_eq!(texts(at(&collected, "network.interfaces.eth0.ipv4")), ["\"10.1.2.3\""]);
    assert_eq!(texts(at(&collected, "network.interfaces.lo.ipv4")), ["\"127.0.0.1\""]);
    assert_eq!(at(&collected, "network.interfaces.eth1.mtu").kind, Some(Kind::Integer(1500)));
    assert_eq!(text(&collected, "network.interfaces.eth1.mac"), Some("02:00:00:00:00:01"));
    assert!(at(&collected, "network.interfaces").get("bonding_masters").is_none());
}

#[test]
fn a_name_without_a_domain_is_its_own_whole_name() {
    let collected = collect_on(&[
        ("/proc/sys/kernel/hostname", "host\n"),
        ("/etc/hosts", "1.2.3.4 other.example.com host\n"),
    ]);
    assert_eq!(text(&collected, "network.fqdn"), Some("host"));
    assert_eq!(text(&collected, "network.domain"), None);
}

/// A machine with one swap device and these files beside.
fn class_of(device: &str, kind: &str, files: &[(&str, &str)]) -> SwapClass {
    let table =
        format!("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n{device}   {kind}\t1024\t\t10\t\t-2\n");
    let mut all = vec![("/proc/swaps", table.as_str())];
    all.extend_from_slice(files);
    let folder = machine(&all);
    let posture = swap_posture(&Source::below(folder.path())).unwrap();
    assert_eq!(posture.devices.len(), 1);
    assert_eq!(posture.devices[0].total_bytes, 1 << 20);
    posture.class
}

#[test]
fn a_swap_device_is_resolved_to_what_it_stands_on() {
    let luks = ("/sys/block/dm-0/dm/uuid", "CRYPT-LUKS2-0123-cryptroot\n");
    let plain = ("/sys/block/dm-0/dm/uuid", "CRYPT-PLAIN-cryptswap\n");
    let name = ("/sys/block/dm-0/dm/name", "cryptswap\n");
    let random =
        ("/etc/crypttab", "# note\ncryptswap /dev/sda3 /dev/urandom swap,cipher=aes-xts-plain64,size=512\n");
    let kept = ("/etc/crypttab", "cryptswap /dev/sda3 /etc/keys/swap plain\n");
    let volume = ("/sys/block/dm-1/dm/uuid", "LVM-abc\n");
    let below = ("/sys/block/dm-1/slaves/dm-0/", "");
    let below_disk = ("/sys/block/dm-1/slaves/sda2/", "");
    let root = (
        "/proc/self/mountinfo",
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 254:0 / /var/my\\040swap rw shared:1 - ext4 /dev/mapper/cryptswap rw\n",
    );
    for (device, kind, files, want) in [
        ("/dev/sda2", "partition", vec![], SwapClass::Plain),
        ("/dev/zram0", "partition", vec![], SwapClass::Zram),
        ("/dev/zram0", "partition", vec![("/sys/block/zram0/backing_dev", "none\n")], SwapClass::Zram),
        ("/dev/zram0", "partition", vec![("/sys/block/zram0/backing_dev", "/dev/loop0\n")], SwapClass::Plain),
        ("/dev/dm-0", "partition", vec![luks, name], SwapClass::EncryptedPersistent),
        ("/dev/dm-0", "partition", vec![luks, name, random], SwapClass::EncryptedEphemeral),
        ("/dev/dm-0", "partition", vec![plain, name], SwapClass::EncryptedEphemeral),
        ("/dev/dm-0", "partition", vec![plain, name, kept], SwapClass::EncryptedPersistent),
        ("/dev/mapper/cryptswap", "partition", vec![plain, name, random], SwapClass::EncryptedEphemeral),
        ("/dev/mapper/unknown", "partition", vec![plain, name, random], SwapClass::Plain),
        ("/dev/dm-1", "partition", vec![volume], SwapClass::Plain),
        ("/dev/dm-1", "partition", vec![volume, below, luks], SwapClass::EncryptedPersistent),
        ("/dev/dm-1", "partition", vec![volume, below, luks, below_disk], SwapClass::Plain),
        ("/swapfile", "file", vec![], SwapClass::Plain),
        ("/swapfile", "file", vec![root, luks, name], SwapClass::Plain),
        ("/var/my\\040swap/file", "file", vec![root, luks, name], SwapClass::EncryptedPersistent),
        ("/var/my\\040swapfile", "file", vec![root, luks, name], SwapClass::Plain),
        (
            "/dev/loop0",
            "partition",
            vec![("/sys/block/loop0/loop/backing_file", "/var/my swap/f\n"), root, luks, name],
            SwapClass::EncryptedPersistent,
        ),
    ] {
        assert_eq!(class_of(device, kind, &files), want, "{device} {files:?}");
    }
}

#[test]
fn the_weakest_swap_device_decides() {
    let table =
        "Filename Type Size Used Priority\n/dev/zram0 partition 1024 0 100\n/dev/sda2 partition 2048 4 -2\n";
    let folder = machine(&[("/proc/swaps", table)]);
    let posture = swap_posture(&Source::below(folder.path())).unwrap();
    assert_eq!(posture.class, SwapClass::Plain);
    assert_eq!(posture.devices[1].used_bytes, 4096);
}

#[test]
fn a_kernel_without_swap_is_not_the_same_as_a_table_that_cannot_be_read() {
    let folder = machine(&[MEMORY]);
    assert_eq!(swap_posture(&Source::below(folder.path())).unwrap().class, SwapClass::None);
    assert!(swap_posture(&Source::below(machine(&[]).path())).is_err());
}

#[test]
fn what_comes_back_at_boot_and_what_hibernates_is_told() {
    let fstab = "# swap\nUUID=1 none swap sw 0 0\n/dev/sdb1 none swap noauto 0 0\n#/x none swap sw 0 0\n/dev/mapper/cryptswap none swap sw 0 0\n";
    let collected = collect_on(&[
        MEMORY,
        PASSWD,
        ("/etc/fstab", fstab),
        ("/etc/systemd/zram-generator.conf", "[zram0]\n"),
        ("/usr/lib/systemd/system-generators/zram-generator", ""),
        ("/sys/power/state", "freeze mem disk\n"),
        ("/sys/power/disk", "[platform] shutdown\n"),
        ("/proc/cmdline", "root=/dev/sda1 resume=UUID=1\n"),
        ("/sys/module/zswap/parameters/enabled", "Y\n"),
    ]);
    assert_eq!(
        texts(at(&collected, "swap.at_boot")),
        ["\"UUID=1\"", "\"/dev/mapper/cryptswap\"", "\"zram-generator\""]
    );
    assert_eq!(at(&collected, "swap.hibernation").kind, Some(Kind::Boolean(true)));
    assert_eq!(at(&collected, "swap.zswap").kind, Some(Kind::Boolean(true)));
    let collected = collect_on(&[
        MEMORY,
        ("/sys/power/state", "mem disk\n"),
        ("/sys/power/disk", "[disabled]\n"),
        ("/proc/cmdline", "resume=x\n"),
    ]);
    assert_eq!(at(&collected, "swap.hibernation").kind, Some(Kind::Boolean(false)));
}

#[test]
fn users_are_names_only() {
    let collected = collect_on(&[MEMORY, PASSWD]);
    assert_eq!(texts(at(&collected, "users.names")), ["\"root\"", "\"alice\"", "\"nobody\""]);
    assert_eq!(texts(at(&collected, "users.regular")), ["\"alice\""]);
    assert!(!format!("{:?}", collected.traits).contains("/home/alice"));
}

#[test]
fn zone_boot_and_memory_are_read() {
    let collected = collect_on(&[
        MEMORY,
        ("/etc/localtime", "-> ../usr/share/zoneinfo/Europe/Berlin"),
        ("/proc/stat", "cpu 1 2\nbtime 1700000000\n"),
        ("/proc/uptime", "123.45 1.0\n"),
    ]);
    assert_eq!(text(&collected, "time.timezone"), Some("Europe/Berlin"));
    assert_eq!(at(&collected, "time.boot_s").kind, Some(Kind::Integer(1_700_000_000)));
    assert_eq!(at(&collected, "time.uptime_s").kind, Some(Kind::Integer(123)));
    assert_eq!(at(&collected, "memory.total_bytes").kind, Some(Kind::Integer(2048 << 10)));
    assert_eq!(text(&collected, "protection.level"), Some("weak"));
}

#[test]
fn a_file_without_end_fails_its_collector_and_no_other() {
    let collected = collect_on(&[MEMORY, PASSWD, ("/etc/os-release", "-> /dev/zero")]);
    assert_eq!(collected.failures.len(), 1);
    assert_eq!(collected.failures[0].0, "os");
    assert!(collected.failures[0].1.contains("8 MiB"), "{}", collected.failures[0].1);
}

#[test]
fn what_changes_all_the_time_is_left_out_of_what_is_compared() {
    let collected = collect_on(&[MEMORY, PASSWD]);
    let lasting = without_volatile(&collected.traits);
    assert!(lasting.get("memory").unwrap().get("available_bytes").is_none());
    assert!(lasting.get("memory").unwrap().get("total_bytes").is_some());
    assert!(lasting.get("time").unwrap().get("now_s").is_none());
    assert!(known_paths().any(|(path, class)| path == "swap.used_bytes" && class == Class::Volatile));
}

#[test]
fn this_machine_tells_all_of_it() {
    let collected = collect(&Source::machine(), &given());
    assert_eq!(collected.failures, []);
    let Some(Kind::Integer(count)) = at(&collected, "hardware.cpu_count").kind else { panic!() };
    assert!(count >= 1);
    assert!(text(&collected, "os.arch").is_some() && text(&collected, "os.kernel").is_some());
    assert!(text(&collected, "network.hostname").is_some());
    assert!(Path::new("/proc").exists());
}
