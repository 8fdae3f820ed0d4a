"""Units of channels: what makes their gate and input, before the elementwise recurrence's forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from rows import Row
from torch_forms import elementwise
from torch_forms.common import chunks_of, compiled


def hgrn(x, log_decay):
    return log_decay.exp(), x


def min_gru(z, h):
    return torch.sigmoid(-z), torch.sigmoid(z) * torch.where(h >= 0, h + 0.5, torch.sigmoid(h))


def rg_lru(x, r, i, Lambda):
    log_a = -8 * F.softplus(Lambda) * torch.sigmoid(r)
    return log_a.exp(), (-torch.expm1(2 * log_a)).sqrt() * torch.sigmoid(i) * x


MAKERS = {"hgrn": hgrn, "min_gru": min_gru, "rg_lru": rg_lru}


def made_before(make, run, **x):
    return run(*make(**x))


def made_in_tiles(tile, run_tile, **x):
    """A compiler fuses what makes gate and input with the recurrence, a tile at a time."""
    names = [name for name, y in x.items() if y.dim() == 3]
    of_channel = {name: y for name, y in x.items() if y.dim() == 1}
    length = x[names[0]].shape[1]
    h, out = torch.zeros_like(x[names[0]][:, 0]), []
    for start in range(0, length, tile):
        now = {name: x[name][:, start:start + tile] for name in names}
        out_tile, h = run_tile(now | of_channel, h)
        out.append(out_tile)
    return torch.cat(out, 1), h


def rwkv4_loop(k, v, w, u):
    """Scaled by exp(m), as in RWKV's own code."""
    m = torch.full_like(k[:, 0], -torch.inf)
    num, den, out = torch.zeros_like(m), torch.zeros_like(m), []
    for k_t, v_t in zip(k.unbind(1), v.unbind(1)):
        larger = torch.maximum(m, u + k_t).detach()
        past, own = (m - larger).exp(), (u + k_t - larger).exp()
        out.append((past * num + own * v_t) / (past * den + own))
        larger = torch.maximum(m + w, k_t).detach()
        past, new = (m + w - larger).exp(), (k_t - larger).exp()
        num, den, m = past * num + new * v_t, past * den + new, larger
    return torch.stack(out, 1), torch.stack([num, den], 1) * m.exp()[:, None]


def rwkv4_tile(x, state):
    """Of numbers and their weights, divided by the largest of all tokens."""
    k, v, w, u = (x[name] for name in "kvwu")
    a, weights = w.exp(), k.exp()
    own = weights * u.exp()
    num, den = state
    out = []
    for t in range(k.shape[1]):
        out.append((num + own[:, t] * v[:, t]) / (den + own[:, t]))
        num, den = a * num + weights[:, t] * v[:, t], a * den + weights[:, t]
    return torch.stack(out, 1), (num, den)


def rwkv4_tiles(k, v, w, u, tile, run_tile):
    with torch.no_grad():
        largest = k.amax(1, keepdim=True)
    k = k - largest
    state, out = (torch.zeros_like(k[:, 0]),) * 2, []
    for k_t, v_t in zip(k.split(tile, 1), v.split(tile, 1)):
        out_tile, state = run_tile(dict(k=k_t, v=v_t, w=w, u=u), state)
        out.append(out_tile)
    return torch.cat(out, 1), torch.stack(state, 1) * largest.exp()


def forms(row: Row) -> Iterator[tuple[str, Callable]]:
    if row.recurrence == "rwkv4":
        yield "token loop", rwkv4_loop
        yield "tiles of 64", partial(rwkv4_tiles, tile=64, run_tile=rwkv4_tile)
        yield "compiled tiles of 32", partial(rwkv4_tiles, tile=32, run_tile=compiled(rwkv4_tile))
        return
    make = MAKERS[row.recurrence]

    def one_tile(x, h):
        return elementwise.one_tile(*make(**x), h)

    yield "token loop", partial(made_before, make, elementwise.loop)
    for c in chunks_of(row, 16, 64):
        yield f"chunks of {c}", partial(made_before, make, partial(elementwise.chunks, chunk=c))
    yield "compiled tiles of 32", partial(made_in_tiles, 32, compiled(one_tile))
