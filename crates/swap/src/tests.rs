//! Machines as folders of fixtures: what their devices are and what their next boot brings.

use crate::{BootSource, Files, boot_sources, class_of_device, class_of_file, closing_drop_in, hibernates};
use std::collections::BTreeMap;
use vigo_base::SwapClass;

/// A machine's files; a text that begins with `->` is a link.
struct Fixture(BTreeMap<&'static str, &'static str>);

impl Files for Fixture {
    fn text(&self, path: &str) -> Option<String> {
        self.0.get(path).filter(|text| !text.starts_with("->")).map(|text| (*text).to_owned())
    }

    fn names(&self, path: &str) -> Vec<String> {
        let below = self.0.keys().filter_map(|key| key.strip_prefix(path)?.strip_prefix('/'));
        let mut names: Vec<String> =
            below.filter_map(|rest| rest.split('/').next()).map(str::to_owned).collect();
        names.dedup();
        names
    }

    fn link(&self, path: &str) -> Option<String> {
        self.0.get(path)?.strip_prefix("-> ").map(str::to_owned)
    }

    fn exists(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }
}

fn fixture(files: &[(&'static str, &'static str)]) -> Fixture {
    Fixture(files.iter().copied().collect())
}

fn names(files: &[(&'static str, &'static str)]) -> Vec<String> {
    boot_sources(&fixture(files)).iter().map(|source| source.name().to_owned()).collect()
}

#[test]
fn a_partition_of_a_loop_device_is_what_the_file_below_stands_on() {
    let files = fixture(&[
        ("/sys/class/block/loop0p1", "-> ../../devices/virtual/block/loop0/loop0p1"),
        ("/sys/block/loop0/loop/backing_file", "/disk.img\n"),
        ("/proc/self/mountinfo", "1 0 254:0 / / rw - ext4 /dev/root rw\n"),
        ("/sys/dev/block/254:0", "-> ../../devices/virtual/block/dm-0"),
        ("/sys/block/dm-0/dm/uuid", "CRYPT-LUKS2-1-root\n"),
    ]);
    assert_eq!(class_of_device(&files, "/dev/loop0p1"), SwapClass::EncryptedPersistent);
    assert_eq!(class_of_file(&files, "/swapfile"), SwapClass::EncryptedPersistent);
    assert_eq!(class_of_device(&files, "/dev/loop1p1"), SwapClass::Plain);
}

#[test]
fn a_logical_volume_an_array_and_a_writing_zram_are_what_they_stand_on() {
    let files = fixture(&[
        ("/sys/block/dm-1/dm/uuid", "LVM-x\n"),
        ("/sys/block/dm-1/slaves/dm-0", "-> ../../dm-0"),
        ("/sys/block/dm-0/dm/uuid", "CRYPT-LUKS1-1-pv\n"),
        ("/sys/block/dm-2/dm/uuid", "LVM-y\n"),
        ("/sys/block/dm-2/slaves/sdb1", "-> ../../sdb1"),
        ("/sys/block/md0/slaves/dm-0", "-> ../../dm-0"),
        ("/sys/block/md1/slaves/dm-0", "-> ../../dm-0"),
        ("/sys/block/md1/slaves/sdb1", "-> ../../sdb1"),
        ("/sys/block/zram0/backing_dev", "/dev/dm-0\n"),
        ("/sys/block/zram1/backing_dev", "/dev/sdb1\n"),
    ]);
    for (device, class) in [
        ("/dev/dm-1", SwapClass::EncryptedPersistent),
        ("/dev/dm-2", SwapClass::Plain),
        ("/dev/md0", SwapClass::EncryptedPersistent),
        ("/dev/md1", SwapClass::Plain),
        ("/dev/zram0", SwapClass::EncryptedPersistent),
        ("/dev/zram1", SwapClass::Plain),
        ("/dev/zram2", SwapClass::Zram),
        ("/dev/sdb1", SwapClass::Plain),
    ] {
        assert_eq!(class_of_device(&files, device), class, "{device}");
    }
}

#[test]
fn a_mapping_whose_cipher_does_nothing_is_plain() {
    let files = fixture(&[
        ("/sys/block/dm-0/dm/uuid", "CRYPT-PLAIN-x\n"),
        ("/sys/block/dm-0/dm/name", "x\n"),
        ("/etc/crypttab", "x /dev/sda2 /dev/urandom swap,cipher=cipher_null-ecb\n"),
    ]);
    assert_eq!(class_of_device(&files, "/dev/mapper/x"), SwapClass::Plain);
}

