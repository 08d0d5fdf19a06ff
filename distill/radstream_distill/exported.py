"""Reads the student back out of a model folder, so that a site can go on from the one that ships.

The graph keeps no position embeddings: `export.py` folds them into a table per layer. They are worked out of those
tables again. Each table is a linear image of the same normalised position vectors, so the vectors follow by least
squares; embeddings and norm that give these vectors are not unique, and any that do are as good.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from radstream_distill.config import EncoderConfig
from radstream_distill.model import distance_buckets

Array = npt.NDArray[np.float64]

CLOSE = 1e-3
"""Largest error of a position vector that may come of reading it back."""


def load_exported(folder: Path) -> tuple[EncoderConfig, dict[str, Tensor]]:
    """Shape and weights of the student in a model folder.

    Raises `ValueError` when the folder's network is not one that this package has exported in fp32.
    """
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    shape: dict[str, Any] = dict(manifest["training"]["encoder"])
    shape["start_from"] = ""
    config = EncoderConfig(**shape)
    graph = onnx.load(str(folder / "model.onnx")).graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    try:
        if constants["words"].dtype != np.float32:
            raise ValueError(f"{folder / 'model.onnx'}: its weights are not fp32; start from the folder it was made of")
        return config, _weights(constants, config, int(manifest["max_tokens"]))
    except KeyError as missing:
        raise ValueError(f"{folder / 'model.onnx'}: no constant {missing}; it is no export of this package") from None


def _weights(constants: dict[str, npt.NDArray[Any]], config: EncoderConfig, max_tokens: int) -> dict[str, Tensor]:
    scale = 1 / math.sqrt(3 * (config.hidden // config.heads))
    weights: dict[str, npt.NDArray[Any]] = {
        "encoder.words.weight": constants["words"],
        "encoder.norm.weight": constants["embedding_norm_scale"],
        "encoder.norm.bias": constants["embedding_norm_bias"],
    }
    for number in range(config.layers):
        name, ours = f"layer_{number}", f"encoder.layers.{number}"
        for part in ("query", "key", "value"):
            factor = scale if part == "query" else 1.0
            weights[f"{ours}.attention.{part}.weight"] = constants[f"{name}_{part}_weight"].T / factor
            weights[f"{ours}.attention.{part}.bias"] = constants[f"{name}_{part}_bias"] / factor
        weights[f"{ours}.attention.dense.weight"] = constants[f"{name}_dense_weight"].T
        weights[f"{ours}.attention.dense.bias"] = constants[f"{name}_attended_skip_bias"]
        for part in ("up", "down"):
            weights[f"{ours}.{part}.weight"] = constants[f"{name}_{part}_weight"].T
        weights[f"{ours}.up.bias"] = constants[f"{name}_up_bias"]
        weights[f"{ours}.down.bias"] = constants[f"{name}_out_skip_bias"]
        for norm, place in (("attention.norm", "attended"), ("norm", "out")):
            weights[f"{ours}.{norm}.weight"] = constants[f"{name}_{place}_scale"]
            weights[f"{ours}.{norm}.bias"] = constants[f"{name}_{place}_shift"]
    for part in ("attend", "judge"):
        weights[f"pooling.{part}.weight"] = constants[f"pool_{part}_weight"].T
        weights[f"pooling.{part}.bias"] = constants[f"pool_{part}_bias"]
    named = {name: torch.from_numpy(np.array(value, dtype=np.float32)) for name, value in weights.items()}
    embeddings, gain, bias = _embeddings(_vectors(constants, config, max_tokens))
    named["encoder.positions.weight"] = torch.from_numpy(embeddings.astype(np.float32))
    named["encoder.position_norm.weight"] = torch.from_numpy(gain.astype(np.float32))
    named["encoder.position_norm.bias"] = torch.from_numpy(bias.astype(np.float32))
    return named


def _vectors(constants: dict[str, npt.NDArray[Any]], config: EncoderConfig, max_tokens: int) -> Array:
    """The normalised position vectors `[2 * buckets, hidden]`, zeros where no distance falls into a bucket."""
    index = distance_buckets(max_tokens, config.position_buckets, config.max_relative_positions).numpy()
    sides, images = [], []
    for number in range(config.layers):
        # Tables are `[heads, size, 2S-1]`: column by column the image of one distance's vector.
        # The query's weight and bias hold the scale, and so does its table.
        for part, table, flip in (("key", "c2p", True), ("query", "p2c", False)):
            columns = np.asarray(constants[f"layer_{number}_{table}_table"], dtype=np.float64)
            columns = columns.reshape(config.hidden, -1)
            columns = columns[:, ::-1] if flip else columns
            weight = np.asarray(constants[f"layer_{number}_{part}_weight"], dtype=np.float64)
            bias = np.asarray(constants[f"layer_{number}_{part}_bias"], dtype=np.float64)
            sides.append(weight.T)
            images.append(columns - bias[:, None])
    side, image = np.concatenate(sides), np.concatenate(images)
    by_distance, *_ = np.linalg.lstsq(side, image, rcond=None)
    error = float(np.abs(side @ by_distance - image).max())
    if error > CLOSE:
        raise ValueError(f"the position tables do not fit the projections: off by {error:.1e}")
    vectors: Array = np.zeros((2 * config.position_buckets, config.hidden))
    for bucket in range(len(vectors)):
        met = by_distance[:, index == bucket]
        if met.size:
            vectors[bucket] = met.mean(1)
    return vectors


def _embeddings(vectors: Array) -> tuple[Array, Array, Array]:
    """Rows with mean 0 and variance 1, a gain and a bias, so that `rows * gain + bias` are the vectors.

    Found by descent: two conditions a row, and two unknowns a column, of which there are more.
    """
    used = np.abs(vectors).sum(1) > 0
    wanted = torch.from_numpy(vectors[used])
    log_gain = wanted.std(0).clamp_min(1e-3).log().requires_grad_()
    bias = wanted.mean(0).requires_grad_()

    def rows() -> Tensor:
        return (wanted - bias) / log_gain.exp()

    optimizer = torch.optim.LBFGS(
        [log_gain, bias], max_iter=2000, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        found = rows()
        loss = (found.mean(1) ** 2).sum() + ((found.var(1, unbiased=False) - 1) ** 2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        found, gain = rows(), log_gain.exp()
        norm = torch.nn.functional.layer_norm(found, (found.shape[1],)) * gain + bias
        error = float((norm - wanted).abs().max())
    if error > CLOSE:
        raise ValueError(f"no position embeddings give the tables of this network: off by {error:.1e}")
    embeddings = np.zeros_like(vectors)
    embeddings[used] = found.numpy()
    return embeddings, gain.numpy(), bias.detach().numpy()
