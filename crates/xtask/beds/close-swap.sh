#!/bin/bash
# One boot of the swap test, as root on a machine of its own. The root disk keeps its changes, so the stage is remembered there.
# Between the stages the machine is started anew. What is not as it should be is said as `WRONG: ...`, and the status is 1.
D=/dev/disk/by-id/virtio-SWAP
UUID=11111111-2222-3333-4444-555555555555
bad=0
stage=$(cat /var/lib/swap-stage 2>/dev/null || echo 0)
install -m755 vigo /usr/local/bin/vigo
for policy in off zram; do
  printf 'configcrate: swap\nresources:\n  - type: swap_policy\n    swap_policy: %s\n' $policy >$policy.vgo
done
sed 's/off/encrypted\n    erase: overwrite/' off.vgo >encrypted.vgo
sed 's/off/off\n    erase: discard/' off.vgo >discard.vgo

is() { [ "$2" = "$3" ] || { echo "WRONG: $1: \`$2\`, not \`$3\`"; bad=1; }; }
class() { vigo traits | sed -n 's/^ *"class": "\([a-z-]*\)".*/\1/p' | head -1; }
# fill DEVICE MEBIBYTE: pages as swap leaves them, and the count of those that are still there.
fill() { yes OLD-PAGE-OLD-PAGE | head -c 1000000 | dd of=$1 bs=1M seek=$2 conv=notrunc,fsync status=none; }
old_pages() { blockdev --flushbufs $D; dd if=$D bs=1M skip=100 count=1 status=none | grep -c OLD-PAGE-OLD-PAGE; }
show() { cat /proc/swaps; grep -v ext4 /etc/fstab; cat /etc/crypttab 2>/dev/null; dmsetup table; }
# twice POLICY CLASS: applied, applied again without a change, and the machine is what its trait says.
twice() {
  vigo apply $1.vgo -v; is "$1" $? 0
  vigo apply $1.vgo --detailed-exit-code; is "the second run of $1" $? 0
  is "the class after $1" "$(class)" $2
  show
}

echo "== stage $stage"
case $stage in
0)
  mkswap -q -U $UUID $D
  fill $D 100
  is "the control: old pages are found" "$([ "$(old_pages)" -gt 0 ] && echo yes)" yes
  echo "UUID=$UUID none swap sw,pri=5 0 0" >>/etc/fstab
  udevadm trigger --settle; systemctl daemon-reload; swapon -a
  is "the class before" "$(class)" plain
  cp /etc/fstab fstab.before; cp /proc/swaps swaps.before
  vigo apply --dry-run encrypted.vgo; is "a dry run" $? 3
  is "fstab after a dry run" "$(cat /etc/fstab)" "$(cat fstab.before)"
  is "swap after a dry run" "$(cat /proc/swaps)" "$(cat swaps.before)"
  twice encrypted encrypted-ephemeral
  is "the kind of the mapping" "$(dmsetup table vigo-swap0 | cut -d' ' -f3)" crypt
  is "old pages after overwriting" "$(old_pages)" 0 ;;
1)
  is "the class after a start" "$(class)" encrypted-ephemeral
  twice encrypted encrypted-ephemeral
  twice zram zram ;;
2)
  is "the class after a start" "$(class)" zram
  is "the unit" "$(systemctl is-active vigo-zram.service)" active
  twice zram zram
  twice off none ;;
3)
  is "the class after a start" "$(class)" none
  is "the line of before" "$(grep -c "^#vigo:swap# UUID=$UUID none swap sw,pri=5 0 0\$" /etc/fstab)" 1
  twice off none
  # A logical volume, as the kernel knows one: a mapping of that kind of name. It is no encrypted one.
  dmsetup create vg-swap --uuid LVM-bedbedbedbed --table "0 131072 linear $D 131072"; udevadm settle
  fill /dev/mapper/vg-swap 36; is "the control: old pages on a volume are found" "$([ "$(old_pages)" -gt 0 ] && echo yes)" yes
  mkswap -q /dev/mapper/vg-swap; swapon /dev/mapper/vg-swap
  is "the class of a logical volume" "$(class)" plain
  twice encrypted encrypted-ephemeral
  is "what crypttab names" "$(grep -c '^vigo-swap0 /dev/mapper/vg-swap /dev/urandom ' /etc/crypttab)" 1
  is "old pages on a volume" "$(old_pages)" 0
  twice off none
  is "what is left of the mapping" "$(dmsetup ls --target crypt | grep -vc "^No devices")" 0
  dmsetup remove vg-swap
  # A file.
  dd if=/dev/zero of=/swapfile bs=1M count=64 status=none; chmod 600 /swapfile; mkswap -q /swapfile
  echo "/swapfile none swap sw 0 0" >>/etc/fstab; swapon /swapfile
  is "the class of a file" "$(class)" plain
  twice encrypted encrypted-ephemeral ;;
4)
  is "the class after a start, over a file" "$(class)" encrypted-ephemeral
  is "the kind of its mapping" "$(dmsetup table vigo-swap0 | cut -d' ' -f3)" crypt
  twice encrypted encrypted-ephemeral
  twice off none
  rm /swapfile; sed -i '/swapfile/d' /etc/fstab
  # What goes by discard, where the device can.
  mkswap -q $D; fill $D 100; swapon $D
  is "the control: old pages are found" "$([ "$(old_pages)" -gt 0 ] && echo yes)" yes
  twice discard none
  is "old pages after discard" "$(old_pages)" 0
  # What a generator would make at the next start. The one of that name is not in this image: what counts is that it is there.
  printf '#!/bin/sh\n' >/usr/lib/systemd/system-generators/zram-generator; chmod 755 /usr/lib/systemd/system-generators/zram-generator
  printf '[zram0]\nzram-size = 64\n' >/etc/systemd/zram-generator.conf
  twice off none
  is "the lines of zram-generator" "$(grep -c '^#vigo:swap#' /etc/systemd/zram-generator.conf)" 2 ;;
5)
  is "the class after a start" "$(class)" none
  twice off none ;;
esac
is "failed units" "$(systemctl --failed --no-legend | wc -l)" 0
echo $((stage + 1)) >/var/lib/swap-stage
sync
exit $bad
