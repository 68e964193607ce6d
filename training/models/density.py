"""The network by which the autoencoder looks at all tracks; see ``segue.models.autoencoder``."""

from onnx import TensorProto, helper

from segue.models.vectors import ZERO
from training.models.products import serialized


def density_network() -> bytes:
    """As ONNX: interests (n, width) uint8, shifted by ZERO, steps (n, 1) and weights (n,) float32,
    tracks (width, tracks) int8 -> density (tracks,), the sum over interests of
    ``weight exp(step * product)``."""
    nodes = [
        helper.make_node("MatMulInteger", ["interests", "tracks", "zero"], ["products"]),
        helper.make_node("Cast", ["products"], ["sums"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["sums", "steps"], ["exponents"]),
        helper.make_node("Exp", ["exponents"], ["kernel"]),
        helper.make_node("MatMul", ["weights", "kernel"], ["density"]),
    ]
    inputs = [
        helper.make_tensor_value_info("interests", TensorProto.UINT8, ["n", "width"]),
        helper.make_tensor_value_info("steps", TensorProto.FLOAT, ["n", 1]),
        helper.make_tensor_value_info("weights", TensorProto.FLOAT, ["n"]),
        helper.make_tensor_value_info("tracks", TensorProto.INT8, ["width", "tracks"]),
    ]
    output = helper.make_tensor_value_info("density", TensorProto.FLOAT, ["tracks"])
    zero = helper.make_tensor("zero", TensorProto.UINT8, [], [ZERO])
    return serialized(helper.make_graph(nodes, "density", inputs, [output], [zero]))
