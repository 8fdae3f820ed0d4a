"""Gated linear attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from rows import FORWARD, Row
from torch_forms.common import chunks_of, compiled, joined, split


def loop(q, k, v, log_decay):
    q, a = q * q.shape[-1]**-0.5, log_decay.exp()
    s, out = torch.zeros_like(k[:, 0, :, :, None] * v[:, 0, :, None, :]), []
    for q_t, k_t, v_t, a_t in zip(*(y.unbind(1) for y in (q, k, v, a))):
        s = torch.addcmul(a_t[..., None] * s, k_t[..., None], v_t[..., None, :])
        out.append((q_t[..., None, :] @ s)[..., 0, :])
    return torch.stack(out, 1), s


def chunks(q, k, v, log_decay, chunk):
    """Attention inside all chunks at once, a loop over the states between them."""
    q, k, v, g = (split(y, chunk) for y in (q * q.shape[-1]**-0.5, k, v, log_decay))
    g = g.cumsum(-2)
    last = g[..., -1:, :]
    if g.shape[-1] == 1:  # one gate a head: differences of logarithms, for any decay
        pairs = (g - g.mT).tril().exp()
        scores = ((q @ k.mT) * pairs).tril()
        q = q * g.exp()
    else:
        q = q * g.exp()
        scores = (q @ (k * (-g).exp()).mT).tril()
    written = (k * (last - g).exp()).mT @ v
    s, states = torch.zeros_like(written[0]), []
    for decay, new in zip(last.exp().mT.unbind(0), written.unbind(0)):
        states.append(s)
        s = torch.addcmul(new, decay, s)
    out = scores @ v + q @ torch.stack(states)
    return joined(out), s


def forms(row: Row) -> Iterator[tuple[str, Callable]]:
    if row.kind == FORWARD:  # its gradients keep every state
        yield "token loop", loop
    for c in chunks_of(row, 16, 32, 64, 128, 256):
        yield f"chunks of {c}", partial(chunks, chunk=c)
    yield "compiled chunks of 64", compiled(partial(chunks, chunk=64))