#[test]
fn a_crypttab_that_may_not_be_read_is_no_proof_of_a_new_key() {
    let mapping = [("/sys/block/dm-0/dm/uuid", "CRYPT-PLAIN-x\n"), ("/sys/block/dm-0/dm/name", "x\n")];
    assert_eq!(class_of_device(&fixture(&mapping), "/dev/dm-0"), SwapClass::EncryptedEphemeral);
    let mut hidden = mapping.to_vec();
    hidden.push(("/etc/crypttab", "->"));
    assert_eq!(class_of_device(&fixture(&hidden), "/dev/dm-0"), SwapClass::EncryptedPersistent);
}

#[test]
fn units_generators_and_services_that_bring_swap_back_are_told() {
    assert_eq!(
        names(&[
            ("/etc/fstab", "/dev/sda2 none swap sw 0 0\n"),
            ("/etc/systemd/system/swap.target.wants/dev-sdb1.swap", "-> ../dev-sdb1.swap"),
            ("/etc/systemd/system/dev-sdb1.swap", "[Swap]\nWhat=/dev/sdb1\n"),
            ("/run/systemd/generator.late/dev-vda3.swap", "[Swap]\nWhat=/dev/vda3\n"),
            ("/run/systemd/generator.late/swap.target.wants/dev-vda3.swap", "-> ../dev-vda3.swap"),
            (
                "/etc/systemd/system/multi-user.target.wants/zramswap.service",
                "-> /lib/systemd/system/zramswap.service"
            ),
            ("/lib/systemd/system/zramswap.service", "[Service]\n"),
            ("/lib/systemd/system/dphys-swapfile.service", "[Service]\n"),
            ("/usr/lib/systemd/zram-generator.conf", "[zram0]\nzram-size = ram / 2\n"),
            ("/usr/lib/systemd/system-generators/zram-generator", ""),
        ]),
        ["/dev/sda2", "dev-sdb1.swap", "dev-vda3.swap", "zramswap.service", "zram-generator"]
    );
}

#[test]
fn what_is_masked_closed_or_not_installed_brings_nothing_back() {
    let closed: &'static str = closing_drop_in("dev-vda3.swap").leak();
    assert_eq!(
        names(&[
            ("/etc/fstab", "#vigo:swap# /dev/sda2 none swap sw 0 0\n/dev/sda3 none swap noauto 0 0\n"),
            ("/run/systemd/generator.late/dev-vda3.swap", "[Swap]\nWhat=/dev/vda3\n"),
            (closed, "[Unit]\nConditionPathExists=!/\n"),
            ("/etc/systemd/system/multi-user.target.wants/zramswap.service", "-> x"),
            ("/etc/systemd/system/zramswap.service", "-> /dev/null"),
            ("/etc/systemd/system/multi-user.target.wants/dphys-swapfile.service", "-> x"),
            ("/etc/systemd/zram-generator.conf", "-> /dev/null"),
            ("/usr/lib/systemd/zram-generator.conf", "[zram0]\n"),
            ("/usr/lib/systemd/system-generators/zram-generator", ""),
        ]),
        Vec::<String>::new()
    );
}

#[test]
fn a_generator_whose_pages_go_on_to_a_device_is_no_zram() {
    let sources = boot_sources(&fixture(&[
        ("/etc/systemd/zram-generator.conf", "[zram0]\nwriteback-device = /dev/sdb1\n"),
        ("/usr/lib/systemd/system-generators/zram-generator", ""),
    ]));
    assert_eq!(
        sources,
        [BootSource::ZramGenerator {
            path: "/etc/systemd/zram-generator.conf".into(),
            writes_to: "/dev/sdb1".into()
        }]
    );
    assert!(!sources[0].is_zram());
}

#[test]
fn hibernation_needs_a_kernel_that_can_and_a_place_to_write_to() {
    let able = [("/sys/power/state", "freeze mem disk\n"), ("/sys/power/disk", "[platform]\n")];
    let with = |more: (&'static str, &'static str)| {
        let mut files = able.to_vec();
        files.push(more);
        hibernates(&fixture(&files))
    };
    assert!(!hibernates(&fixture(&able)));
    assert!(with(("/proc/cmdline", "root=/dev/sda1 resume=UUID=1\n")));
    assert!(with(("/sys/power/resume", "8:2\n")));
    assert!(with(("/etc/initramfs-tools/conf.d/resume", "RESUME=UUID=1\n")));
    assert!(!with(("/etc/initramfs-tools/conf.d/resume", "RESUME=none\n")));
    assert!(!with(("/sys/power/resume", "0:0\n")));
    assert!(!hibernates(&fixture(&[("/sys/power/state", "mem\n"), ("/proc/cmdline", "resume=/dev/x\n")])));
}
