from __future__ import annotations

import threading

import pytest

from xapi.http_handlers.overlap import MOST, Overlap

PIECE = 1 << 20


def test_jobs_are_done_in_order_on_a_second_thread():
    threads: set[int] = set()

    def job(number, buffer):
        threads.add(threading.get_ident())
        buffer[0] = number
        return number

    done = []
    with Overlap[int]() as overlap:
        for number in range(100):
            if not overlap.has_room(PIECE):
                result, buffer = overlap.oldest()
                done.append((result, buffer[0]))
                overlap.give_back(buffer)
            overlap.begin(lambda buffer, number=number: job(number, buffer), overlap.buffer(PIECE))
        while len(overlap):
            result, buffer = overlap.oldest()
            done.append((result, buffer[0]))
    assert done == [(number, number) for number in range(100)]
    assert len(threads) == 1 and threading.get_ident() not in threads


@pytest.mark.parametrize("size", [PIECE, 100, 3 * PIECE // 2])
def test_buffers_in_use_have_a_limit_and_are_never_shared(size):
    under_way: list[int] = []
    most = 0

    def job(buffer):
        assert len(buffer) >= size
        under_way.remove(id(buffer))

    with Overlap[None]() as overlap:
        for _ in range(200):
            buffer = overlap.buffer(size)
            assert id(buffer) not in under_way
            under_way.append(id(buffer))
            most = max(most, len(under_way))
            overlap.begin(job, buffer)
        overlap.finish()
    assert not under_way and most * size <= MOST


def test_a_buffer_may_be_larger_than_the_limit_and_then_it_is_alone():
    with Overlap[int]() as overlap:
        overlap.begin(len, overlap.buffer(PIECE))
        overlap.begin(len, overlap.buffer(2 * MOST))
        assert len(overlap) == 1 and not overlap.has_room(3 * MOST)
        overlap.begin(len, overlap.buffer(PIECE))
        overlap.finish()


@pytest.mark.parametrize("how", ["buffer", "finish", "oldest"])
def test_what_a_job_raises_is_raised_on_the_first_thread(how):
    def job(buffer):
        raise OSError(28, "no room")

    with pytest.raises(OSError, match="no room"), Overlap[None]() as overlap:
        overlap.begin(job, overlap.buffer(MOST))
        if how == "buffer":
            overlap.buffer(PIECE)
        elif how == "finish":
            overlap.finish()
        else:
            overlap.oldest()


def test_leaving_waits_for_the_job_under_way_and_drops_the_others():
    begun, go_on = threading.Event(), threading.Event()
    done = []

    def first(buffer):
        begun.set()
        go_on.wait(10)
        done.append("first")

    with pytest.raises(KeyError), Overlap[None]() as overlap:
        overlap.begin(first, overlap.buffer(PIECE))
        for _ in range(3):
            overlap.begin(lambda buffer: done.append("another"), overlap.buffer(PIECE))
        assert begun.wait(10)
        threading.Timer(0.01, go_on.set).start()
        raise KeyError
    assert done == ["first"]
    assert not any(thread.name.startswith("transfer") for thread in threading.enumerate())
