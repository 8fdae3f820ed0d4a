"""The numbers that everybody is given: from the same ranges as gatescan_bench's (operands.hpp)."""

from __future__ import annotations

import numpy as np
from rows import FORWARD, Row

WIDE = 3**0.5  # of mean square 1

RANGES = {  # what is not here is WIDE
    "log_decay": (-0.1, -0.001), "w": (-0.1, -0.001), "f": (2, 7), "Lambda": (-9, -4),
    "beta": (0, 1), "delta": (-5, -2), "dt": (-5, -2), "A": (-16, -1),
}
KEYS = {  # operands of length about 1
    "gla": "qk", "gated_delta_net": "qk", "mlstm": "qk", "rwkv6": "rk", "rwkv7": "rkab",
    "rwkv4": "k",
}


def shapes(row: Row) -> dict[str, tuple[int, ...]]:
    """Of the operands of a recurrence with real numbers, and of `out`."""
    n = row.size
    bl = (n["B"], n["L"])
    if row.recurrence == "selective_scan":
        d, s = n["D"], n["N"]
        return dict(u=(*bl, d), delta=(*bl, d), A=(d, s), B=(*bl, s), C=(*bl, s), D=(d,),
                    z=(*bl, d), out=(*bl, d))
    if row.recurrence == "mamba2":
        h, keys, values = n["H"], n["N"], (*bl, n["H"], n["P"])
        return dict(x=values, dt=(*bl, h), A=(h,), B=(*bl, 1, keys), C=(*bl, 1, keys), D=(h, 1),
                    z=values, out=values)
    if "D" in n:
        x, of_channel = (*bl, n["D"]), (n["D"],)
        return {
            "hgrn": dict(x=x, log_decay=x, out=x),
            "min_gru": dict(z=x, h=x, out=x),
            "rg_lru": dict(x=x, r=x, i=x, Lambda=of_channel, out=x),
            "rwkv4": dict(k=x, v=x, w=of_channel, u=of_channel, out=x),
        }[row.recurrence]
    h, k, v = n["H"], (*bl, n["H"], n["K"]), (*bl, n["H"], n["V"])
    one = (*bl, h)
    gate = (*bl, h, 1) if row.flavour else k
    return {
        "gla": dict(q=k, k=k, v=v, log_decay=gate, out=v),
        "gated_delta_net": dict(q=k, k=k, v=v, beta=one, log_decay=gate, out=v),
        "rwkv6": dict(r=k, k=k, w=k, v=v, u=(h, n["K"]), out=v),
        "rwkv7": dict(r=k, w=k, k=k, a=k, b=k, v=v, out=v),
        "mlstm": dict(q=k, k=k, v=v, i=one, f=one, out=v),
    }[row.recurrence]


def operands(row: Row) -> dict[str, np.ndarray]:
    """float32 or complex64."""
    random = np.random.default_rng(1)
    key = WIDE / row.size.get("K", 1)**0.5

    def uniform(low, high, shape):
        return random.uniform(low, high, shape).astype(np.float32)

    if row.recurrence == "elementwise":
        out = (row.size["B"], row.size["L"], row.size["D"])
        x = dict(a=uniform(0.9, 1, out), x=uniform(-WIDE, WIDE, out))
        if row.complex:
            x["a"] = x["a"] * np.exp(2j * np.pi * random.random(out)).astype(np.complex64)
            x["x"] = x["x"] + 1j * uniform(-WIDE, WIDE, out)
    else:
        x = shapes(row)
        out = x.pop("out")
        for name, shape in x.items():
            of_keys = name in KEYS.get(row.recurrence, "")
            x[name] = uniform(*((-key, key) if of_keys else RANGES.get(name, (-WIDE, WIDE))), shape)
    if row.kind != FORWARD:
        x["d_out"] = uniform(-WIDE, WIDE, out)
    return x


def unit(y: np.ndarray) -> np.ndarray:
    """Divided by its length, for peers whose operators want that done before."""
    y = y.astype(np.float64)
    return (y / np.sqrt((y * y).sum(-1, keepdims=True) + 1e-6)).astype(np.float32)
