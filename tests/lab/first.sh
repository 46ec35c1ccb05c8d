#!/bin/sh
# The first process under user-mode Linux: puts a writable layer over the host's files, with the lab's own packages
# between, and goes on in there. The names of all files come as variables from the kernel's command line.
b=$lab_root/bin/busybox
$b mount -t proc proc /proc
$b mount -t tmpfs -o size=75% rw /tmp
$b mkdir /tmp/host /tmp/extra /tmp/upper /tmp/work /tmp/new
for module in $lab_modules; do $b insmod $module || echo "lab: $module does not load"; done
$b mount -t hostfs -o / host /tmp/host
$b mount -t hostfs -o $lab_root extra /tmp/extra
options=lowerdir=/tmp/extra:/tmp/host,upperdir=/tmp/upper,workdir=/tmp/work
$b mount -t overlay -o $options lab /tmp/new || $b poweroff -f
cd /tmp/new
$b mkdir -p out .before
$b mount -t hostfs -o $lab_out out /tmp/new/out
$b umount /proc
$b pivot_root . .before
exec chroot . /bin/sh $lab_guest </dev/null
