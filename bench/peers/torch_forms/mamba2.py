"""Mamba-2: a token loop, and the chunks of SSD (listing 1 of its paper)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from rows import FORWARD, Row
from torch_forms.common import carried, chunks_of, compiled, joined, split


def loop(x, dt, A, B, C, D, z):
    step = F.softplus(dt)
    a, v = (step * A).exp(), step[..., None] * x
    s, out = torch.zeros_like(B[:, 0, :, :, None] * v[:, 0, :, None, :]), []
    for a_t, v_t, B_t, C_t in zip(*(y.unbind(1) for y in (a, v, B, C))):
        s = torch.addcmul(a_t[..., None, None] * s, B_t[..., None], v_t[..., None, :])
        out.append((C_t[..., None, :] @ s)[..., 0, :])
    return (torch.stack(out, 1) + D * x) * F.silu(z), s


def inside(x, dt, A, B, C, chunk):
    """All that needs no state, of all chunks."""
    step = F.softplus(dt)
    v, B, C, g = (split(y, chunk) for y in (step[..., None] * x, B, C, (step * A)[..., None]))
    g = g.cumsum(-2)
    last = g[..., -1:, :]
    pairs = (g - g.mT).tril().exp().tril()
    written = B.mT @ (v * (last - g).exp())
    return ((C @ B.mT) * pairs) @ v, C, g.exp(), last.exp(), written


def chunks(x, dt, A, B, C, D, z, chunk, run_inside=inside):
    out, C, gates, decays, written = run_inside(x, dt, A, B, C, chunk)
    s, states = carried(decays, written)
    return (joined(out + (C @ states) * gates) + D * x) * F.silu(z), s


def forms(row: Row) -> Iterator[tuple[str, Callable]]:
    if row.kind == FORWARD:  # its gradients keep every state
        yield "token loop", loop
    for c in chunks_of(row, 32, 64, 128, 256):
        yield f"chunks of {c}", partial(chunks, chunk=c)
    yield "chunks of 64, compiled inside", partial(chunks, chunk=64, run_inside=compiled(inside))
