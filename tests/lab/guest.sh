#!/bin/sh
# The first process of the lab machine in its own root: makes an ordinary system of it, runs the job, and turns it off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /out
mount -t devpts devpts /dev/pts
for each in /dev/shm /run /tmp; do mount -t tmpfs -o mode=1777 tmp $each; done
chmod 755 /run
# Nothing of the host's own state: no lock, no session, no file system of it is this machine's.
mkdir -p /run/lock /run/udev /run/rpcbind /run/sendsigs.omit.d
rm -rf /var/lib/iscsi /etc/iscsi/nodes /etc/iscsi/send_targets /etc/mtab /etc/target
mkdir -p /etc/target
: >/etc/fstab
: >/etc/exports
ln -s /proc/self/mounts /etc/mtab
# Users that the packages' own scripts would have made.
for each in _rpc:4901 statd:4902; do
  grep -q "^${each%:*}:" /etc/passwd || echo "${each%:*}:x:${each#*:}:65534::/run/rpcbind:/usr/sbin/nologin" >>/etc/passwd
done
hostname lab
ip link set lo up
printf '127.0.0.1 localhost lab\n::1 localhost\n' >/etc/hosts
echo 'InitiatorName=iqn.2026-11.lab:initiator' >/etc/iscsi/initiatorname.iscsi
# By udev, each volume's coming and going is as long again: four programs. A test that wants that removes the file.
[ -z "$lab_out" ] || printf 'activation {\n\tudev_sync = 0\n\tudev_rules = 0\n}\n' >/etc/lvm/lvmlocal.conf
for module in configfs virtio_blk ext4 loop dm_mod dm_snapshot sd_mod iscsi_tcp nfsd nfs nfsv3 nfsv4 mptsas \
  target_core_mod target_core_file iscsi_target_mod tcm_loop; do
  modprobe -q $module
done
modprobe -q nbd nbds_max=2
mount -t configfs config /sys/kernel/config
mount -t nfsd nfsd /proc/fs/nfsd
mkdir -p /var/lib/nfs/rpc_pipefs && mount -t rpc_pipefs rpc /var/lib/nfs/rpc_pipefs
if [ -z "$lab_out" ]; then
  modprobe -q 9pnet_virtio
  mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 out /out || echo "lab: nowhere to write to"
fi
# A question that comes while udevd takes the connection has no sender, and is not answered: it is asked again.
await_udevd() { until udevadm control --ping --timeout=5 2>/dev/null; do :; done; }
# Should udevd end, then what was to be told it is lost: links are missing, and whoever waits for it waits for ever.
keep_udevd() {
  /lib/systemd/systemd-udevd
  while echo "lab: udevd has ended with $?"; do
    (
      await_udevd
      udevadm trigger --action=change --subsystem-match=block
      udevadm settle --timeout=30
      dmsetup udevcomplete_all --yes
    ) &
    /lib/systemd/systemd-udevd
  done
}
keep_udevd >/out/udevd.log 2>&1 &
await_udevd
udevadm trigger --action=add --subsystem-match=block
udevadm settle --timeout=60
echo "lab: ready after $(cut -d' ' -f1 /proc/uptime) s"
. /out/job
echo $? >/out/exit.new
mv /out/exit.new /out/exit
sync
echo "lab: done after $(cut -d' ' -f1 /proc/uptime) s"
busybox poweroff -f
