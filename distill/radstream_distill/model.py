"""The student: a DeBERTa-v3 encoder with per-observation, per-status attention pooling.

The encoder is written for training and for export alike. It computes what `transformers`' `DebertaV2Model` computes
with `share_att_key`, `pos_att_type = c2p|p2c`, `norm_rel_ebd = layer_norm` (a test holds the two together), but without
gathers: position scores are taken against tables indexed by signed distance and moved into place by a relative shift.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from radstream_distill.config import EncoderConfig
from radstream_distill.schema import OBSERVATIONS

MASKED = -1e4
"""Added to the scores of padding keys. Large enough to vanish in fp32 and fp16, small enough for fp16's range."""


def distance_buckets(length: int, buckets: int, max_distance: int) -> Tensor:
    """Row of the position table for each signed distance query - key in `-(length-1)..=length-1`.

    Exact near zero, logarithmic beyond `buckets / 2`, as DeBERTa-v2 defines it.
    """
    distance = torch.arange(-(length - 1), length, dtype=torch.float64)
    middle = buckets // 2
    magnitude = torch.where(
        distance.abs() < middle, torch.tensor(float(middle - 1), dtype=torch.float64), distance.abs()
    )
    far = torch.ceil(torch.log(magnitude / middle) / math.log((max_distance - 1) / middle) * (middle - 1)) + middle
    bucket = torch.where(magnitude <= middle, distance, far * torch.sign(distance))
    return (bucket.long() + buckets).clamp(0, 2 * buckets - 1)


def relative_shift(scores: Tensor) -> Tensor:
    """`[..., S, 2S-1]`, columns ordered by signed distance, to `[..., S, S]`: out[i, j] = scores[i, j-i+S-1]."""
    size = scores.shape[-2]
    if size == 1:
        return scores
    flat = scores.flatten(-2)
    window = flat[..., size - 1 : size - 1 + size * (2 * size - 2)]
    return window.reshape(*scores.shape[:-2], size, 2 * size - 2)[..., :size]


class Attention(nn.Module):
    """Disentangled self-attention; the content projections also project the positions (share_att_key)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.size = config.hidden // config.heads
        self.query = nn.Linear(config.hidden, config.hidden)
        self.key = nn.Linear(config.hidden, config.hidden)
        self.value = nn.Linear(config.hidden, config.hidden)
        self.dense = nn.Linear(config.hidden, config.hidden)
        self.norm = nn.LayerNorm(config.hidden, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """`positions` `[2S-1, H]`, ordered by query - key; `mask` `[B, 1, 1, S]`, additive."""
        batch, length, width = hidden.shape
        query, key, value = (
            layer(hidden).view(batch, length, self.heads, self.size).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        table = positions.shape[0]
        # Content to position wants columns ordered by key - query; the key-major mirror wants query - key.
        position_key = self.key(positions).view(table, self.heads, self.size).permute(1, 2, 0).flip(-1)
        position_query = self.query(positions).view(table, self.heads, self.size).permute(1, 2, 0)
        scale = 1 / math.sqrt(3 * self.size)
        query = query * scale
        bias = relative_shift(query @ position_key)
        bias = bias + relative_shift(key @ (position_query * scale)).transpose(-1, -2)
        weights = torch.softmax(query @ key.transpose(-1, -2) + bias + mask, dim=-1)
        context = self.dropout(weights) @ value
        context = context.transpose(1, 2).reshape(batch, length, width)
        return cast(Tensor, self.norm(self.dropout(self.dense(context)) + hidden))


class Layer(nn.Module):
    """One encoder layer, normalised after each half."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.up = nn.Linear(config.hidden, config.intermediate)
        self.down = nn.Linear(config.intermediate, config.hidden)
        self.norm = nn.LayerNorm(config.hidden, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Shapes as in `Attention.forward`."""
        hidden = self.attention(hidden, positions, mask)
        return cast(Tensor, self.norm(self.dropout(self.down(F.gelu(self.up(hidden)))) + hidden))


class Encoder(nn.Module):
    """Embeddings and layers of DeBERTa-v3."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.vocab_size, config.hidden)
        self.norm = nn.LayerNorm(config.hidden, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.positions = nn.Embedding(2 * config.position_buckets, config.hidden)
        self.position_norm = nn.LayerNorm(config.hidden, config.layer_norm_eps)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            # Wider than the published 0.02: at a hidden size of 192 that start learns visibly slower.
            nn.init.normal_(module.weight, std=max(0.02, 0.6 / math.sqrt(self.config.hidden)))
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    def distance_table(self, length: int) -> Tensor:
        """Normalised position vectors for the distances `-(length-1)..=length-1`."""
        config = self.config
        index = distance_buckets(length, config.position_buckets, config.max_relative_positions)
        return cast(Tensor, self.position_norm(self.positions.weight)[index.to(self.positions.weight.device)])

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """`[B, S]` ids and mask (1 = real token) to `[B, S, H]`. Rows of padding hold no meaning."""
        hidden: Tensor = self.dropout(self.norm(self.words(input_ids)))
        mask = ((1 - attention_mask) * MASKED).to(hidden.dtype)[:, None, None, :]
        positions = self.dropout(self.distance_table(input_ids.shape[1]))
        for layer in self.layers:
            hidden = layer(hidden, positions, mask)
        return hidden


class Pooling(nn.Module):
    """Attention pooling with one query per observation and asserted status.

    "Positive beats uncertain beats negative" is a matter of which mention wins, so each of the three statuses looks
    for its own mention; "not mentioned" is the fixed zero they compete with. The evidence of an observation is the
    pooling weight of its statuses, each by how probable the status is given a mention.
    """

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        count = len(OBSERVATIONS) * 3
        self.attend = nn.Linear(hidden, count)
        self.judge = nn.Linear(hidden, count)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.attend.weight, std=0.02)
        nn.init.zeros_(self.attend.bias)
        nn.init.normal_(self.judge.weight, std=0.02)
        nn.init.constant_(self.judge.bias, -2.0)

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `[B, 13, 4]` and evidence `[B, 13, S]`."""
        batch, length, _ = hidden.shape
        hidden = self.dropout(hidden)
        mask = ((1 - attention_mask) * MASKED).to(hidden.dtype)[:, None, :]
        weights = torch.softmax(self.attend(hidden).transpose(1, 2) + mask, dim=-1)
        asserted = (weights * self.judge(hidden).transpose(1, 2)).sum(-1).view(batch, len(OBSERVATIONS), 3)
        logits = torch.cat([torch.zeros_like(asserted[..., :1]), asserted], dim=-1)
        share = torch.softmax(asserted, dim=-1)
        evidence = (weights.view(batch, len(OBSERVATIONS), 3, length) * share[..., None]).sum(2)
        return logits, evidence


class Student(nn.Module):
    """Encoder and pooling: token ids in, logits and evidence out."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.pooling = Pooling(config.hidden, config.dropout)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `[B, 13, 4]` (uncalibrated) and evidence `[B, 13, S]`."""
        hidden = self.encoder(input_ids, attention_mask)
        logits, evidence = self.pooling(hidden, attention_mask)
        return logits, evidence


class MaskedLanguageHead(nn.Module):
    """Predicts masked tokens with the embedding matrix as output layer."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden, config.hidden)
        self.norm = nn.LayerNorm(config.hidden, config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden: Tensor, words: Tensor) -> Tensor:
        """`hidden` `[N, H]` of the masked places, `words` `[V, H]`."""
        return F.linear(self.norm(F.gelu(self.dense(hidden))), words, self.bias)
