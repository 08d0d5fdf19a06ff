"""Second part of the training: branches of one student, their average, and the average taught by its branches.

Branches go on from the same weights with other seeds and a learning rate that rises and falls again, as snapshot
ensembles do (Huang et al. 2017). They stay in one basin, so their weights can be averaged (Wortsman et al. 2022), and
they differ enough that the mean of their probabilities says more of doubt than any of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from radstream_distill.augment import Augmenter
from radstream_distill.config import EncoderConfig, RunConfig
from radstream_distill.corpus import Example
from radstream_distill.model import Student
from radstream_distill.train import Run, Trained, say, train_student


class Mean:
    """The mean of several students' probabilities."""

    def __init__(self, students: Sequence[Student]) -> None:
        if not students:
            raise ValueError("an ensemble of nothing")
        self._students = [student.eval() for student in students]

    @torch.no_grad()
    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Probabilities `[B, 13, 4]`."""
        members = [torch.softmax(student.to(ids.device)(ids, mask)[0], dim=-1) for student in self._students]
        return torch.stack(members).mean(0)


def average(students: Sequence[Student]) -> dict[str, Tensor]:
    """Weights of the student in the middle of several that come from one start."""
    states = [student.state_dict() for student in students]
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }


def refine(
    config: RunConfig,
    encoder: EncoderConfig,
    tokenizer: Tokenizer,
    source: Callable[[], Augmenter],
    classes: Tensor,
    first: Student,
    validation: Sequence[Example],
    work: Path,
) -> Trained:
    """Goes on from `first` as `config.refine` says; `source` makes the augmenter of a run."""
    settings = config.refine
    torch.set_num_threads(settings.threads)

    def going_on(start: dict[str, Tensor], seed: int, steps: int, rate: float, teacher: Mean | None = None) -> Trained:
        train = dataclasses.replace(config.train, steps=steps, learning_rate=rate)
        if teacher is not None:
            train = dataclasses.replace(train, distill_alpha=settings.distill_alpha)
        data = dataclasses.replace(config.data, phrases=(*config.data.phrases, *settings.phrases))
        changed = dataclasses.replace(config, train=train, data=data)
        run = Run(changed, encoder, tokenizer, source(), classes, seed, start, teacher)
        return train_student(run, validation, work / f"refine-{seed}.pt")

    seeds = range(settings.seed, settings.seed + settings.branches)
    branches = [going_on(first.state_dict(), seed, settings.steps, settings.learning_rate) for seed in seeds]
    if len(branches) == 1:
        return branches[0]
    middle = average([branch.model for branch in branches])
    if not settings.distill_steps:
        say(f"the average of {len(branches)} branches ships")
        kappa = max(branch.kappa for branch in branches)
        student = Student(encoder)
        student.load_state_dict(middle)
        return Trained(student.eval(), settings.seed, settings.steps, kappa, sum(b.seconds for b in branches))
    teacher = Mean([branch.model for branch in branches])
    return going_on(middle, seeds.stop, settings.distill_steps, settings.distill_learning_rate, teacher)
