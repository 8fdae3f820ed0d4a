"""What every peer's results are held against: token by token, in float64, from the definitions.

States are kept at the first token of every tile only, and a tile's states made again when the
gradients come to it: all states of the longest row would take gigabytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from rows import FORWARD, Row

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


def elementwise(row: Row, x: dict) -> dict:
    h, out = np.zeros_like(x["x"][:, 0]), np.empty_like(x["x"])
    for t in range(row.size["L"]):
        h = out[:, t] = x["a"][:, t] * h + x["x"][:, t]
    return dict(out=out, final_state=h)


def gla(row: Row, x: dict) -> dict:
    q, k, v = x["q"] * row.size["K"]**-0.5, x["k"], x["v"]
    a = np.exp(x["log_decay"])
    b, length, heads, keys = k.shape

    def next_state(t, s):
        return a[:, t, :, :, None] * s + k[:, t, :, :, None] * v[:, t, :, None, :]

    s = np.zeros((b, heads, keys, v.shape[-1]))
    if row.kind == FORWARD:
        out = np.empty_like(v)
        for t in range(length):
            s = next_state(t, s)
            out[:, t] = (q[:, t, :, None, :] @ s)[..., 0, :]
        return dict(out=out, final_state=s)

    d_s, d_out = np.zeros_like(s), x["d_out"]
    d = {name: np.empty_like(x[name]) for name in ("q", "k", "v", "log_decay")}
    for t, before, after in forward_and_back(next_state, s, length):
        d["q"][:, t] = (after @ d_out[:, t, :, :, None])[..., 0] * keys**-0.5
        d_s = d_s + q[:, t, :, :, None] * d_out[:, t, :, None, :]
        d["k"][:, t] = (d_s @ v[:, t, :, :, None])[..., 0]
        d["v"][:, t] = (k[:, t, :, None, :] @ d_s)[..., 0, :]
        d["log_decay"][:, t] = (d_s * before).sum(-1) * a[:, t]
        d_s = d_s * a[:, t, :, :, None]
    return d


def selective_scan(row: Row, x: dict) -> dict:
    u, A, B, C, D, z = (x[name] for name in "uABCDz")
    step, gate = np.log1p(np.exp(x["delta"])), z * sigmoid(z)

    def decay(t):
        return np.exp(step[:, t, :, None] * A)

    def next_state(t, h):
        return decay(t) * h + (step[:, t] * u[:, t])[..., None] * B[:, t, None, :]

    h, y = np.zeros((len(u), *A.shape)), np.empty_like(u)
    if row.kind == FORWARD:
        for t in range(row.size["L"]):
            h = next_state(t, h)
            y[:, t] = (h @ C[:, t, :, None])[..., 0]
        return dict(out=(y + D * u) * gate, final_state=h)

    d_y = x["d_out"] * gate
    d_step, d_h = np.empty_like(step), np.zeros_like(h)
    d = dict(u=D * d_y, A=np.zeros_like(A), B=np.empty_like(B), C=np.empty_like(C),
             D=(d_y * u).sum((0, 1)))
    for t, before, after in forward_and_back(next_state, h, row.size["L"]):
        y[:, t] = (after @ C[:, t, :, None])[..., 0]
        d["C"][:, t] = (d_y[:, t, None, :] @ after)[:, 0]
        d_h = d_h + d_y[:, t, :, None] * C[:, t, None, :]
        d["B"][:, t] = ((step[:, t] * u[:, t])[:, None, :] @ d_h)[:, 0]
        d_value = (d_h @ B[:, t, :, None])[..., 0]
        d["u"][:, t] += d_value * step[:, t]
        d_h = d_h * decay(t)
        d["A"] += (d_h * before * step[:, t, :, None]).sum(0)
        d_step[:, t] = d_value * u[:, t] + (d_h * before * A).sum(-1)
    slope = sigmoid(z) * (1 + z * (1 - sigmoid(z)))
    return d | dict(delta=d_step * sigmoid(x["delta"]), z=x["d_out"] * (y + D * u) * slope)


def results(row: Row, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Forward: out and final_state. Otherwise: the gradient of every operand."""
    wide = {name: v.astype(np.complex128 if np.iscomplexobj(v) else np.float64)
            for name, v in x.items()}
    return globals()[row.recurrence](row, wide)


def what_is_wrong(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> str:
    """Empty if all results agree: root mean square of the difference, relative to the result's."""
    tolerance = 1e-4  # a float token loop stays below; a wrong formula is far above
    wrong = []
    for name, right in want.items():
        if name not in got:
            wrong.append(f"{name} is missing")
        elif got[name].shape != right.shape:
            wrong.append(f"{name} has shape {got[name].shape}, not {right.shape}")
        else:
            error = np.linalg.norm(got[name] - right) / np.linalg.norm(right)
            if not error <= tolerance:
                wrong.append(f"{name} is off by {error:.2g}")
    return ", ".join(wrong)
