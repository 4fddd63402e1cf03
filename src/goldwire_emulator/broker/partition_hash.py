"""Which partition of an Event Hub a key belongs to, computed as the service computes it.

The hash is Bob Jenkins' lookup3 (`hashlittle2`, public domain, https://burtleburtle.net/bob/c/lookup3.c) over the key's UTF-8
bytes, both halves joined by exclusive or and cut to 16 signed bits. Microsoft's .NET client calls its copy "a direct port of
the Event Hubs service code"; its division truncates towards zero, as in C. The buffered producer of the Python SDK
(azure-eventhub 5.15) computes the same hash of an ASCII key but divides as Python does, so that it picks another partition
than the service for many keys with a negative hash, and it hashes code points instead of bytes.
"""

from __future__ import annotations

import struct

_MASK = 0xFFFFFFFF
_MIX_ROTATIONS = (4, 6, 8, 16, 19, 4)
_FINAL_ROTATIONS = (14, 11, 25, 16, 4, 14, 24)
_BLOCK_BYTES = 12


def key_hash(partition_key: str) -> int:
    """The service's hash of a partition key, from -32768 to 32767."""
    high, low = _lookup3(partition_key.encode())
    code = (high ^ low) & 0xFFFF
    return code - 0x10000 if code & 0x8000 else code


def partition_of(partition_key: str, partition_count: int) -> int:
    """The index of the partition that the service takes for a key."""
    code = key_hash(partition_key)
    return abs(code) % partition_count  # the absolute value of C's remainder


def _rotate(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & _MASK


def _lookup3(data: bytes) -> tuple[int, int]:
    """The two 32-bit results of `hashlittle2` with both seeds zero."""
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    if not data:
        return c, b
    position = 0
    while len(data) - position > _BLOCK_BYTES:
        words = struct.unpack_from("<III", data, position)
        a, b, c = _mix((a + words[0]) & _MASK, (b + words[1]) & _MASK, (c + words[2]) & _MASK)
        position += _BLOCK_BYTES
    words = struct.unpack("<III", data[position:].ljust(_BLOCK_BYTES, b"\0"))
    return _finish((a + words[0]) & _MASK, (b + words[1]) & _MASK, (c + words[2]) & _MASK)


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in _MIX_ROTATIONS:
        a = (a - c) & _MASK ^ _rotate(c, bits)
        c = (c + b) & _MASK
        a, b, c = b, c, a
    return a, b, c


def _finish(a: int, b: int, c: int) -> tuple[int, int]:
    for bits in _FINAL_ROTATIONS:
        c = ((c ^ b) - _rotate(b, bits)) & _MASK
        a, b, c = b, c, a
    # Seven steps turn the three words round once more than a whole number of turns.
    return b, a
