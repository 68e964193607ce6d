"""The network that multiplies vectors in a byte a number; see ``segue.models.vectors``."""

from functools import cache

import onnxruntime as ort
from onnx import GraphProto, TensorProto, helper

from segue.features.encoder import FloatArray
from segue.models.vectors import ZERO, Vectors, rounded

# What ONNX Runtime has understood for years.
_OPSET, _IR = 13, 8


def products_network() -> bytes:
    """As ONNX: others (m, width) uint8 and numbers (width, n) int8 -> products (m, n) int32."""
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["others", "numbers", "zero"], ["products"])],
        "products",
        [
            helper.make_tensor_value_info("others", TensorProto.UINT8, ["m", "width"]),
            helper.make_tensor_value_info("numbers", TensorProto.INT8, ["width", "n"]),
        ],
        [helper.make_tensor_value_info("products", TensorProto.INT32, ["m", "n"])],
        [helper.make_tensor("zero", TensorProto.UINT8, [], [ZERO])],
    )
    return serialized(graph)


def serialized(graph: GraphProto) -> bytes:
    """The file of a network."""
    opset = helper.make_opsetid("", _OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR)
    content: bytes = model.SerializeToString()
    return content


@cache
def _network() -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(products_network(), options, providers=["CPUExecutionProvider"])


def vectors_of(values: FloatArray) -> Vectors:
    """(n, width) float32, rounded as the bundle keeps them."""
    return Vectors(*rounded(values), _network())
