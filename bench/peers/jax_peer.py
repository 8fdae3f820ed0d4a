"""JAX on the CPU: lax.scan over tokens and over chunks, and associative_scan; all jitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax import lax
from rows import BACKWARD, FORWARD, Row


def versions() -> dict[str, str]:
    return {"jax": jax.__version__, "jaxlib": jaxlib.__version__}


def use_threads(threads: int) -> None:
    """Nothing: XLA takes its threads from the environment, see compare.environment."""


def combine(earlier, later):
    (a, x), (b, y) = earlier, later
    return a * b, b * x + y


def over_time(y):
    return jnp.moveaxis(y, 1, 0)


def elementwise_tokens(a, x, unroll):
    def token(h, now):
        h = now[0] * h + now[1]
        return h, h

    h, out = lax.scan(token, jnp.zeros_like(x[:, 0]), (over_time(a), over_time(x)), unroll=unroll)
    return over_time(out), h


def elementwise_token_planes(a, x, unroll):
    """elementwise_tokens with real and imaginary parts apart."""
    def token(h, now):
        (re, im), (a_re, a_im, x_re, x_im) = h, now
        h = a_re * re - a_im * im + x_re, a_re * im + a_im * re + x_im
        return h, h

    now = tuple(over_time(y) for y in (a.real, a.imag, x.real, x.imag))
    h, out = lax.scan(token, (jnp.zeros_like(x[:, 0].real),) * 2, now, unroll=unroll)
    return over_time(lax.complex(*out)), lax.complex(*h)


def elementwise_associative(a, x):
    out = lax.associative_scan(combine, (a, x), axis=1)[1]
    return out, out[:, -1]


def elementwise_chunks(a, x, chunk):
    """All chunks at once, token by token; then the carries from chunk to chunk."""
    b, length, d = x.shape
    a, x = (y.reshape(b, -1, chunk, d).transpose(2, 0, 1, 3) for y in (a, x))

    def token(so_far, now):
        so_far = combine(so_far, now)
        return so_far, so_far

    start = jnp.ones_like(a[0]), jnp.zeros_like(x[0])
    (p, h), (ps, hs) = lax.scan(token, start, (a, x), unroll=4)
    carry, carries = lax.scan(lambda c, now: (now[0] * c + now[1], c), jnp.zeros_like(h[:, 0]),
                              (over_time(p), over_time(h)))
    out = hs + ps * over_time(carries)
    return out.transpose(1, 2, 0, 3).reshape(b, length, d), carry


def gla_tokens(q, k, v, log_decay):
    def token(s, now):
        q, k, v, a = now
        s = a[..., None] * s + k[..., None] * v[..., None, :]
        return s, jnp.einsum("bhk,bhkv->bhv", q, s)

    start = jnp.zeros(k[:, 0].shape + v.shape[-1:], k.dtype)
    now = (q * q.shape[-1]**-0.5, k, v, jnp.exp(log_decay))
    s, out = lax.scan(token, start, tuple(over_time(y) for y in now))
    return over_time(out), s


def inside_chunk(q, k, v, log_decay):
    """Of one chunk or many, [..., c, *]: output without the state, and what the state needs."""
    g = jnp.cumsum(log_decay, -2)
    last = g[..., -1:, :]
    if g.shape[-1] == 1:  # one gate a head: differences of logarithms, for any decay
        pairs = jnp.exp(jnp.tril(g - g.mT))
        scores, q = jnp.tril((q @ k.mT) * pairs), q * jnp.exp(g)
    else:
        q = q * jnp.exp(g)
        scores = jnp.tril(q @ (k * jnp.exp(-g)).mT)
    written = (k * jnp.exp(last - g)).mT @ v
    return scores @ v, q, jnp.exp(last).mT, written


def gla_chunks(q, k, v, log_decay, chunk, at_once):
    """at_once: the inside of all chunks together; else everything in the loop over chunks."""
    b, length, heads, _ = k.shape

    def split(y):
        return y.reshape(b, -1, chunk, heads, y.shape[-1]).transpose(1, 0, 3, 2, 4)  # n b h c *

    chunks = split(q * q.shape[-1]**-0.5), split(k), split(v), split(log_decay)
    start = jnp.zeros((b, heads, k.shape[-1], v.shape[-1]), k.dtype)
    if at_once:
        out, q, decay, written = inside_chunk(*chunks)
        s, states = lax.scan(lambda s, now: (now[0] * s + now[1], s), start, (decay, written))
        out = out + q @ states
    else:
        def one(s, now):
            out, q, decay, written = inside_chunk(*now)
            return decay * s + written, out + q @ s

        s, out = lax.scan(one, start, chunks)
    return out.transpose(1, 0, 3, 2, 4).reshape(b, length, heads, -1), s


def scan_token(A, h, now):
    step, u, B, C = now
    h = jnp.exp(step[:, None] * A.mT) * h + (step * u)[:, None] * B[..., None]  # b n d
    return h, (C[:, None] @ h)[:, 0]


def scan_tile_associative(A, h, now):
    step, u, B, C = now  # t b *
    a = jnp.exp(step[:, :, None] * A.mT)
    x = (step * u)[:, :, None] * B[..., None]
    p, hs = lax.associative_scan(combine, (a, x), axis=0)
    hs = hs + p * h
    return hs[-1], (C[:, :, None] @ hs)[:, :, 0]


def scan(u, delta, A, B, C, D, z, tile=1, associative=False, unroll=1):
    """Token by token, or tile by tile: then gradients keep one state a tile, and make the rest
    again."""
    now = tuple(over_time(y) for y in (jax.nn.softplus(delta), u, B, C))
    h = jnp.zeros((len(u), A.shape[1], A.shape[0]), u.dtype)
    token = partial(scan_token, A)
    if tile == 1:
        h, y = lax.scan(token, h, now, unroll=unroll)
    else:
        now = tuple(y.reshape(-1, tile, *y.shape[1:]) for y in now)
        inner = (partial(scan_tile_associative, A) if associative else
                 lambda h, now: lax.scan(token, h, now, unroll=unroll))
        h, y = lax.scan(jax.checkpoint(inner), h, now)
        y = y.reshape(-1, *y.shape[2:])
    return (over_time(y) + D * u) * jax.nn.silu(z), h.mT


def forms(row: Row) -> Iterator[tuple[str, Callable]]:
    fits = [c for c in (16, 32, 64, 128, 256) if row.size["L"] % c == 0 and c <= row.size["L"]]
    if row.recurrence == "gla":
        if row.kind == FORWARD:  # its gradients keep every state
            yield "token loop", gla_tokens
        for c in fits:
            yield f"chunks of {c}", partial(gla_chunks, chunk=c, at_once=True)
            yield f"scan over chunks of {c}", partial(gla_chunks, chunk=c, at_once=False)
    elif row.recurrence == "selective_scan":
        yield "token loop", scan
        yield "token loop, unrolled by 8", partial(scan, unroll=8)
        for t in fits[::2]:
            yield f"tiles of {t}", partial(scan, tile=t)
            yield f"associative_scan in tiles of {t}", partial(scan, tile=t, associative=True)
    elif row.recurrence == "elementwise":
        for unroll in (1, 16):
            yield f"token loop, unrolled by {unroll}", partial(elementwise_tokens, unroll=unroll)
            if row.complex:
                yield (f"token loop, unrolled by {unroll}, two planes",
                       partial(elementwise_token_planes, unroll=unroll))
        yield "associative_scan", elementwise_associative
        for c in fits[::2]:
            yield f"chunks of {c}", partial(elementwise_chunks, chunk=c)


def prepare(row: Row, form: Callable, x: dict[str, np.ndarray]) -> Callable[[], dict]:
    """A call without arguments that does the row's work, to its end."""
    x = {name: jnp.asarray(y) for name, y in x.items()}
    if row.kind == FORWARD:
        call = jax.jit(lambda x: dict(zip(("out", "final_state"), form(**x))))
        return lambda: jax.block_until_ready(call(x))

    def gradients_of(x):
        return jax.vjp(lambda x: form(**x)[0], x)[1]

    d_out = x.pop("d_out")
    if row.kind == BACKWARD:
        kept = jax.block_until_ready(jax.jit(gradients_of)(x))
        pull_back = jax.jit(lambda kept, d_out: kept(d_out)[0])
        return lambda: jax.block_until_ready(pull_back(kept, d_out))
    call = jax.jit(lambda x, d_out: gradients_of(x)(d_out)[0])
    return lambda: jax.block_until_ready(call(x, d_out))


def to_numpy(result: dict) -> dict[str, np.ndarray]:
    return {name: np.asarray(y) for name, y in result.items()}
