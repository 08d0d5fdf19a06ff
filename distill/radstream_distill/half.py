"""A half-precision copy of a model folder, for GPUs. Ids and mask stay integers, logits and evidence stay fp32.

On a CPU ONNX Runtime has no fp16 kernels for most of the graph and casts around each operator: slower than fp32 there,
but enough to hold the copy against its original, which is what `halve` does before it writes the manifest.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from radstream_distill import calibrate, manifest
from radstream_distill.manifest import digest
from radstream_distill.runtime import Session

LARGEST = 0.02
"""Largest difference of a calibrated probability between the copy and its original that is let through."""


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with fp16 weights and arithmetic. Raises `ValueError` when a weight is beyond fp16's range."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor)
            if np.abs(values).max(initial=0.0) > np.finfo(np.float16).max:
                raise ValueError(f"{tensor.name} does not fit half precision")
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name in outputs:
                    names[place] = f"{name}_half"
    graph.node.extend(
        helper.make_node("Cast", [f"{name}_half"], [name], name=f"{name}_cast", to=TensorProto.FLOAT)
        for name in sorted(outputs)
    )
    return half


def halve(source: Path, out: Path, texts: Sequence[str]) -> dict[str, float]:
    """Writes the fp16 copy of `source` to `out` and returns how far it is from the original on `texts`.

    Raises `RuntimeError` when a probability moves by more than `LARGEST` or the self-test fails.
    """
    described = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    model = to_half(onnx.load(str(source / "model.onnx")))
    (out / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    shutil.copyfile(source / "tokenizer.json", out / "tokenizer.json")

    limit = int(described["max_tokens"])
    ours, theirs = (Session.open(folder, limit).logits(texts) for folder in (out, source))
    near, far = (calibrate.probabilities(logits, described["temperatures"]) for logits in (ours, theirs))
    parity = {
        "texts": float(len(texts)),
        "largest_logit_difference": float(np.abs(ours - theirs).max()),
        "largest_probability_difference": float(np.abs(near - far).max()),
        "cells_changed": float((ours.argmax(-1) != theirs.argmax(-1)).sum()),
    }
    if parity["largest_probability_difference"] > LARGEST:
        raise RuntimeError(f"half precision moves a probability by {parity['largest_probability_difference']:.3f}")

    described["files"] = {name: digest(out / name) for name in manifest.FILES}
    described["name"] += "-fp16"
    described["version"] = f"{described['version'].rsplit('-', 1)[0]}-{described['files']['model.onnx']['sha256'][:8]}"
    described["training"]["half_precision_parity"] = parity
    manifest.write(described, out)
    problems = manifest.verify(out)
    if problems:
        raise RuntimeError("the fp16 folder does not verify: " + "; ".join(problems))
    return parity
