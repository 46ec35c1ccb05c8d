"""The doors out for whole VMs: /export with the disks, /export_metadata without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from xapi.actions.storage_repositories import StorageRepositories
from xapi.datamodel.classes import VM, Host
from xapi.datamodel.classes.vm import VmOperations
from xapi.datamodel.errors import INVALID_VALUE, OPERATION_NOT_ALLOWED, UUID_INVALID
from xapi.datamodel.model import Entity
from xapi.dispatch.context import Context
from xapi.dispatch.occupy import occupied
from xapi.http_handlers.admission import BINARY, Ending, flag, given, headers_for
from xapi.http_handlers.exported_objects import DEVICES, Selection, version_map
from xapi.http_handlers.transfer import Progress
from xapi.http_handlers.xva import ova_xml
from xapi.http_handlers.xva.archive import END, Buffer, TarWriter
from xapi.http_handlers.xva.compression import GZIP, ZSTD, compressor
from xapi.http_handlers.xva.disks import write_disk
from xapi.lifecycle.surroundings import is_domain_zero, is_true
from xapi.rpc.http import Exchange
from xapi.rpc.http_message import Request, Response
from xapi.storage.interface import DiskReader

METHODS: Final = {"true": GZIP, "gzip": GZIP, "zstd": ZSTD}
NEVER_EXPORTED: Final = "vgpu"
FILE: Final = ("Content-Disposition", 'attachment; filename="export.xva"')


def vm_named(ctx: Context, request: Request) -> VM:
    """The VM that a request is about, by `ref` or by `uuid`; UUID_INVALID or HANDLE_INVALID for one not there."""
    names = given(request)
    if "ref" in names:
        return ctx.db.get(VM, names["ref"])
    if not names.get("uuid"):
        raise INVALID_VALUE("uuid", "")
    row = ctx.db.by_uuid(VM, names["uuid"])
    if row is None:
        raise UUID_INVALID(VM.wire_name, names["uuid"])
    return row


def export(ctx: Context, exchange: Exchange) -> Ending:
    """Send a VM as an XVA, its disks included."""
    request = exchange.request
    vm = vm_named(ctx, request)
    method = METHODS.get(given(request).get("use_compression", "").lower(), "")
    power, parents = flag(request, "preserve_power_state"), flag(request, "include_vhd_parents")
    with occupied(ctx, VM, vm.ref, VmOperations.EXPORT), ExitStack() as stack:
        selection = Selection(ctx.db, [vm], power=power, parents=parents, excluded=excluded_devices(request))
        readers = [(name, stack.enter_context(_reader(ctx, vdi.ref))) for name, vdi in selection.disks()]
        description = selection.describe(version_map(ctx.db.get(Host, ctx.this_host)))
        squeezed = compressor(method, exchange.write)
        exchange.start(200, headers_for(ctx, BINARY, FILE))
        tar = TarWriter(squeezed.write)
        tar.add(ova_xml.NAME, description)
        progress = Progress(ctx, sum(reader.size for _, reader in readers))
        for name, reader in readers:
            write_disk(tar, name, reader, progress.add)
    return Ending(tail=squeezed.finish(END))


@contextmanager
def _reader(ctx: Context, vdi: str) -> Iterator[DiskReader]:
    repositories: StorageRepositories = ctx.toolstack.part(StorageRepositories)
    handle, row = repositories.of_vdi(ctx.db, vdi)
    with handle.open_for_reading(row.location) as reader:
        yield reader


# Without disks


def export_metadata(ctx: Context, exchange: Exchange) -> Ending:
    """Send what is known of one VM or of all, with their snapshots, as a tar without disks."""
    request = exchange.request
    vms = _all_vms(ctx, request) if flag(request, "all") else [_no_snapshot(vm_named(ctx, request))]
    with ExitStack() as stack:
        for vm in vms:
            stack.enter_context(occupied(ctx, VM, vm.ref, VmOperations.METADATA_EXPORT))
        selection = Selection(
            ctx.db,
            vms,
            snapshots=flag(request, "export_snapshots", default=True),
            power=True,
            parents=flag(request, "include_vhd_parents"),
            excluded=excluded_devices(request),
        )
        description = selection.describe(version_map(ctx.db.get(Host, ctx.this_host)))
    body: list[Buffer] = []
    TarWriter(body.append).add(ova_xml.NAME, description)
    return Ending(response=Response(200, (BINARY, FILE), [*body, END]))


def excluded_devices(request: Request) -> frozenset[type[Entity]]:
    """The classes in `excluded_device_types`, with commas between them, in any case; INVALID_VALUE for another word.

    Virtual GPUs are never exported, so leaving them out is always granted.
    """
    text = given(request).get("excluded_device_types", "")
    words = [word for word in (part.strip().lower() for part in text.split(",")) if word and word != NEVER_EXPORTED]
    if not DEVICES.keys() >= set(words):
        raise INVALID_VALUE("excluded_device_types", text)
    return frozenset(DEVICES[word] for word in words)


def _all_vms(ctx: Context, request: Request) -> list[VM]:
    """Every VM but the built-in templates, snapshots, which come with their VMs, and perhaps control domains."""
    with_control_domains = flag(request, "include_dom0", default=True)
    return [
        vm
        for vm in ctx.db.all(VM)
        if not vm.is_a_snapshot
        and not (vm.is_a_template and (vm.is_default_template or is_true(vm.other_config, "default_template")))
        and (with_control_domains or not is_domain_zero(ctx.db, vm))
    ]


def _no_snapshot(vm: VM) -> VM:
    if vm.is_a_snapshot:
        raise OPERATION_NOT_ALLOWED("Exporting metadata of a snapshot is not allowed")
    return vm
