"""The gated delta rule and RWKV-7: a token loop, and chunks in which one triangular system says
what tokens take away from each other (the UT transform).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from rows import FORWARD, Row
from torch_forms.common import chunks_of, compiled, joined, split

EPS = 1e-6


def unit(y):
    return y * torch.rsqrt((y * y).sum(-1, keepdim=True) + EPS)


def solved(A, y):
    """(I + A)^-1 y, A strictly lower triangular."""
    return torch.linalg.solve_triangular(A, y, upper=False, unitriangular=True)


def multiplied(A, y):
    """The same as a product: (I - A)(I + A^2)(I + A^4)... y, as A to the length is 0."""
    y, power, n = y - A @ y, A, 2
    while n < A.shape[-1]:
        power, n = power @ power, 2 * n
        y = y + power @ y
    return y


def gated_delta_loop(q, k, v, beta, log_decay):
    q, k, a = unit(q) * q.shape[-1]**-0.5, unit(k), log_decay.exp()
    s, out = torch.zeros_like(k[:, 0, :, :, None] * v[:, 0, :, None, :]), []
    for q_t, k_t, v_t, b_t, a_t in zip(*(y.unbind(1) for y in (q, k, v, beta, a))):
        s = a_t[..., None] * s
        new = b_t[..., None, None] * (v_t[..., None, :] - k_t[..., None, :] @ s)
        s = torch.addcmul(s, k_t[..., None], new)
        out.append((q_t[..., None, :] @ s)[..., 0, :])
    return torch.stack(out, 1), s


def gated_delta_inside(q, k, v, beta, log_decay, chunk, invert):
    """All that needs no state, of all chunks."""
    q, k = unit(q) * q.shape[-1]**-0.5, unit(k)
    q, k, v, beta, g = (split(y, chunk) for y in (q, k, v, beta[..., None], log_decay))
    g = g.cumsum(-2)
    last = g[..., -1:, :]
    read, taken = q * g.exp(), beta * k * g.exp()
    if g.shape[-1] == 1:  # one gate a head: differences of logarithms, for any decay
        pairs = (g - g.mT).tril().exp()
        scores, A = ((q @ k.mT) * pairs).tril(), (beta * (k @ k.mT) * pairs).tril(-1)
    else:
        written = (k * (-g).exp()).mT
        scores, A = (read @ written).tril(), (taken @ written).tril(-1)
    values, keys = invert(A, torch.cat([beta * v, taken], -1)).split(
        [v.shape[-1], k.shape[-1]], -1)
    return scores, read, values, keys, (k * (last - g).exp()).mT, last.exp().mT


def gated_delta_chunks(q, k, v, beta, log_decay, chunk, invert, inside=gated_delta_inside):
    scores, read, *of_chunks = inside(q, k, v, beta, log_decay, chunk, invert)
    s, states, new_values = k.new_zeros(len(k), k.shape[2], k.shape[3], v.shape[3]), [], []
    for u, w, kept, decay in zip(*of_chunks):
        states.append(s)
        new = u - w @ s
        s = torch.addcmul(kept @ new, decay, s)
        new_values.append(new)
    return joined(scores @ torch.stack(new_values) + read @ torch.stack(states)), s


def rwkv7_loop(r, w, k, a, b, v):
    r, gate = r * r.shape[-1]**-0.5, w.exp()
    s, out = torch.zeros_like(k[:, 0, :, :, None] * v[:, 0, :, None, :]), []
    for r_t, w_t, k_t, a_t, b_t, v_t in zip(*(y.unbind(1) for y in (r, gate, k, a, b, v))):
        read = a_t[..., None, :] @ s
        s = torch.addcmul(w_t[..., None] * s, b_t[..., None], read)
        s = torch.addcmul(s, k_t[..., None], v_t[..., None, :])
        out.append((r_t[..., None, :] @ s)[..., 0, :])
    return torch.stack(out, 1), s


def rwkv7_inside(r, w, k, a, b, v, chunk, invert):
    """All that needs no state, of all chunks."""
    r, w, k, a, b, v = (split(y, chunk) for y in (r * r.shape[-1]**-0.5, w, k, a, b, v))
    g = w.cumsum(-2)
    last = g[..., -1:, :]
    read, taken = r * g.exp(), a * (g - w).exp()
    b_written, k_written = (b * (-g).exp()).mT, (k * (-g).exp()).mT
    A, of_values = -(taken @ b_written).tril(-1), (taken @ k_written).tril(-1) @ v
    values, keys = invert(A, torch.cat([of_values, taken], -1)).split(
        [v.shape[-1], k.shape[-1]], -1)
    kept = (last - g).exp()
    return ((read @ b_written).tril(), (read @ k_written).tril() @ v, read, values, keys,
            (b * kept).mT, (k * kept).mT @ v, last.exp().mT)


def rwkv7_chunks(r, w, k, a, b, v, chunk, invert, inside=rwkv7_inside):
    scores, out, read, *of_chunks = inside(r, w, k, a, b, v, chunk, invert)
    s, states, reads = k.new_zeros(len(k), k.shape[2], k.shape[3], v.shape[3]), [], []
    for values, keys, kept, added, decay in zip(*of_chunks):
        states.append(s)
        u = values + keys @ s
        s = torch.addcmul(kept @ u + added, decay, s)
        reads.append(u)
    return joined(out + scores @ torch.stack(reads) + read @ torch.stack(states)), s


def forms(row: Row) -> Iterator[tuple[str, Callable]]:
    loop, chunks, inside = (
        (rwkv7_loop, rwkv7_chunks, rwkv7_inside) if row.recurrence == "rwkv7" else
        (gated_delta_loop, gated_delta_chunks, gated_delta_inside))
    if row.kind == FORWARD:  # its gradients keep every state
        yield "token loop", loop
    for c in chunks_of(row, 16, 32, 64):
        yield f"chunks of {c}, solved", partial(chunks, chunk=c, invert=solved)
        yield f"chunks of {c}, multiplied", partial(chunks, chunk=c, invert=multiplied)
    for c in chunks_of(row, 32, 64):  # the loop over states is not unrolled for the compiler
        yield (f"chunks of {c}, solved, compiled inside",
               partial(chunks, chunk=c, invert=solved, inside=compiled(inside)))
