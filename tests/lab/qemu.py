"""The lab machine as an emulated computer: slow where KVM is of no use, but with adapters that the other has not."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.lab import initrd

PROGRAM = "qemu-system-x86_64"
PACKAGE = "qemu-system-x86"
MEMORY = 3072
PROBE_SECONDS = 30.0
WORDS = "console=ttyS0 panic=-1 quiet mitigations=off random.trust_cpu=on"
FIRST_WWN = 0x5000C500A0000000


def base_command(accelerator: str, kernel: Path, image: Path, words: str = WORDS) -> list[str]:
    """Return the command for a machine with a kernel and a console, and nothing else."""
    speed = ["-accel", "kvm", "-cpu", "host"]
    if accelerator == "tcg":
        speed = ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"]
    plain = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]
    boot = ["-kernel", str(kernel), "-initrd", str(image), "-append", words]
    return [PROGRAM, "-M", "q35", *speed, "-smp", "2", "-m", str(MEMORY), *plain, *boot]


def command(
    base: list[str], root: Path, out: Path, disks: Mapping[str, Path], adapter_disks: Mapping[str, Path]
) -> list[str]:
    """Return the command for a machine over the host's files, with disks of its own and some behind a SAS adapter."""
    argv = list(base)
    shares = (("host", Path("/"), ",readonly=on"), ("extra", root, ",readonly=on"), ("out", out, ""))
    for tag, path, more in shares:
        argv += ["-fsdev", f"local,id={tag},path={_escaped(path)},security_model=none,multidevs=remap{more}"]
        argv += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    argv += ["-device", "mptsas1068,id=hba"]
    for name, file in {**disks, **adapter_disks}.items():
        argv += ["-drive", f"if=none,id={name},file={_escaped(file)},format=raw,cache=unsafe,discard=unmap"]
        if name in disks:
            argv += ["-device", f"virtio-blk-pci,drive={name},serial={name}"]
        else:
            number = list(adapter_disks).index(name)
            wwn = f"wwn={FIRST_WWN + number * 16:#x}"
            argv += ["-device", f"scsi-hd,bus=hba.0,scsi-id={number},drive={name},serial={name},{wwn}"]
    return argv


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")


def places(disks: Mapping[str, Path]) -> dict[str, str]:
    """Return the device of each disk in there."""
    return {name: f"/dev/disk/by-id/virtio-{name}" for name in disks}


def accelerator(root: Path, version: str, kernel: Path) -> str:
    """Return kvm where a kernel gets to its first process with it, for the device alone says little; else tcg."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    with tempfile.NamedTemporaryFile(suffix=".initrd") as probe:
        probe.write(initrd.of_kernel(root, version, initrd.PROBE, ()))
        probe.flush()
        argv = base_command("kvm", kernel, Path(probe.name))
        try:
            done = subprocess.run(argv, capture_output=True, timeout=PROBE_SECONDS, stdin=subprocess.DEVNULL)
        except (subprocess.TimeoutExpired, FileNotFoundError):
            return "tcg"
    return "kvm" if b"lab-probe-ok" in done.stdout else "tcg"
