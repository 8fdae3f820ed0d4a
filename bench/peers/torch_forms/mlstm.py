"""The matrix memory of xLSTM: a token loop, and its chunks, both scaled by exp(m).

m has no gradient, as the results do not depend on it but for eps. The values have one more, 1:
what it reads is the normaliser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from rows import FORWARD, Row
from torch_forms.common import carried, chunks_of, compiled, joined, split

EPS = 1e-6


def with_one(v):
    return F.pad(v, (0, 1), value=1.0)


def divided(read, m):
    """By the normaliser, its last number, or exp(-m)."""
    values, n = read[..., :-1], read[..., -1:]
    return values / (torch.maximum(n.abs(), (-m).exp()) + EPS)


def loop(q, k, v, i, f):
    q, v, f = q * q.shape[-1]**-0.5, with_one(v), F.logsigmoid(f)
    m = torch.full_like(i[:, 0], -torch.inf)
    s, out = torch.zeros_like(k[:, 0, :, :, None] * v[:, 0, :, None, :]), []
    for q_t, k_t, v_t, i_t, f_t in zip(*(y.unbind(1) for y in (q, k, v, i, f))):
        before, m = m, torch.maximum(f_t + m, i_t).detach()
        a, w = (before - m + f_t).exp()[..., None, None], (i_t - m).exp()[..., None]
        s = torch.addcmul(a * s, (w * k_t)[..., None], v_t[..., None, :])
        out.append(divided((q_t[..., None, :] @ s)[..., 0, :], m[..., None]))
    return torch.stack(out, 1), s * m.exp()[..., None, None]


def chunks(q, k, v, i, f, chunk):
    q, v, i, f = q * q.shape[-1]**-0.5, with_one(v), i[..., None], F.logsigmoid(f)[..., None]
    q, k, v, i, f = (split(y, chunk) for y in (q, k, v, i, f))
    g = f.cumsum(-2)
    last = g[..., -1:, :]
    past = torch.ones(chunk, chunk, dtype=torch.bool).tril()
    weights = (g - g.mT + i.mT).masked_fill(~past, -torch.inf)  # their logarithms
    kept = last - g + i
    with torch.no_grad():
        m, before = torch.full_like(last[0], -torch.inf), []
        for decay, largest in zip(last, kept.amax(-2, keepdim=True)):
            before.append(m)
            m = torch.maximum(decay + m, largest)
        before = torch.stack(before)
        after = torch.cat([before[1:], m[None]])
        of_token = torch.maximum(g + before, weights.amax(-1, keepdim=True))
    written = (k * (kept - after).exp()).mT @ v
    s, states = carried((last + before - after).exp(), written)
    read = ((q @ k.mT) * (weights - of_token).exp()) @ v
    read = read + (g + before - of_token).exp() * (q @ states)
    return joined(divided(read, of_token)), s * m.exp()


def forms(row: Row) -> Iterator[tuple[str, Callable]]:
    if row.kind == FORWARD:  # its gradients keep every state
        yield "token loop", loop
    for c in chunks_of(row, 32, 64, 128, 256):
        yield f"chunks of {c}", partial(chunks, chunk=c)
    yield "compiled chunks of 64", compiled(partial(chunks, chunk=64))
