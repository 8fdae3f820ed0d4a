"""How each peer is called on a row of gatescan_bench_cuda: the same operands in the peer's layout,
and its results in gatescan's.

A form is a class with `package` (what must be importable), `name`, `fits(row)`, `prepare(x)` (from
gatescan's operands to the peer's leaves), `out(leaves)` (what is timed), and the way back:
`shown(out)` and `gradients(x, leaves, d)`. What `prepare` does is not timed.
"""

from __future__ import annotations

import importlib


class Form:
    package = name = says = ""

    def __init__(self):
        self.call = getattr(importlib.import_module(self.module), self.function)

    @staticmethod
    def fits(row: dict) -> bool:
        raise NotImplementedError

    def out_gradient(self, d_out):
        return d_out

    def shown(self, out):
        return out


def time_last(x):
    """[B, L, D] or [B, L, 1, D] to [B, D, L]."""
    return x.reshape(x.shape[0], x.shape[1], -1).transpose(1, 2).contiguous()


def time_second(x, like):
    return x.transpose(1, 2).reshape(like.shape)


class AcceleratedScan(Form):
    package, module, function = "accelerated_scan", "accelerated_scan.warp", "scan"
    name = "accelerated-scan, warp"
    says = "float32; operands [B, D, L]"

    @staticmethod
    def fits(row):
        return row["recurrence"] == "elementwise" and not row["size"]["complex"]

    def prepare(self, x):
        return {"a": time_last(x["a"]), "x": time_last(x["x"])}

    def out(self, leaves):
        return self.call(leaves["a"], leaves["x"])

    def out_gradient(self, d_out):
        return time_last(d_out)

    def shown(self, out):
        return time_second(out, self.like)

    def gradients(self, x, leaves, d):
        return {name: time_second(d[name], x[name]) for name in ("a", "x")}


class AcceleratedScanTriton(AcceleratedScan):
    module, name = "accelerated_scan.scalar", "accelerated-scan, Triton"


class AcceleratedScanComplex(AcceleratedScan):
    module, name = "accelerated_scan.complex", "accelerated-scan, complex"
    says = "complex64; operands [B, D, L]"

    @staticmethod
    def fits(row):
        return row["recurrence"] == "elementwise" and row["size"]["complex"]


class ChunkHgrn(Form):
    package, module, function = "fla", "fla.ops.hgrn.chunk", "chunk_hgrn"
    name = "flash-linear-attention, chunk_hgrn"
    says = "float32; log gates"

    @staticmethod
    def fits(row):
        return row["recurrence"] == "elementwise" and not row["size"]["complex"]

    def prepare(self, x):
        return {"x": x["x"].squeeze(2).contiguous(), "g": x["a"].squeeze(2).log().contiguous()}

    def out(self, leaves):
        return self.call(leaves["x"], leaves["g"])[0]

    def out_gradient(self, d_out):
        return d_out.squeeze(2).contiguous()

    def shown(self, out):
        return out.unsqueeze(2)

    def gradients(self, x, leaves, d):
        return {"x": d["x"].unsqueeze(2), "a": d["g"].unsqueeze(2) / x["a"]}


class RecurrentHgrn(ChunkHgrn):
    module, function = "fla.ops.hgrn.fused_recurrent", "fused_recurrent_hgrn"
    name = "flash-linear-attention, fused_recurrent_hgrn"


class SelectiveScan(Form):
    package, module = "mamba_ssm", "mamba_ssm.ops.selective_scan_interface"
    function, name = "selective_scan_fn", "mamba-ssm, selective_scan_fn"
    says = "bf16, A, D and delta_bias float32; operands [B, D, L]"

    @staticmethod
    def fits(row):
        return row["recurrence"] == "selective_scan"

    def prepare(self, x):
        leaves = {name: time_last(x[name]) for name in ("u", "delta", "z")}
        # [B, L, 1, N] to [B, 1, N, L]
        leaves |= {name: x[name].permute(0, 2, 3, 1).contiguous() for name in ("B", "C")}
        leaves |= {name: x[name].float() for name in ("A", "D", "delta_bias")}
        return leaves

    def out(self, leaves):
        given = [leaves[name] for name in ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")]
        return self.call(*given, delta_softplus=True)

    def out_gradient(self, d_out):
        return time_last(d_out)

    def shown(self, out):
        return time_second(out, self.like)

    def gradients(self, x, leaves, d):
        made = {name: time_second(d[name], x[name]) for name in ("u", "delta", "z")}
        made |= {name: d[name].permute(0, 3, 1, 2) for name in ("B", "C")}
        return made | {name: d[name] for name in ("A", "D", "delta_bias")}


class ChunkGla(Form):
    package, module, function = "fla", "fla.ops.gla", "chunk_gla"
    name = "flash-linear-attention, chunk_gla"
    says = "bf16"

    @staticmethod
    def fits(row):
        size = row["size"]
        return row["recurrence"] == "gla" and not size["scalar_gate"] and size["time"] > 1

    def prepare(self, x):
        return dict(x)

    def out(self, leaves):
        q, k, v, g = (leaves[name] for name in ("q", "k", "v", "log_decay"))
        return self.call(q, k, v, g, scale=1.0)[0]

    def gradients(self, x, leaves, d):
        return dict(d)


class ChunkSimpleGla(Form):
    package, module, function = "fla", "fla.ops.simple_gla", "chunk_simple_gla"
    name = "flash-linear-attention, chunk_simple_gla"
    says = "bf16"

    @staticmethod
    def fits(row):
        return row["recurrence"] == "gla" and row["size"]["scalar_gate"]

    def prepare(self, x):
        return x | {"log_decay": x["log_decay"].squeeze(3)}

    def out(self, leaves):
        q, k, v, g = (leaves[name] for name in ("q", "k", "v", "log_decay"))
        return self.call(q, k, v, g=g, scale=1.0)[0]

    def gradients(self, x, leaves, d):
        return d | {"log_decay": d["log_decay"].unsqueeze(3)}


class Ssd(Form):
    """Mamba-2's: with A = -1 its gate is exp(-dt), and it multiplies its inputs by dt."""

    package, module = "mamba_ssm", "mamba_ssm.ops.triton.ssd_combined"
    function, name = "mamba_chunk_scan_combined", "mamba-ssm, mamba_chunk_scan_combined"
    says = "bf16, dt and A float32; a group a head, chunks of 256; inputs divided by dt beforehand"

    @staticmethod
    def fits(row):
        return row["recurrence"] == "gla" and row["size"]["scalar_gate"]

    def prepare(self, x):
        dt = -x["log_decay"].squeeze(3).float()
        inputs = (x["v"].float() / dt.unsqueeze(3)).to(x["v"].dtype)
        return {"x": inputs, "dt": dt, "A": dt.new_full((dt.shape[2],), -1.0), "B": x["k"],
                "C": x["q"]}  # fmt: skip

    def out(self, leaves):
        given = [leaves[name] for name in ("x", "dt", "A", "B", "C")]
        return self.call(*given, chunk_size=256)

    def gradients(self, x, leaves, d):
        # dt is gate and factor in one: its gradient is not the gate's alone
        return {"q": d["C"], "k": d["B"], "v": d["x"].float() / leaves["dt"].unsqueeze(3)}


FORMS = (AcceleratedScan, AcceleratedScanTriton, AcceleratedScanComplex, ChunkHgrn, RecurrentHgrn,
         SelectiveScan, ChunkGla, ChunkSimpleGla, Ssd)  # fmt: skip
PACKAGES = ("fla", "mamba_ssm", "accelerated_scan")
