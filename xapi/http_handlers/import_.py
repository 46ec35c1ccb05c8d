"""The doors in for whole VMs: /import with the disks, /import_metadata without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from xapi.actions.storage_repositories import StorageRepositories
from xapi.datamodel.classes import SR, VDI, VM
from xapi.datamodel.errors import (
    DEFAULT_SR_NOT_FOUND,
    IMPORT_ERROR,
    IMPORT_ERROR_PREMATURE_EOF,
    IMPORT_ERROR_SOME_CHECKSUMS_FAILED,
    IMPORT_ERROR_UNEXPECTED_FILE,
    SR_OPERATION_NOT_SUPPORTED,
    UUID_INVALID,
)
from xapi.datamodel.types import RefType, SetType
from xapi.dispatch.context import Context
from xapi.http_handlers.admission import BINARY, Ending, flag, given, headers_for
from xapi.http_handlers.imported_objects import Import, Options
from xapi.http_handlers.raw_vdi import note_utilisation
from xapi.http_handlers.transfer import Progress, Source, Upload
from xapi.http_handlers.xva import legacy, ova_xml
from xapi.http_handlers.xva.archive import TarReader
from xapi.http_handlers.xva.compression import plain_source
from xapi.http_handlers.xva.disks import DiskStream, Incoming
from xapi.http_handlers.xva.errors import BadArchive, ChecksumMismatch, EndedEarly, UnexpectedMember
from xapi.http_handlers.xva.ova_xml import Description
from xapi.rpc.forms import XML
from xapi.rpc.http import Exchange
from xapi.rpc.http_message import Request
from xapi.storage.interface import DiskWriter

VMS: Final = SetType(RefType(VM))


@contextmanager
def archive_failures() -> Iterator[None]:
    """Let what is wrong with an archive leave the block as the failure that the contract has for it."""
    try:
        yield
    except EndedEarly as problem:
        raise IMPORT_ERROR_PREMATURE_EOF() from problem
    except ChecksumMismatch as problem:
        raise IMPORT_ERROR_SOME_CHECKSUMS_FAILED() from problem
    except UnexpectedMember as problem:
        raise IMPORT_ERROR_UNEXPECTED_FILE(problem.expected, problem.actual) from problem
    except BadArchive as problem:
        raise IMPORT_ERROR(str(problem)) from problem


def import_(ctx: Context, exchange: Exchange) -> Ending:
    """Make the VMs of an uploaded XVA, their disks on the SR that the client names, or on the pool's default one.

    A request without any body changes nothing: clients send it to learn where the upload has to go.
    """
    options = wanted_options(ctx, exchange.request)
    upload = Upload(exchange)
    if upload.empty or not upload.answer_early(headers_for(ctx, BINARY)):
        return Ending()
    return Ending(result=XML.value(VMS, receive_archive(ctx, upload, options)).decode())


def wanted_options(ctx: Context, request: Request) -> Options:
    """What the request asks of an import with disks."""
    sr = reachable_sr(ctx, sr_named(ctx, request))
    return Options(sr, restore=_restores(request), force=flag(request, "force"))


def receive_archive(ctx: Context, source: Source, options: Options) -> tuple[str, ...]:
    """Make the VMs of an archive that comes out of a source, with all their disks, or nothing at all."""
    with archive_failures(), ExitStack() as undo:
        tar = TarReader(plain_source(source))
        description = read_description(tar)
        importing = Import(ctx, description, options)
        importing.check()
        importing.make_disks(undo)
        importing.make(undo)
        _receive_disks(ctx, importing, description, tar, options)
        ctx.task.check()
        vms = importing.complete()
        undo.pop_all()
    return vms


def import_metadata(ctx: Context, exchange: Exchange) -> Ending:
    """Make the VMs of an uploaded tar on disks that are there already; a dry run only says whether it could be done."""
    request = exchange.request
    options = Options(restore=_restores(request), force=flag(request, "force"), dry_run=flag(request, "dry_run"))
    upload = Upload(exchange)
    if upload.empty or not upload.answer_early(headers_for(ctx, BINARY)):
        return Ending()
    with archive_failures(), ExitStack() as undo:
        importing = Import(ctx, read_description(TarReader(plain_source(upload))), options)
        importing.check()
        importing.find_disks()
        vms: tuple[str, ...] = ()
        if options.dry_run:
            importing.rehearse()
        else:
            importing.make(undo)
            vms = importing.complete()
        undo.pop_all()
    return Ending(result=XML.value(VMS, vms).decode())


def sr_named(ctx: Context, request: Request) -> SR:
    """The SR for the disks: `sr_id`, `sr_uuid`, else the pool's default; HANDLE_INVALID, DEFAULT_SR_NOT_FOUND."""
    names = given(request)
    if names.get("sr_id"):
        return ctx.db.get(SR, names["sr_id"])
    if names.get("sr_uuid"):
        row = ctx.db.by_uuid(SR, names["sr_uuid"])
        if row is None:
            raise UUID_INVALID(SR.wire_name, names["sr_uuid"])
        return row
    default = ctx.db.find(SR, ctx.pool.default_SR)
    if default is None:
        raise DEFAULT_SR_NOT_FOUND(ctx.pool.default_SR)
    return default


def reachable_sr(ctx: Context, sr: SR) -> str:
    """The SR's reference, if disks can be made on it from here."""
    if sr.content_type == "iso":
        raise SR_OPERATION_NOT_SUPPORTED(sr.ref)
    repositories: StorageRepositories = ctx.toolstack.part(StorageRepositories)
    repositories.get(ctx.db, sr.ref)
    return sr.ref


def _restores(request: Request) -> bool:
    return flag(request, "restore") or flag(request, "full_restore")


def read_description(tar: TarReader) -> Description:
    """Read the first file of an archive, which tells of all objects; of archives of the first release, too."""
    member = tar.next()
    if member is None:
        raise EndedEarly("the archive is empty")
    if member.name != ova_xml.NAME:
        raise UnexpectedMember(ova_xml.NAME, member.name)
    data = tar.read(ova_xml.LONGEST)
    return legacy.parse(data) if legacy.is_legacy(data) else ova_xml.parse(data)


def _receive_disks(ctx: Context, importing: Import, description: Description, tar: TarReader, options: Options) -> None:
    """Write the data of all disks, and give them back to the storage before the VMs are let go."""
    repositories: StorageRepositories = ctx.toolstack.part(StorageRepositories)
    records = importing.disks_with_data()
    with ExitStack() as stack:
        disks: dict[str, Incoming] = {}
        writers: list[DiskWriter] = []
        for record in records:
            handle, row = repositories.of_vdi(ctx.db, importing.names[record.id])
            writer = stack.enter_context(handle.open_for_writing(row.location))
            writers.append(writer)
            disks[record.id] = Incoming(writer, record.value("virtual_size"))
        progress = Progress(ctx, sum(disk.size for disk in disks.values()))
        if description.legacy:
            legacy.ChunkStream(tar, disks, progress.add).receive()
        else:
            verify = description.number("export_vsn") > 0
            DiskStream(tar, disks, progress.add, verify=verify, force=options.force).receive()
        for writer in writers:
            writer.flush()
    for record in records:
        note_utilisation(ctx, ctx.db.get(VDI, importing.names[record.id]))
