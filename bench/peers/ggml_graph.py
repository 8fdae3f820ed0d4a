"""A graph of ggml's operators over arrays of numpy, through ggml-python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import ggml
import numpy as np

threads_to_use = 1


def use_threads(threads: int) -> None:
    global threads_to_use
    threads_to_use = threads


class Graph:
    """Tensors and the operators over them. Lives as long as its process."""

    def __init__(self):
        overhead = 64 * ggml.ggml_tensor_overhead() + ggml.ggml_graph_overhead()
        self.context = ggml.ggml_init(ggml.ggml_init_params(mem_size=overhead, no_alloc=True))
        self.backend = ggml.ggml_backend_cpu_init()
        ggml.ggml_backend_cpu_set_n_threads(self.backend, threads_to_use)
        self.values = []

    def tensor(self, y: np.ndarray):
        """A tensor of y's numbers; ggml counts extents from the innermost."""
        kind = ggml.GGML_TYPE_I32 if y.dtype == np.int32 else ggml.GGML_TYPE_F32
        extents = (ctypes.c_int64 * y.ndim)(*reversed(y.shape))
        x = ggml.ggml_new_tensor(self.context, kind, y.ndim, extents)
        self.values.append((x, np.ascontiguousarray(y)))
        return x

    def runner(self, last, *results) -> Callable[[], list[np.ndarray]]:
        """A call that computes `last` and shows (tensor, first number, shape) as arrays."""
        graph = ggml.ggml_new_graph(self.context)
        ggml.ggml_build_forward_expand(graph, last)
        if not ggml.ggml_backend_alloc_ctx_tensors(self.context, self.backend):
            raise MemoryError("ggml got no memory")
        for x, y in self.values:
            ctypes.memmove(ggml.ggml_get_data(x), y.ctypes.data, y.nbytes)
        self.values.clear()

        def show(x, first, shape):
            numbers = (ctypes.c_float * ggml.ggml_nelements(x)).from_address(ggml.ggml_get_data(x))
            return np.frombuffer(numbers, np.float32)[first:][:int(np.prod(shape))].reshape(shape)

        def run():
            if ggml.ggml_backend_graph_compute(self.backend, graph) != 0:
                raise RuntimeError("ggml could not compute")
            return [show(*r) for r in results]
        return run
