"""The operands of gatescan_bench_cuda (bench/cuda/numbers.hpp), made again from their recipes."""

from __future__ import annotations

GOLDEN, MIX, LAST = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def even(seed: int, i: int) -> float:
    """Number i of a seed, in [0, 1)."""
    mask = (1 << 64) - 1
    h = ((i + 1) * GOLDEN + seed * MIX) & mask
    h ^= h >> 32
    return ((h * LAST & mask) >> 40) * 2.0**-24


def signed(x: int) -> int:
    """The same 64 bits as a signed number: torch has no other."""
    x &= (1 << 64) - 1
    return x - (1 << 64) if x >> 63 else x


def tensor(recipe: dict, dtype, device, step: int = 1 << 26):
    """The operand of a recipe {shape, seed, low, high}, made `step` numbers at a time."""
    import torch

    shape = recipe["shape"]
    count = 1
    for n in shape:
        count *= n
    out = torch.empty(count, dtype=dtype, device=device)
    low = torch.tensor(recipe["low"], dtype=torch.float32, device=device)
    span = torch.tensor(recipe["high"], dtype=torch.float32, device=device) - low
    for first in range(0, count, step):
        last = min(first + step, count)
        h = torch.arange(first + 1, last + 1, dtype=torch.int64, device=device)
        h = h * signed(GOLDEN) + signed(recipe["seed"] * MIX)
        h ^= (h >> 32) & 0xFFFFFFFF
        h *= signed(LAST)
        part = ((h >> 40) & 0xFFFFFF).to(torch.float32) * 2.0**-24
        out[first:last] = (low + span * part).to(dtype)
    return out.view(shape)
