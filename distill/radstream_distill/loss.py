"""The distillation loss: cross-entropy with the hard label and temperature-scaled KL to the teacher's distribution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from radstream_distill.augment import TrainingText
from radstream_distill.config import TrainConfig
from radstream_distill.schema import OBSERVATIONS, Row

_LEAST_WEIGHT = 0.2
"""Even a teacher that disagrees with itself is worth something."""


def class_weights(rows: Sequence[Row], exponent: float) -> Tensor:
    """`[13, 4]` weights, (mean count / count) ** exponent, at most 4, with mean 1 per observation over the data."""
    counts = torch.ones(len(OBSERVATIONS), 4)
    for row in rows:
        for index, status in enumerate(row):
            counts[index, status] += 1
    weights = (counts.mean(dim=1, keepdim=True) / counts).pow(exponent).clamp(max=4.0)
    return weights / (weights * counts).sum(dim=1, keepdim=True) * counts.sum(dim=1, keepdim=True)


def targets_of(texts: Sequence[TrainingText]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hard labels `[B, 13]`, teacher distributions `[B, 13, 4]`, where there is one `[B, 13]`, weights `[B, 13]`."""
    hard = torch.tensor([text.row for text in texts], dtype=torch.long)
    soft = F.one_hot(hard, 4).float()
    has = torch.zeros(hard.shape, dtype=torch.bool)
    weight = torch.ones(hard.shape)
    for index, text in enumerate(texts):
        for observation, distribution in text.targets.items():
            soft[index, observation] = torch.tensor(distribution)
            has[index, observation] = True
        for observation, agreement in text.weights.items():
            # 0 says that nobody knows the label.
            weight[index, observation] = max(_LEAST_WEIGHT, agreement) if agreement else 0.0
    return hard, soft, has, weight


def distillation_loss(
    logits: Tensor,
    texts: Sequence[TrainingText],
    classes: Tensor,
    config: TrainConfig,
    ensemble: Tensor | None = None,
    share: float = 0.5,
) -> Tensor:
    """Mean over cells of w * [(1 - alpha) CE + alpha T^2 KL]; plain CE where the teacher gave no distribution.

    `ensemble` holds the probabilities `[B, 13, 4]` of models that read these very texts. They count with `share` where
    they choose the label: labels are exact by construction, so an ensemble that disagrees has nothing to teach. Texts
    without labels are taught by the ensemble alone.
    """
    hard, soft, has, weight = (tensor.to(logits.device) for tensor in targets_of(texts))
    weight = weight * classes.to(logits.device).gather(1, hard.T).T
    alpha = config.distill_alpha * has.float()
    if ensemble is not None:
        labelled = torch.tensor([text.labelled for text in texts], device=logits.device)[:, None]
        taught = ((ensemble.argmax(-1) == hard) & ~has) | ~labelled
        soft = torch.where(taught[..., None], ensemble, soft)
        has = has | taught
        alpha = torch.where(taught, share, alpha).masked_fill(~labelled, 1.0)
        weight = weight.masked_fill(~labelled, 1.0)
    cross = F.cross_entropy(
        logits.flatten(0, 1), hard.flatten(), reduction="none", label_smoothing=config.label_smoothing
    ).view(hard.shape)
    if not bool(has.any()):
        return (weight * cross).sum() / hard.numel()
    temperature = config.distill_temperature
    # A teacher's probabilities become softer by the same temperature as the student's logits.
    teacher = torch.softmax(soft.clamp_min(1e-6).log() / temperature, dim=-1)
    student = torch.log_softmax(logits / temperature, dim=-1)
    divergence = (teacher * (teacher.clamp_min(1e-12).log() - student)).sum(-1) * temperature**2
    return (weight * ((1 - alpha) * cross + alpha * divergence)).sum() / hard.numel()
