"""The TPMs of VMs in an archive: their records are of an own form, which holds the content itself.

Whoever may export a VM thereby gets the keys in its TPM, as with the original: without them the copy would not start.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from xapi.datamodel.classes import VTPM, Secret
from xapi.datamodel.classes.vtpm import PersistenceBackend
from xapi.datamodel.errors import IMPORT_ERROR, IMPORT_ERROR_FAILED_TO_FIND_OBJECT
from xapi.db.database import Transaction
from xapi.http_handlers.xva.ova_xml import Description
from xapi.lifecycle.view import View
from xapi.rpc.values import xml_member, xml_text

FIELD: Final = "vTPM'_"
"""What the names of the fields begin with; the ending is the field's."""


@dataclass(frozen=True, slots=True)
class TpmRecord:
    """One TPM in an archive; `content` is base64 text."""

    vm: str
    uuid: str
    is_unique: bool
    is_protected: bool
    content: str


def render(view: View, tpm: VTPM, vm: str) -> bytes:
    """The record of a TPM as XML, with its VM under the name that it has in the archive."""
    secret = view.find(Secret, tpm.contents)
    texts = {
        "VM": _text(vm),
        "uuid": _text(tpm.uuid),
        "is_unique": _boolean(tpm.is_unique),
        "is_protected": _boolean(tpm.is_protected),
        "content": _text(secret.value if secret is not None else ""),
    }
    members = b"".join(xml_member(FIELD + name, value) for name, value in texts.items())
    return b"<value><struct>%b</struct></value>" % members


def _text(value: str) -> bytes:
    return f"<value>{xml_text(value)}</value>".encode()


def _boolean(value: bool) -> bytes:
    return b"<value><boolean>%d</boolean></value>" % value


def records(description: Description) -> list[TpmRecord]:
    """The TPMs of an archive; IMPORT_ERROR for a record that cannot be read."""
    found = []
    for one in description.of_class(VTPM.wire_name):
        values = {name.removeprefix(FIELD): value for name, value in one.snapshot.items()}
        vm, identity, content = values.get("VM"), values.get("uuid", ""), values.get("content", "")
        if not (isinstance(vm, str) and isinstance(identity, str) and isinstance(content, str)):
            raise IMPORT_ERROR(f"the TPM {one.id} cannot be read")
        try:
            base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError):
            raise IMPORT_ERROR(f"the content of the TPM {one.id} is not base64") from None
        unique, protected = values.get("is_unique") is True, values.get("is_protected") is True
        found.append(TpmRecord(vm, identity, unique, protected, content))
    return found


def check_identities(view: View, tpms: Iterable[TpmRecord], replaced: Collection[str]) -> None:
    """Refuse to restore a TPM that is here already, unless its VM is one that is replaced; IMPORT_ERROR."""
    wanted = {tpm.uuid for tpm in tpms}
    for row in view.all(VTPM):
        if row.uuid in wanted and row.VM not in replaced:
            raise IMPORT_ERROR(f"a TPM with the UUID {row.uuid} is here already")


def make(transaction: Transaction, tpms: Iterable[TpmRecord], vms: Mapping[str, str], known: Iterable[str]) -> None:
    """Give each VM that comes along its TPM, under a new UUID. `vms` are the new VMs by their names in the archive."""
    for tpm in tpms:
        if tpm.vm not in known:
            raise IMPORT_ERROR_FAILED_TO_FIND_OBJECT(tpm.vm)
        vm = vms.get(tpm.vm)
        if vm is None:
            continue
        if any(vm == row.VM for row in transaction.all(VTPM)):
            raise IMPORT_ERROR("a VM has two TPMs")
        transaction.create(
            VTPM,
            VM=vm,
            is_unique=tpm.is_unique,
            is_protected=tpm.is_protected,
            persistence_backend=PersistenceBackend.XAPI,
            contents=transaction.create(Secret, value=tpm.content),
        )


def take_identities(transaction: Transaction, tpms: Iterable[TpmRecord], vms: Mapping[str, str]) -> None:
    """Give restored TPMs their old UUIDs, once the VMs that they replace are gone."""
    for tpm in tpms:
        for row in transaction.all(VTPM):
            if vms.get(tpm.vm) == row.VM and _is_uuid(tpm.uuid):
                transaction.update(VTPM, row.ref, uuid=tpm.uuid)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
