"""Elementwise recurrences, h_t = a_t h_{t-1} + x_t, real and complex."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from rows import Row
from torch_forms.common import chunks_of, compiled


def loop(a, x):
    h, hs = torch.zeros_like(x[:, 0]), []
    for a_t, x_t in zip(a.unbind(1), x.unbind(1)):
        h = torch.addcmul(x_t, a_t, h)
        hs.append(h)
    return torch.stack(hs, 1), h


def chunks(a, x, chunk):
    """All chunks at once, token by token; then the carries from chunk to chunk."""
    b, length, d = x.shape
    a, x = a.view(b, -1, chunk, d).unbind(2), x.view(b, -1, chunk, d).unbind(2)
    h, p = x[0], a[0]
    hs, ps = [h], [p]
    for a_t, x_t in zip(a[1:], x[1:]):
        h, p = torch.addcmul(x_t, a_t, h), a_t * p
        hs.append(h)
        ps.append(p)
    carry, carries = torch.zeros_like(h[:, 0]), []
    for h_c, p_c in zip(h.unbind(1), p.unbind(1)):
        carries.append(carry)
        carry = torch.addcmul(h_c, p_c, carry)
    carries = torch.stack(carries, 1)
    out = torch.stack([torch.addcmul(h, p, carries) for h, p in zip(hs, ps)], 2)
    return out.view(b, length, d), carry


def tiles(a, x, tile, run_tile):
    h, out = torch.zeros_like(x[:, 0]), []
    for a_tile, x_tile in zip(a.split(tile, 1), x.split(tile, 1)):
        out_tile, h = run_tile(a_tile, x_tile, h)
        out.append(out_tile)
    return torch.cat(out, 1), h


def one_tile(a, x, h):
    hs = []
    for t in range(a.shape[1]):
        h = a[:, t] * h + x[:, t]
        hs.append(h)
    return torch.stack(hs, 1), h


def complex_planes(a, x, chunk):
    """chunks with real and imaginary parts apart: complex products are slow."""
    b, length, d = x.shape

    def planes(y):
        return [part.contiguous().view(b, -1, chunk, d).unbind(2) for part in (y.real, y.imag)]

    def multiply(a, h):
        return (torch.addcmul(a[0] * h[0], a[1], h[1], value=-1),
                torch.addcmul(a[0] * h[1], a[1], h[0]))

    def step(x, a, h):
        return tuple(x_part + part for x_part, part in zip(x, multiply(a, h)))

    tokens = list(zip(zip(*planes(a)), zip(*planes(x))))
    p, h = tokens[0]
    hs, ps = [h], [p]
    for a_t, x_t in tokens[1:]:
        h, p = step(x_t, a_t, h), multiply(a_t, p)
        hs.append(h)
        ps.append(p)
    carry, carries = (torch.zeros_like(h[0][:, 0]),) * 2, []
    for c in range(length // chunk):
        carries.append(carry)
        carry = step([part[:, c] for part in h], [part[:, c] for part in p], carry)
    start = [torch.stack(parts, 1) for parts in zip(*carries)]
    out = torch.stack([torch.complex(*step(h, p, start)) for h, p in zip(hs, ps)], 2)
    return out.view(b, length, d), torch.complex(*carry)


def forms(row: Row) -> Iterator[tuple[str, Callable]]:
    yield "token loop", loop
    for c in chunks_of(row, 16, 64, 256):
        yield f"chunks of {c}", partial(chunks, chunk=c)
        if row.complex:
            yield f"chunks of {c}, two planes", partial(complex_planes, chunk=c)
    if not row.complex:
        yield "compiled tiles of 32", partial(tiles, tile=32, run_tile=compiled(one_tile))
        yield "compiled chunks of 64", compiled(partial(chunks, chunk=64))
