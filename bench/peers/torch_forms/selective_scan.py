"""Mamba's selective scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from rows import Row
from torch_forms.common import chunks_of, compiled


def one_tile(u, delta, A, B, C, h):
    """Tokens of one tile: decays and inputs of all of them, the recurrence, the read-out."""
    step = F.softplus(delta)
    a = (step[:, :, None, :] * A.mT).exp()  # b t n d: long rows are quicker than rows of N
    x = (step * u)[:, :, None, :] * B[..., None]
    hs = []
    for a_t, x_t in zip(a.unbind(1), x.unbind(1)):
        h = torch.addcmul(x_t, a_t, h)
        hs.append(h)
    return (C[:, :, None, :] @ torch.stack(hs, 1))[:, :, 0], h


def tile_to_fuse(u, delta, A, B, C, h):
    """The same for a compiler that fuses loops: nothing is kept but the state."""
    step, At = F.softplus(delta), A.mT
    ys = []
    for t in range(u.shape[1]):
        s = step[:, t, None, :]
        h = (s * At).exp() * h + s * u[:, t, None, :] * B[:, t, :, None]
        ys.append((C[:, t, :, None] * h).sum(1))
    return torch.stack(ys, 1), h


def tiles(u, delta, A, B, C, D, z, tile, run_tile):
    h, y = u.new_zeros(len(u), A.shape[1], A.shape[0]), []
    for u_t, delta_t, B_t, C_t in zip(*(w.split(tile, 1) for w in (u, delta, B, C))):
        y_t, h = run_tile(u_t, delta_t, A, B_t, C_t, h)
        y.append(y_t)
    return (torch.cat(y, 1) + D * u) * F.silu(z), h.mT


def forms(row: Row) -> Iterator[tuple[str, Callable]]:
    for t in chunks_of(row, 16, 64, 256):
        yield f"tiles of {t}", partial(tiles, tile=t, run_tile=one_tile)
    yield "compiled tiles of 16", partial(tiles, tile=16, run_tile=compiled(one_tile))
    yield "compiled tiles of 8, fused", partial(tiles, tile=8, run_tile=compiled(tile_to_fuse))
