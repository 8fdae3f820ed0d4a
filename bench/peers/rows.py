"""What is compared: shapes, the names of gatescan_bench's cells, and operands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FORWARD = "forward"
BACKWARD = "backward"  # gradients; what a peer keeps from its forward call is there already
STEP = "step"  # forward and all gradients, as in training


@dataclass(frozen=True)
class Row:
    name: str
    recurrence: str
    kind: str
    size: dict[str, int]  # B L and H K V, or D, or D N
    flavour: str = ""  # as gatescan_bench spells it: real, complex, scalar_gate

    @property
    def complex(self) -> bool:
        return self.flavour == "complex"

    def cells(self, threads: int) -> list[str]:
        """Regular expressions of gatescan_bench's cells, one for each pass, all modes."""
        passes = [FORWARD, BACKWARD] if self.kind == STEP else [self.kind]
        shape = "/".join([self.flavour] * bool(self.flavour) +
                         [f"{k}:{n}" for k, n in self.size.items()])
        modes = "(recurrent|scan|chunked)"
        return [f"^{self.recurrence}/{p}/{modes}/cpu/f32/{shape}/threads:{threads}/"
                for p in passes]


def all_rows(quick: bool) -> list[Row]:
    """The rows of the table; quick: the same rows on shapes that take no time."""

    def gla(h, k, v):
        return dict(B=2, L=64, H=3, K=13, V=21) if quick else dict(B=1, L=2048, H=h, K=k, V=v)

    scan = dict(B=2, L=64, D=37, N=5) if quick else dict(B=1, L=2048, D=1536, N=16)
    channels = dict(B=2, L=64, D=37) if quick else dict(B=8, L=4096, D=512)
    return [
        Row("selective_scan D=1536 N=16", "selective_scan", FORWARD, scan),
        Row("gla K=V=128 H=8", "gla", FORWARD, gla(8, 128, 128)),
        Row("gla K=V=64 H=12", "gla", FORWARD, gla(12, 64, 64)),
        Row("gla, scalar gate, K=128 V=64 H=24", "gla", FORWARD, gla(24, 128, 64), "scalar_gate"),
        Row("elementwise, real", "elementwise", FORWARD, channels, "real"),
        Row("elementwise, complex", "elementwise", FORWARD, channels, "complex"),
        Row("gla K=V=128 H=8, backward", "gla", BACKWARD, gla(8, 128, 128)),
        Row("gla K=V=128 H=8, forward and backward", "gla", STEP, gla(8, 128, 128)),
        Row("selective_scan, backward", "selective_scan", BACKWARD, scan),
        Row("selective_scan, forward and backward", "selective_scan", STEP, scan),
    ]


def operands(row: Row) -> dict[str, np.ndarray]:
    """float32 or complex64 operands, from the same ranges as gatescan_bench's (operands.hpp)."""
    random = np.random.default_rng(1)
    n = row.size
    wide = 3**0.5

    def uniform(low, high, *shape):
        return random.uniform(low, high, shape).astype(np.float32)

    bl = (n["B"], n["L"])
    if row.recurrence == "gla":
        h, k, v = n["H"], n["K"], n["V"]
        key = wide / k**0.5
        x = dict(q=uniform(-key, key, *bl, h, k), k=uniform(-key, key, *bl, h, k),
                 v=uniform(-wide, wide, *bl, h, v),
                 log_decay=uniform(-0.1, -0.001, *bl, h, 1 if row.flavour else k))
        out = (*bl, h, v)
    elif row.recurrence == "selective_scan":
        d, s = n["D"], n["N"]
        x = dict(u=uniform(-wide, wide, *bl, d), delta=uniform(-5, -2, *bl, d),
                 A=uniform(-16, -1, d, s), B=uniform(-wide, wide, *bl, s),
                 C=uniform(-wide, wide, *bl, s), D=uniform(-wide, wide, d),
                 z=uniform(-wide, wide, *bl, d))
        out = (*bl, d)
    else:
        out = (*bl, n["D"])
        x = dict(a=uniform(0.9, 1, *out), x=uniform(-wide, wide, *out))
        if row.complex:
            x["a"] = x["a"] * np.exp(2j * np.pi * random.random(out)).astype(np.complex64)
            x["x"] = x["x"] + 1j * uniform(-wide, wide, *out)
    if row.kind != FORWARD:
        x["d_out"] = uniform(-wide, wide, *out)
    return x
