"""What every peer's results are held against: token by token, in float64, from the definitions."""

from __future__ import annotations

import numpy as np
from references import channels, delta, matrix, mlstm, selective_scan
from rows import Row

FAMILIES = (channels, delta, matrix, mlstm, selective_scan)


def results(row: Row, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Forward: out and final_state. Otherwise: the gradient of every operand."""
    wide = {name: v.astype(np.complex128 if np.iscomplexobj(v) else np.float64)
            for name, v in x.items()}
    family = next(m for m in FAMILIES if hasattr(m, row.recurrence))
    return getattr(family, row.recurrence)(row, wide)


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
