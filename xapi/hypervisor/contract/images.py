"""Checks of a guest that is saved, restored or sent away."""

from __future__ import annotations

import io

from xapi.hypervisor.contract.bench import Bench, contract_check, refusal, running, stopped
from xapi.hypervisor.interface import Feature, ImageDamaged, Power, ShutdownReason, WrongPower


@contract_check(Feature.SUSPEND)
def a_guest_is_saved_and_restored(bench: Bench) -> None:
    """It goes on where it was, under a new domid, without booting again."""
    state, image = running(bench, 1), bench.directory / "image"
    assert stopped(bench, state.uuid, ShutdownReason.SUSPEND) is ShutdownReason.SUSPEND
    assert bench.driver.domains.get(state.uuid).power is Power.SUSPENDED
    assert bench.driver.suspending.save(state.uuid, image) > 0
    bench.driver.domains.destroy(state.uuid)
    restored = bench.driver.suspending.restore(bench.config(1), image)
    assert restored.power is Power.PAUSED
    assert restored.domid > state.domid
    bench.driver.domains.unpause(state.uuid)
    bench.settle(lambda: bench.driver.domains.get(state.uuid).agent is not None)
    assert bench.driver.domains.get(state.uuid).vcpus_online == state.vcpus_online


@contract_check(Feature.SUSPEND)
def a_suspended_guest_goes_on_in_place(bench: Bench) -> None:
    """The domid stays; a running guest cannot be saved."""
    state, image = running(bench, 1), bench.directory / "image"
    refusal(WrongPower, lambda: bench.driver.suspending.save(state.uuid, image))
    refusal(WrongPower, lambda: bench.driver.suspending.resume_in_place(state.uuid))
    stopped(bench, state.uuid, ShutdownReason.SUSPEND)
    bench.driver.suspending.resume_in_place(state.uuid)
    after = bench.driver.domains.get(state.uuid)
    assert (after.power, after.domid, after.shutdown_reason) == (Power.RUNNING, state.domid, None)


@contract_check(Feature.SUSPEND)
def a_damaged_image_is_refused(bench: Bench) -> None:
    """Empty, missing, torn and foreign ones; nothing is built."""
    state, image = running(bench, 1), bench.directory / "image"
    stopped(bench, state.uuid, ShutdownReason.SUSPEND)
    bench.driver.suspending.save(state.uuid, image)
    bench.driver.domains.destroy(state.uuid)
    whole, wrong = image.read_bytes(), bench.directory / "wrong"
    refusal(ImageDamaged, lambda: bench.driver.suspending.restore(bench.config(1), wrong))
    for data in (b"", whole[: len(whole) // 2], b"x" * len(whole)):
        wrong.write_bytes(data)
        refusal(ImageDamaged, lambda: bench.driver.suspending.restore(bench.config(1), wrong))
    assert bench.driver.domains.list() == ()


@contract_check(Feature.MIGRATE)
def a_guest_migrates_through_a_stream(bench: Bench) -> None:
    """The sender's domain ends suspended; the receiver's begins paused and goes on; the stream is read to its end."""
    state, stream = running(bench, 1), io.BytesIO()
    bench.driver.migrating.send(state.uuid, stream)
    assert bench.driver.domains.get(state.uuid).power is Power.SUSPENDED
    bench.driver.domains.destroy(state.uuid)
    stream.write(b"next")
    stream.seek(0)
    assert bench.driver.migrating.receive(bench.config(1), stream).power is Power.PAUSED
    assert stream.read() == b"next"
    bench.driver.domains.unpause(state.uuid)
    bench.settle(lambda: bench.driver.domains.get(state.uuid).agent is not None)
