"""RWKV-6: a token loop, and chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from rows import FORWARD, Row
from torch_forms.common import carried, chunks_of, compiled, joined, split


def loop(r, k, w, v, u):
    r, gate = r * r.shape[-1]**-0.5, w.exp()
    own = (r * u * k).sum(-1, keepdim=True) * v
    s, out = torch.zeros_like(k[:, 0, :, :, None] * v[:, 0, :, None, :]), []
    for r_t, k_t, w_t, v_t in zip(*(y.unbind(1) for y in (r, k, gate, v))):
        out.append((r_t[..., None, :] @ s)[..., 0, :])
        s = torch.addcmul(w_t[..., None] * s, k_t[..., None], v_t[..., None, :])
    return torch.stack(out, 1) + own, s


def inside(r, k, w, v, u, chunk):
    """All that needs no state, of all chunks."""
    r = r * r.shape[-1]**-0.5
    own = (r * u * k).sum(-1, keepdim=True) * v
    r, k, w, v = (split(y, chunk) for y in (r, k, w, v))
    g = w.cumsum(-2)
    last = g[..., -1:, :]
    read = r * (g - w).exp()
    scores = (read @ (k * (-g).exp()).mT).tril(-1)
    return own, scores @ v, read, last.exp().mT, (k * (last - g).exp()).mT @ v


def chunks(r, k, w, v, u, chunk, run_inside=inside):
    own, out, read, decays, written = run_inside(r, k, w, v, u, chunk)
    s, states = carried(decays, written)
    return joined(out + read @ states) + own, s


def forms(row: Row) -> Iterator[tuple[str, Callable]]:
    if row.kind == FORWARD:  # its gradients keep every state
        yield "token loop", loop
    for c in chunks_of(row, 16, 32, 64):
        yield f"chunks of {c}", partial(chunks, chunk=c)
    yield "chunks of 32, compiled inside", partial(chunks, chunk=32, run_inside=compiled(inside))
