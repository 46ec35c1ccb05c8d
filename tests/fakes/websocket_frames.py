"""Frames of a WebSocket as a client makes them, and as it takes them apart."""

from __future__ import annotations

MASK = b"\x12\x34\x56\x78"


def frame(
    opcode: int, data: bytes = b"", *, final: bool = True, masked: bool = True, reserved: int = 0, wide: int = 0
) -> bytes:
    size = len(data)
    kind = wide or (0 if size < 126 else 2 if size < 1 << 16 else 8)
    head = bytes((final << 7 | reserved << 4 | opcode, masked << 7 | {0: size, 2: 126, 8: 127}[kind]))
    head += size.to_bytes(kind) if kind else b""
    if not masked:
        return head + data
    return head + MASK + bytes(byte ^ MASK[place % 4] for place, byte in enumerate(data))


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """What the server sent: whole frames without a mask."""
    found = []
    while data:
        assert data[0] & 0x80 and not data[1] & 0x80
        size, place = data[1], 2
        if size >= 126:
            place = 4 if size == 126 else 10
            size = int.from_bytes(data[2:place])
        assert len(data) >= place + size
        found.append((data[0] & 15, data[place : place + size]))
        data = data[place + size :]
    return found
