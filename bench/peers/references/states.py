"""What the loops share: the recurrence of a matrix state, and going back through the states.

States are kept at the first token of every tile only, and a tile's states made again when the
gradients come to it: all states of the longest row would take gigabytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

TILE = 64


def forward_and_back(next_state: Callable, first: np.ndarray, length: int) -> Iterator:
    """Yields (t, state before t, state after t) from the last token to the first."""
    starts, state = [], first
    for t in range(length):
        if t % TILE == 0:
            starts.append(state)
        state = next_state(t, state)
    for tile in reversed(range(len(starts))):
        states = [starts[tile]]
        for t in range(tile * TILE, min(length, (tile + 1) * TILE)):
            states.append(next_state(t, states[-1]))
        for i in reversed(range(len(states) - 1)):
            yield tile * TILE + i, states[i], states[i + 1]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu_slope(z):
    return sigmoid(z) * (1 + z * (1 - sigmoid(z)))


class MatrixState:
    """S_t = diag(a_t) S_{t-1} + k_t v_t^T + b_t (p_t^T S_{t-1}),   out_t = S^T q_t

    of S_t, or of S_{t-1} where exclusive. q, k, b, p [B, L, H, K], a too or [B, L, H, 1],
    v [B, L, H, V]; b and p may be missing.
    """

    def __init__(self, q, k, v, a, b=None, p=None, exclusive=False):
        self.q, self.k, self.v, self.a, self.b, self.p = q, k, v, a, b, p
        self.exclusive = exclusive
        batch, self.length, heads, keys = q.shape
        self.zero = np.zeros((batch, heads, keys, v.shape[-1]))

    def next_state(self, t, s):
        new = self.a[:, t, :, :, None] * s + self.k[:, t, :, :, None] * self.v[:, t, :, None, :]
        if self.p is not None:
            new += self.b[:, t, :, :, None] * (self.p[:, t, :, None, :] @ s)
        return new

    def forward(self):
        s, out = self.zero, np.empty_like(self.v)
        for t in range(self.length):
            after = self.next_state(t, s)
            read = s if self.exclusive else after
            out[:, t] = (self.q[:, t, :, None, :] @ read)[..., 0, :]
            s = after
        return out, s

    def backward(self, d_out) -> dict[str, np.ndarray]:
        names = ("q", "k", "v", "a") + (("b", "p") if self.p is not None else ())
        d = {name: np.empty_like(getattr(self, name)) for name in names}
        d_s = np.zeros_like(self.zero)
        for t, before, after in forward_and_back(self.next_state, self.zero, self.length):
            read = before if self.exclusive else after
            d["q"][:, t] = (read @ d_out[:, t, :, :, None])[..., 0]
            of_read = self.q[:, t, :, :, None] * d_out[:, t, :, None, :]
            if not self.exclusive:
                d_s = d_s + of_read
            d["k"][:, t] = (d_s @ self.v[:, t, :, :, None])[..., 0]
            d["v"][:, t] = (self.k[:, t, :, None, :] @ d_s)[..., 0, :]
            d_a = (d_s * before).sum(-1)
            d["a"][:, t] = d_a if self.a.shape[-1] > 1 else d_a.sum(-1, keepdims=True)
            d_before = d_s * self.a[:, t, :, :, None]
            if self.p is not None:
                p, b = self.p[:, t, :, :, None], self.b[:, t, :, :, None]
                d["b"][:, t] = (d_s @ (p.swapaxes(-1, -2) @ before).swapaxes(-1, -2))[..., 0]
                d_taken = b.swapaxes(-1, -2) @ d_s
                d["p"][:, t] = (before @ d_taken.swapaxes(-1, -2))[..., 0]
                d_before += p * d_taken
            if self.exclusive:
                d_before += of_read
            d_s = d_before
        return d
