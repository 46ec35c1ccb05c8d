"""The built-in templates, as data: what each guest needs at least, and what may be recommended for it.

Names, labels and amounts are those by which people and their scripts know the templates. Memory and disks are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

MIB, GIB = 1 << 20, 1 << 30

CATALOG_VERSION = 1
"""Grows when a template below changes: at the next start, records of an older catalogue are brought up to date."""

Platform = Mapping[str, str]

_EVERY_PLATFORM: Platform = MappingProxyType({"nx": "true", "acpi": "1", "apic": "true", "pae": "true", "hpet": "true"})
_BIOS_MODEL: Platform = MappingProxyType({"device-model": "qemu-upstream-compat"})
_LINUX_PLATFORM: Platform = MappingProxyType(
    {**_EVERY_PLATFORM, "vga": "std", "videoram": "8", "viridian": "false", "device_id": "0001"}
)
_WINDOWS_PLATFORM: Platform = MappingProxyType(
    {
        **_EVERY_PLATFORM,
        "vga": "std",
        "videoram": "8",
        "cores-per-socket": "2",
        "device_id": "0002",
        "viridian": "true",
        "viridian_time_ref_count": "true",
        "viridian_reference_tsc": "true",
        "viridian_hcall_remote_tlb_flush": "true",
        "viridian_apic_assist": "true",
        "viridian_crash_ctl": "true",
        "viridian_stimer": "true",
        "secureboot": "auto",
    }
)


@dataclass(frozen=True, slots=True)
class Template:
    """One built-in template. A guest starts with twice `memory_min`; `disk` 0 provisions none.

    `distro` is the way in which installers of a family are driven: debianlike, rhlike or sleslike.
    """

    label: str
    name: str
    about: str
    memory_min: int
    disk: int
    platform: Platform
    boot: Mapping[str, str]
    install_methods: str
    memory_max: int = 1536 * GIB
    vcpus: int = 1
    vcpus_min: int = 0
    vcpus_max: int = 64
    disk_bootable: bool = True
    distro: str = ""
    linux: bool = False
    vendor_device: bool = False
    gpu: bool = True
    sriov: bool = True
    supports_bios: bool = True
    supports_uefi: bool = False
    supports_secure_boot: bool = False


def _linux(
    label: str, name: str, distro: str, *, memory: int = GIB, disk: int = 10 * GIB, uefi: bool = True, vcpus: int = 1
) -> Template:
    return Template(
        label=label,
        name=name,
        about=f"Installs {name} from a CD image or from a repository on the network (other_config:install-repository).",
        memory_min=memory,
        disk=disk,
        platform={**_LINUX_PLATFORM, **({"secureboot": "auto"} if uefi else _BIOS_MODEL)},
        boot={"order": "cdn", "firmware": "uefi" if uefi else "bios"},
        install_methods="cdrom,nfs,http,ftp",
        vcpus=vcpus,
        distro=distro,
        linux=True,
        supports_uefi=uefi,
        supports_secure_boot=uefi,
    )


def _windows(
    label: str,
    name: str,
    *,
    memory: int,
    disk: int,
    platform: Platform = MappingProxyType({}),
    uefi_only: bool = False,
    sriov: bool = False,
) -> Template:
    return Template(
        label=label,
        name=name,
        about=f"Installs {name} from a CD image, with the virtual hardware that it runs best on.",
        memory_min=memory,
        disk=disk,
        disk_bootable=False,
        platform={**_WINDOWS_PLATFORM, **platform},
        boot={"order": "cd", "firmware": "uefi"},
        install_methods="cdrom",
        vcpus=2,
        vcpus_min=2,
        vendor_device=True,
        sriov=sriov,
        supports_bios=not uefi_only,
        supports_uefi=True,
        supports_secure_boot=True,
    )


def _red_hat_family() -> tuple[Template, ...]:
    members = (
        ("rhel-7", "Red Hat Enterprise Linux 7", False),
        ("rhel-8", "Red Hat Enterprise Linux 8", True),
        ("rhel-9", "Red Hat Enterprise Linux 9", True),
        ("rhel-10", "Red Hat Enterprise Linux 10", True),
        ("centos-7", "CentOS 7", False),
        ("centos-8", "CentOS 8", True),
        ("centos-9", "CentOS Stream 9", True),
        ("centos-10", "CentOS Stream 10", True),
        ("rocky-8", "Rocky Linux 8", True),
        ("rocky-9", "Rocky Linux 9", True),
        ("rocky-10", "Rocky Linux 10", True),
        ("alma-8", "AlmaLinux 8", True),
        ("alma-9", "AlmaLinux 9", True),
        ("alma-10", "AlmaLinux 10", True),
        ("oel-7", "Oracle Linux 7", False),
        ("oel-8", "Oracle Linux 8", True),
        ("oel-9", "Oracle Linux 9", True),
        ("oel-10", "Oracle Linux 10", True),
    )
    return tuple(
        _linux(label, name, "rhlike", memory=2 * GIB, uefi=uefi, vcpus=2 if label in ("oel-8", "oel-9") else 1)
        for label, name, uefi in members
    )


_NO_BOOT_DISK = Template(
    label="other-install-media",
    name="Other install media",
    about="Starts from any medium, for guests that no other template is made for.",
    memory_min=128 * MIB,
    memory_max=128 * GIB,
    disk=0,
    platform={**_EVERY_PLATFORM, **_BIOS_MODEL, "viridian": "true"},
    boot={"order": "dc", "firmware": "bios"},
    install_methods="cdrom",
    vcpus_max=32,
    gpu=False,
    sriov=False,
    supports_uefi=True,
)

TEMPLATES: tuple[Template, ...] = (
    _linux("debian-10", "Debian Buster 10", "debianlike", uefi=False),
    _linux("debian-11", "Debian Bullseye 11", "debianlike"),
    _linux("debian-12", "Debian Bookworm 12", "debianlike"),
    _linux("debian-13", "Debian Trixie 13", "debianlike"),
    _linux("ubuntu-18.04", "Ubuntu Bionic Beaver 18.04", "debianlike", uefi=False),
    _linux("ubuntu-20.04", "Ubuntu Focal Fossa 20.04", "debianlike"),
    _linux("ubuntu-22.04", "Ubuntu Jammy Jellyfish 22.04", "debianlike"),
    _linux("ubuntu-24.04", "Ubuntu Noble Numbat 24.04", "debianlike"),
    *_red_hat_family(),
    _linux("sle-12-64bit", "SUSE Linux Enterprise Server 12 (64-bit)", "sleslike", disk=8 * GIB, uefi=False),
    _linux("sle-15-64bit", "SUSE Linux Enterprise 15 (64-bit)", "sleslike", disk=8 * GIB),
    _linux("coreos", "CoreOS", "", disk=8 * GIB, uefi=False),
    _linux("gooroom-2", "Gooroom Platform 2.0", "debianlike", uefi=False),
    _windows(
        "windows-10-64bit",
        "Windows 10 (64-bit)",
        memory=2 * GIB,
        disk=32 * GIB,
        platform={"acpi_laptop_slate": "1"},
    ),
    _windows(
        "windows-11",
        "Windows 11",
        memory=4 * GIB,
        disk=64 * GIB,
        platform={"acpi_laptop_slate": "1", "vtpm": "true", "secureboot": "true"},
        uefi_only=True,
    ),
    _windows("windows-server-2016-64bit", "Windows Server 2016 (64-bit)", memory=GIB, disk=32 * GIB, sriov=True),
    _windows("windows-server-2019-64bit", "Windows Server 2019 (64-bit)", memory=GIB, disk=32 * GIB, sriov=True),
    _windows("windows-server-2022-64bit", "Windows Server 2022 (64-bit)", memory=GIB, disk=32 * GIB, sriov=True),
    _windows("windows-server-2025-64bit", "Windows Server 2025 (64-bit)", memory=2 * GIB, disk=32 * GIB, sriov=True),
    _NO_BOOT_DISK,
)
