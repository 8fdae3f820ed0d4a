"""PyTorch on the CPU: the forms that people write, eager and through torch.compile.

All forms are functional (nothing is written in place), so that one text serves forward and
gradients. compare.py tries them all and times the fastest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from rows import BACKWARD, FORWARD, Row

F = torch.nn.functional


def versions() -> dict[str, str]:
    blas = "MKL" if torch.backends.mkl.is_available() else "not MKL"
    return {"torch": torch.__version__, "BLAS": blas,
            "vectors": torch.backends.cpu.get_cpu_capability()}


def use_threads(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)


def elementwise_loop(a, x):
    h, hs = torch.zeros_like(x[:, 0]), []
    for a_t, x_t in zip(a.unbind(1), x.unbind(1)):
        h = torch.addcmul(x_t, a_t, h)
        hs.append(h)
    return torch.stack(hs, 1), h


def elementwise_chunks(a, x, chunk):
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


def elementwise_tiles(a, x, tile, run_tile):
    h, out = torch.zeros_like(x[:, 0]), []
    for a_tile, x_tile in zip(a.split(tile, 1), x.split(tile, 1)):
        out_tile, h = run_tile(a_tile, x_tile, h)
        out.append(out_tile)
    return torch.cat(out, 1), h


def elementwise_tile(a, x, h):
    hs = []
    for t in range(a.shape[1]):
        h = a[:, t] * h + x[:, t]
        hs.append(h)
    return torch.stack(hs, 1), h


def elementwise_complex_planes(a, x, chunk):
    """elementwise_chunks with real and imaginary parts apart: complex products are slow."""
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


def gla_loop(q, k, v, log_decay):
    q, a = q * q.shape[-1]**-0.5, log_decay.exp()
    s, out = torch.zeros_like(k[:, 0, :, :, None] * v[:, 0, :, None, :]), []
    for q_t, k_t, v_t, a_t in zip(*(y.unbind(1) for y in (q, k, v, a))):
        s = torch.addcmul(a_t[..., None] * s, k_t[..., None], v_t[..., None, :])
        out.append((q_t[..., None, :] @ s)[..., 0, :])
    return torch.stack(out, 1), s


def gla_chunks(q, k, v, log_decay, chunk):
    """Attention inside all chunks at once, a loop over the states between them."""
    b, length, heads, _ = k.shape

    def split(y):
        return y.view(b, -1, chunk, heads, y.shape[-1]).permute(1, 0, 3, 2, 4)  # n b h c *

    q, k, v, g = split(q * q.shape[-1]**-0.5), split(k), split(v), split(log_decay).cumsum(-2)
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
    return out.permute(1, 0, 3, 2, 4).reshape(b, length, heads, -1), s


def scan_tile(u, delta, A, B, C, h):
    """Tokens of one tile: decays and inputs of all of them, the recurrence, the read-out."""
    step = F.softplus(delta)
    a = (step[:, :, None, :] * A.mT).exp()  # b t n d: long rows are quicker than rows of N
    x = (step * u)[:, :, None, :] * B[..., None]
    hs = []
    for a_t, x_t in zip(a.unbind(1), x.unbind(1)):
        h = torch.addcmul(x_t, a_t, h)
        hs.append(h)
    return (C[:, :, None, :] @ torch.stack(hs, 1))[:, :, 0], h


def scan_tile_to_fuse(u, delta, A, B, C, h):
    """The same for a compiler that fuses loops: nothing is kept but the state."""
    step, At = F.softplus(delta), A.mT
    ys = []
    for t in range(u.shape[1]):
        s = step[:, t, None, :]
        h = (s * At).exp() * h + s * u[:, t, None, :] * B[:, t, :, None]
        ys.append((C[:, t, :, None] * h).sum(1))
    return torch.stack(ys, 1), h


def scan_tiles(u, delta, A, B, C, D, z, tile, run_tile):
    h, y = u.new_zeros(len(u), A.shape[1], A.shape[0]), []
    for u_t, delta_t, B_t, C_t in zip(*(w.split(tile, 1) for w in (u, delta, B, C))):
        y_t, h = run_tile(u_t, delta_t, A, B_t, C_t, h)
        y.append(y_t)
    return (torch.cat(y, 1) + D * u) * F.silu(z), h.mT


def forms(row: Row) -> Iterator[tuple[str, Callable]]:
    compiled = partial(torch.compile, dynamic=False)
    fits = [c for c in (16, 32, 64, 128, 256) if row.size["L"] % c == 0 and c <= row.size["L"]]
    if row.recurrence == "gla":
        if row.kind == FORWARD:  # its gradients keep every state
            yield "token loop", gla_loop
        for c in fits:
            yield f"chunks of {c}", partial(gla_chunks, chunk=c)
        yield "compiled chunks of 64", compiled(partial(gla_chunks, chunk=64))
    elif row.recurrence == "selective_scan":
        for t in fits[::2]:
            yield f"tiles of {t}", partial(scan_tiles, tile=t, run_tile=scan_tile)
        yield "compiled tiles of 16", partial(scan_tiles, tile=16, run_tile=compiled(scan_tile))
        yield "compiled tiles of 8, fused", partial(scan_tiles, tile=8,
                                                    run_tile=compiled(scan_tile_to_fuse))
    else:
        yield "token loop", elementwise_loop
        for c in fits[::2]:
            yield f"chunks of {c}", partial(elementwise_chunks, chunk=c)
            if row.complex:
                yield f"chunks of {c}, two planes", partial(elementwise_complex_planes, chunk=c)
        if not row.complex:
            yield "compiled tiles of 32", partial(elementwise_tiles, tile=32,
                                                  run_tile=compiled(elementwise_tile))
            yield "compiled chunks of 64", compiled(partial(elementwise_chunks, chunk=64))


def prepare(row: Row, form: Callable, x: dict[str, np.ndarray]) -> Callable[[], dict]:
    """A call without arguments that does the row's work."""
    x = {name: torch.from_numpy(y) for name, y in x.items()}
    if row.kind == FORWARD:
        def run():
            with torch.no_grad():
                return dict(zip(("out", "final_state"), form(**x)))
        return run

    d_out = x.pop("d_out")
    leaves = {name: y.requires_grad_() for name, y in x.items()}
    kept = form(**leaves)[0] if row.kind == BACKWARD else None

    def run():
        out = form(**leaves)[0] if kept is None else kept
        gradients = torch.autograd.grad(out, list(leaves.values()), d_out,
                                        retain_graph=kept is not None)
        return dict(zip(leaves, gradients))
    return run


def to_numpy(result: dict) -> dict[str, np.ndarray]:
    return {name: y.detach().numpy() for name, y in result.items()}
