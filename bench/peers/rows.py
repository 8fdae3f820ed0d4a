"""What is compared: shapes, and the names of gatescan_bench's cells. operands.py has the numbers."""

from __future__ import annotations

from dataclasses import dataclass

FORWARD = "forward"
BACKWARD = "backward"  # gradients; what a peer keeps from its forward call is there already
STEP = "step"  # forward and all gradients, as in training
KINDS = {FORWARD: "", BACKWARD: ", backward", STEP: ", forward and backward"}


@dataclass(frozen=True)
class Row:
    name: str
    recurrence: str
    kind: str
    size: dict[str, int]  # B L and H K V, or H N P, or D, or D N
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


def family(quick: bool) -> list[Row]:
    """The delta rules, Mamba-2, RWKV, xLSTM and the units of channels; each in all three kinds."""

    def heads(h, k, v):
        return dict(B=2, L=64, H=3, K=13, V=21) if quick else dict(B=1, L=2048, H=h, K=k, V=v)

    ssd = dict(B=2, L=64, H=3, N=13, P=21) if quick else dict(B=1, L=2048, H=24, N=128, P=64)
    channels = dict(B=2, L=64, D=37) if quick else dict(B=8, L=4096, D=512)
    shapes = [
        ("gated_delta_net, a gate a head", "gated_delta_net", heads(8, 128, 128), "scalar_gate"),
        ("gated_delta_net, a gate a key", "gated_delta_net", heads(8, 128, 128), ""),
        ("mamba2 P=64 H=24 N=128", "mamba2", ssd, ""),
        ("rwkv6 K=V=64 H=12", "rwkv6", heads(12, 64, 64), ""),
        ("rwkv7 K=V=64 H=12", "rwkv7", heads(12, 64, 64), ""),
        ("mlstm K=128 V=256 H=4", "mlstm", heads(4, 128, 256), ""),
        *((name, name, channels, "") for name in ("hgrn", "min_gru", "rg_lru", "rwkv4")),
    ]
    return [Row(name + tail, recurrence, kind, size, flavour)
            for name, recurrence, size, flavour in shapes for kind, tail in KINDS.items()]


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
        *family(quick),
    ]
