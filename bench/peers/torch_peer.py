"""PyTorch on the CPU: the forms that people write (torch_forms), eager and through torch.compile.

All forms are functional (nothing is written in place), so that one text serves forward and
gradients. compare.py tries them all and times the fastest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from rows import BACKWARD, FORWARD, Row
from torch_forms import channels, delta, elementwise, gla, mamba2, mlstm, rwkv, selective_scan

FAMILIES = {
    "elementwise": elementwise, "gla": gla, "selective_scan": selective_scan, "mamba2": mamba2,
    "gated_delta_net": delta, "rwkv7": delta, "rwkv6": rwkv, "mlstm": mlstm, "hgrn": channels,
    "min_gru": channels, "rg_lru": channels, "rwkv4": channels,
}


def versions() -> dict[str, str]:
    blas = "MKL" if torch.backends.mkl.is_available() else "not MKL"
    return {"torch": torch.__version__, "BLAS": blas,
            "vectors": torch.backends.cpu.get_cpu_capability()}


def use_threads(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)


def forms(row: Row) -> Iterator[tuple[str, Callable]]:
    return FAMILIES[row.recurrence].forms(row)


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
