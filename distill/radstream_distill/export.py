"""Writes the student as a lean ONNX graph (performance notes: own exporter, no traced graph).

* Position projections depend on weights only: they become constants, one column per signed distance; a length-S batch
  slices the 2S-1 columns it can reach and moves them into place by reshape and slice (no gather, no expand).
* The scale 1/sqrt(3d) is folded into the query weights and the position tables.
* The mask covers keys only; rows of padding hold no meaning and are ignored.
* Attention, SkipLayerNormalization and Gelu are ONNX Runtime's fused operators, written directly.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from radstream_distill.model import MASKED, Attention, Layer, Student
from radstream_distill.schema import OBSERVATIONS

OPSET = 17
IR_VERSION = 8
CONTRIB = "com.microsoft"
Array = npt.NDArray[np.float32]


class _Graph:
    """Collects nodes and constants under readable names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, npt.NDArray[np.generic]] = {}

    def constant(self, name: str, value: npt.NDArray[np.generic]) -> str:
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def integers(self, *values: int) -> str:
        name = "int_" + "_".join(str(value).replace("-", "m") for value in values)
        return self.constant(name, np.asarray(values, dtype=np.int64))

    def add(self, op: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes))
        return output


def export(student: Student, path: Path, max_tokens: int) -> Counter[str]:
    """Writes the graph and returns how often each operator stands in it."""
    student = student.eval()
    encoder = student.encoder
    graph = _Graph()
    with torch.no_grad():
        _shapes(graph, max_tokens)
        graph.constant("words", _array(encoder.words.weight))
        graph.add("Gather", ["words", "input_ids"], "embedded", axis=0)
        hidden = graph.add(
            "LayerNormalization",
            [
                "embedded",
                graph.constant("embedding_norm_scale", _array(encoder.norm.weight)),
                graph.constant("embedding_norm_bias", _array(encoder.norm.bias)),
            ],
            "hidden_0",
            axis=-1,
            epsilon=encoder.config.layer_norm_eps,
        )
        positions = encoder.distance_table(max_tokens)
        for number, layer in enumerate(encoder.layers):
            assert isinstance(layer, Layer)
            hidden = _layer(graph, layer, number, hidden, positions)
        _pooling(graph, student, hidden)
    model = _model(graph)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return operators(path)


def operators(path: Path) -> Counter[str]:
    """How often each operator stands in a graph."""
    return Counter(node.op_type for node in onnx.load(str(path)).graph.node)


def _array(tensor: torch.Tensor) -> Array:
    return tensor.detach().float().cpu().numpy().copy()


def _shapes(graph: _Graph, max_tokens: int) -> None:
    """Key mask, and the bounds of every slice, once for all layers."""
    graph.add("Shape", ["input_ids"], "length", start=1, end=2)
    # Columns of distance -(S-1)..=S-1 in a table that spans -(max-1)..=max-1.
    graph.add("Sub", [graph.integers(max_tokens), "length"], "columns_start")
    graph.add("Add", [graph.integers(max_tokens - 1), "length"], "columns_end")
    graph.add("Sub", ["length", graph.integers(1)], "window_start")
    graph.add("Mul", ["length", graph.integers(2)], "twice")
    graph.add("Sub", ["twice", graph.integers(2)], "window_width")
    graph.add("Mul", ["length", "window_width"], "window_size")
    graph.add("Add", ["window_start", "window_size"], "window_end")
    graph.add("Concat", [graph.integers(0, 0), "length", "window_width"], "window_shape", axis=0)
    graph.add("Cast", ["attention_mask"], "mask_float", to=TensorProto.FLOAT)
    graph.add("Sub", [graph.constant("one", np.float32(1).reshape(1)), "mask_float"], "mask_padding")
    graph.add("Mul", ["mask_padding", graph.constant("masked", np.float32(MASKED).reshape(1))], "mask_rows")
    graph.add("Unsqueeze", ["mask_rows", graph.integers(1)], "mask_pooling")
    graph.add("Unsqueeze", ["mask_rows", graph.integers(1, 2)], "mask_keys")


def _shift(graph: _Graph, scores: str, name: str) -> str:
    """The relative shift of `model.relative_shift`."""
    graph.add("Reshape", [scores, graph.integers(0, 0, -1)], f"{name}_flat")
    graph.add("Slice", [f"{name}_flat", "window_start", "window_end", graph.integers(2)], f"{name}_window")
    graph.add("Reshape", [f"{name}_window", "window_shape"], f"{name}_rows")
    return graph.add("Slice", [f"{name}_rows", graph.integers(0), "length", graph.integers(3)], f"{name}_shifted")


def _linear(graph: _Graph, name: str, weight: Array, bias: Array, source: str) -> str:
    graph.add("MatMul", [source, graph.constant(f"{name}_weight", weight)], f"{name}_product")
    return graph.add("Add", [f"{name}_product", graph.constant(f"{name}_bias", bias)], name)


def _layer(graph: _Graph, layer: Layer, number: int, hidden: str, positions: torch.Tensor) -> str:
    name = f"layer_{number}"
    attention = _attention(graph, layer.attention, name, hidden, positions)
    norm = layer.attention.norm
    middle = _skip_norm(graph, f"{name}_attended", attention, hidden, _array(layer.attention.dense.bias), norm)
    graph.add("MatMul", [middle, graph.constant(f"{name}_up_weight", _array(layer.up.weight).T)], f"{name}_up")
    graph.add(
        "BiasGelu",
        [f"{name}_up", graph.constant(f"{name}_up_bias", _array(layer.up.bias))],
        f"{name}_gelu",
        domain=CONTRIB,
    )
    graph.add(
        "MatMul",
        [f"{name}_gelu", graph.constant(f"{name}_down_weight", _array(layer.down.weight).T)],
        f"{name}_down",
    )
    return _skip_norm(graph, f"{name}_out", f"{name}_down", middle, _array(layer.down.bias), layer.norm)


