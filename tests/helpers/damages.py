"""Damages of files as disks and broken transfers make them: a flipped bit, a lost block, a missing end."""

import random
from collections.abc import Iterator

BLOCK_BYTES = 256
DAMAGE_KINDS = ("bit", "block", "cut")


def iter_damages(data: bytes, count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield `count` damaged copies of a file and what was done to each, the kinds of damage in turn."""
    generator = random.Random(seed)
    for number in range(count):
        kind = DAMAGE_KINDS[number % len(DAMAGE_KINDS)]
        place = generator.randrange(len(data))
        damaged = bytearray(data)
        if kind == "bit":
            bit = generator.randrange(8)
            damaged[place] ^= 1 << bit
            description = f"bit {bit} of byte {place} flipped"
        elif kind == "block":
            size = len(damaged[place : place + BLOCK_BYTES])
            damaged[place : place + BLOCK_BYTES] = bytes(size)
            description = f"{size} zero bytes from {place}"
        else:
            del damaged[place:]
            description = f"cut to {place} bytes"
        if damaged != data:  # zeros may have been zeros
            yield description, bytes(damaged)
