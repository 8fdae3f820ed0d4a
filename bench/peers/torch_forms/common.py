"""Chunks that fit, and splitting into them."""

from __future__ import annotations

from functools import partial

import torch
from rows import Row

compiled = partial(torch.compile, dynamic=False)


def chunks_of(row: Row, *lengths: int) -> list[int]:
    return [c for c in lengths if c <= row.size["L"] and row.size["L"] % c == 0]


def split(y, chunk):
    """[B, L, H, *] to [chunks, B, H, chunk, *]: all chunks at once."""
    b, _, heads, size = y.shape
    return y.view(b, -1, chunk, heads, size).permute(1, 0, 3, 2, 4)


def joined(y):
    """split's inverse."""
    n, b, heads, chunk, size = y.shape
    return y.permute(1, 0, 3, 2, 4).reshape(b, n * chunk, heads, size)


def carried(decays, written):
    """The state after all chunks, and those before each."""
    s, states = torch.zeros_like(written[0]), []
    for decay, new in zip(decays, written):
        states.append(s)
        s = torch.addcmul(new, decay, s)
    return s, torch.stack(states)