def _skip_norm(graph: _Graph, name: str, source: str, skip: str, bias: Array, norm: torch.nn.LayerNorm) -> str:
    return graph.add(
        "SkipLayerNormalization",
        [
            source,
            skip,
            graph.constant(f"{name}_scale", _array(norm.weight)),
            graph.constant(f"{name}_shift", _array(norm.bias)),
            graph.constant(f"{name}_skip_bias", bias),
        ],
        name,
        domain=CONTRIB,
        epsilon=norm.eps,
    )


def _attention(graph: _Graph, attention: Attention, name: str, hidden: str, positions: torch.Tensor) -> str:
    """Query and key are needed by head for the position scores, and flat for the fused operator."""
    heads, size = attention.heads, attention.size
    scale = 1 / math.sqrt(3 * size)

    def table(projection: torch.nn.Module, factor: float, *, flip: bool) -> Array:
        rows = projection(positions).view(len(positions), heads, size).permute(1, 2, 0) * factor
        return _array(rows.flip(-1) if flip else rows)

    def by_head(source: str) -> str:
        graph.add("Reshape", [source, graph.integers(0, 0, heads, size)], f"{source}_split")
        return graph.add("Transpose", [f"{source}_split"], f"{source}_heads", perm=[0, 2, 1, 3])

    def position_scores(source: str, values: Array, label: str) -> str:
        constant = graph.constant(f"{name}_{label}_table", values)
        columns = graph.add(
            "Slice", [constant, "columns_start", "columns_end", graph.integers(2)], f"{name}_{label}_columns"
        )
        graph.add("MatMul", [source, columns], f"{name}_{label}_scores")
        return _shift(graph, f"{name}_{label}_scores", f"{name}_{label}")

    query = _linear(
        graph,
        f"{name}_query",
        _array(attention.query.weight).T * np.float32(scale),
        _array(attention.query.bias) * np.float32(scale),
        hidden,
    )
    key = _linear(graph, f"{name}_key", _array(attention.key.weight).T, _array(attention.key.bias), hidden)
    value = _linear(graph, f"{name}_value", _array(attention.value.weight).T, _array(attention.value.bias), hidden)
    to_position = position_scores(by_head(query), table(attention.key, 1.0, flip=True), "c2p")
    from_position = position_scores(by_head(key), table(attention.query, scale, flip=False), "p2c")
    graph.add("Transpose", [from_position], f"{name}_p2c_bias", perm=[0, 1, 3, 2])
    graph.add("Add", [to_position, f"{name}_p2c_bias"], f"{name}_positions")
    graph.add("Add", [f"{name}_positions", "mask_keys"], f"{name}_bias")
    context = graph.add(
        "MultiHeadAttention",
        [query, key, value, "", "", f"{name}_bias"],
        f"{name}_context",
        domain=CONTRIB,
        num_heads=heads,
        scale=1.0,
    )
    weight = graph.constant(f"{name}_dense_weight", _array(attention.dense.weight).T)
    return graph.add("MatMul", [context, weight], f"{name}_dense")


def _pooling(graph: _Graph, student: Student, hidden: str) -> None:
    pooling, count = student.pooling, len(OBSERVATIONS)
    for part, layer in (("attend", pooling.attend), ("judge", pooling.judge)):
        linear = _linear(graph, f"pool_{part}", _array(layer.weight).T, _array(layer.bias), hidden)
        graph.add("Transpose", [linear], f"pool_{part}_tokens", perm=[0, 2, 1])
    graph.add("Add", ["pool_attend_tokens", "mask_pooling"], "pool_scores")
    graph.add("Softmax", ["pool_scores"], "pool_weights", axis=-1)
    graph.add("Mul", ["pool_weights", "pool_judge_tokens"], "pool_terms")
    graph.add("ReduceSum", ["pool_terms", graph.integers(-1)], "pool_sums", keepdims=0)
    graph.add("Reshape", ["pool_sums", graph.integers(0, count, 3)], "asserted")
    pads = graph.constant("pad_status", np.asarray([0, 0, 1, 0, 0, 0], dtype=np.int64))
    graph.add("Pad", ["asserted", pads], "logits", mode="constant")
    graph.add("Softmax", ["asserted"], "status_share", axis=-1)
    graph.add("Unsqueeze", ["status_share", graph.integers(2)], "status_share_row")
    graph.add("Concat", [graph.integers(0, count, 3), "length"], "status_shape", axis=0)
    graph.add("Reshape", ["pool_weights", "status_shape"], "status_weights")
    graph.add("MatMul", ["status_share_row", "status_weights"], "evidence_row")
    graph.add("Squeeze", ["evidence_row", graph.integers(2)], "evidence")


def _model(graph: _Graph) -> onnx.ModelProto:
    count = len(OBSERVATIONS)
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", count, 4]),
        helper.make_tensor_value_info("evidence", TensorProto.FLOAT, ["batch", count, "sequence"]),
    ]
    used = {name for node in graph.nodes for name in node.input}
    constants = [numpy_helper.from_array(value, name) for name, value in graph.constants.items() if name in used]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "radstream_student", ids, outputs, initializer=constants),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)],
        producer_name="radstream-distill",
    )
    model.ir_version = IR_VERSION
    return model
