"""Reads the encoder of a published DeBERTa-v3 checkpoint from a local folder (preset `base`)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from radstream_distill.config import EncoderConfig

_REQUIRED = {
    "relative_attention": True,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
    "type_vocab_size": 0,
    "hidden_act": "gelu",
}
_LAYER = {
    "attention.self.query_proj": "attention.query",
    "attention.self.key_proj": "attention.key",
    "attention.self.value_proj": "attention.value",
    "attention.output.dense": "attention.dense",
    "attention.output.LayerNorm": "attention.norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
}
_OUTER = {
    "embeddings.word_embeddings.weight": "words.weight",
    "embeddings.LayerNorm.weight": "norm.weight",
    "embeddings.LayerNorm.bias": "norm.bias",
    "encoder.rel_embeddings.weight": "positions.weight",
    "encoder.LayerNorm.weight": "position_norm.weight",
    "encoder.LayerNorm.bias": "position_norm.bias",
}


def encoder_config(published: dict[str, Any], wanted: EncoderConfig) -> EncoderConfig:
    """Shape of a published checkpoint. Raises `ValueError` on a variant that this encoder does not compute."""
    for key, value in _REQUIRED.items():
        if published.get(key, value) != value:
            raise ValueError(f"checkpoint has {key}={published[key]!r}; only {value!r} is supported")
    kinds = published.get("pos_att_type", [])
    kinds = kinds.split("|") if isinstance(kinds, str) else kinds
    if set(kinds) != {"c2p", "p2c"} or published.get("conv_kernel_size", 0):
        raise ValueError("only c2p and p2c attention without a convolution is supported")
    reach = published.get("max_relative_positions", -1)
    return dataclasses.replace(
        wanted,
        vocab_size=published["vocab_size"],
        hidden=published["hidden_size"],
        layers=published["num_hidden_layers"],
        heads=published["num_attention_heads"],
        intermediate=published["intermediate_size"],
        position_buckets=published["position_buckets"],
        max_relative_positions=reach if reach > 0 else published["max_position_embeddings"],
        layer_norm_eps=published["layer_norm_eps"],
    )


def encoder_weights(published: dict[str, Tensor], config: EncoderConfig) -> dict[str, Tensor]:
    """Renames the tensors of a checkpoint; what is no part of the encoder (heads) is left out.

    Raises `ValueError` when a tensor of the encoder is missing.
    """
    named = {name.removeprefix("deberta."): tensor.float() for name, tensor in published.items()}
    pairs = dict(_OUTER)
    for layer in range(config.layers):
        for theirs, ours in _LAYER.items():
            for kind in ("weight", "bias"):
                pairs[f"encoder.layer.{layer}.{theirs}.{kind}"] = f"layers.{layer}.{ours}.{kind}"
    missing = sorted(set(pairs) - set(named))
    if missing:
        raise ValueError(f"checkpoint lacks {len(missing)} tensors, first {missing[0]}")
    return {ours: named[theirs] for theirs, ours in pairs.items()}


def load_deberta(folder: Path, wanted: EncoderConfig) -> tuple[EncoderConfig, dict[str, Tensor]]:
    """Configuration and encoder weights of a local checkpoint folder (safetensors or a PyTorch file)."""
    config = encoder_config(json.loads((folder / "config.json").read_text(encoding="utf-8")), wanted)
    tensors = folder / "model.safetensors"
    if tensors.exists():
        from safetensors.torch import load_file

        state = load_file(tensors)
    else:
        state = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    return config, encoder_weights(state, config)
