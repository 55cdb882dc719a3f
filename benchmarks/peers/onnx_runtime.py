"""ONNX Runtime, serving only; the model is built here."""

from collections.abc import Callable
from typing import Any

import onnx
import onnxruntime
from onnx import helper, numpy_helper

from benchmarks import peers
from benchmarks.works import Network, Serving

ACTIVATIONS = {"ReLU": "Relu", "Tanh": "Tanh", "Sigmoid": "Sigmoid"}


def model(network: Network) -> bytes:
    """Write the network as a chain of Gemm nodes and activations."""
    nodes, constants, name = [], [], "x"
    for i, arrays in enumerate(network.layers()):
        if i:
            nodes.append(helper.make_node(ACTIVATIONS[network.activation], [name], [f"a{i}"]))
            name = f"a{i}"
        names = [f"weight{i}", f"bias{i}"]
        constants += map(numpy_helper.from_array, arrays, names)
        nodes.append(helper.make_node("Gemm", [name, *names], [f"z{i}"]))
        name = f"z{i}"
    kind = helper.np_dtype_to_tensor_dtype(arrays[0].dtype)
    ends = [
        helper.make_tensor_value_info(end, kind, [None, width])
        for end, width in (("x", network.widths[0]), (name, network.widths[-1]))
    ]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], constants)
    opset = helper.make_opsetid("", 17)
    return onnx.ModelProto.SerializeToString(
        helper.make_model(graph, ir_version=8, opset_imports=[opset])
    )


class Peer(peers.Peer):
    """ONNX Runtime on the CPU."""

    version = onnxruntime.__version__

    def serve(self, work: Serving) -> Callable[[], Any]:
        """Return a call of a session."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        session = onnxruntime.InferenceSession(
            model(work.network), options, providers=["CPUExecutionProvider"]
        )
        feed = {"x": work.data()}
        return lambda: session.run(None, feed)[0]
