"""Random draws that depend on a seed alone, wherever and in whatever order they are made."""

import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def mix_seed(*numbers: int) -> int:
    """Make one seed (63 bits) of several numbers; neighbouring numbers give unrelated seeds."""
    packed = struct.pack(f"<{len(numbers)}q", *numbers)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little") >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from a known state of torch's CPU generator; leave the caller's state as it was."""
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(state)
