"""Training of one student: deterministic by seed, resumable, chosen by mean kappa on the validation part.

Where a site's own texts are kept for it, the step is chosen by the mean of both kappas, the corpus's and the site's.
"""

from __future__ import annotations

import copy
import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from radstream_distill import evaluate
from radstream_distill import tokenizer as tokens
from radstream_distill.augment import Augmenter, TrainingText
from radstream_distill.batches import by_length, pad, pools
from radstream_distill.config import EncoderConfig, RunConfig, TrainConfig
from radstream_distill.corpus import Example, known_cells
from radstream_distill.loss import class_weights, distillation_loss
from radstream_distill.model import Student

Progress = Callable[[str], None]
Ensemble = Callable[[Tensor, Tensor], Tensor]
"""Ids and mask to the probabilities `[B, 13, 4]` of a teacher that reads every training text."""


def say(message: str) -> None:
    """Progress goes to stderr; stdout is for results."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


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


@dataclass(frozen=True)
class Trained:
    """A student with the scores it was chosen by."""

    model: Student
    seed: int
    step: int
    kappa: float
    seconds: float


def device_of(name: str) -> torch.device:
    """`auto` takes a GPU when there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def seed_everything(seed: int) -> None:
    """Seeds every generator that the run draws from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight matrices decay; biases, norms and embeddings do not."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        matrix = parameter.dim() > 1 and "words" not in name and "positions" not in name
        (decayed if matrix else free).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def learning_rate(step: int, config_steps: int, peak: float, warmup: float) -> float:
    """Linear warm-up, then a cosine down to 2 % of the peak."""
    rise = max(1, round(config_steps * warmup))
    if step < rise:
        return peak * (step + 1) / rise
    share = min(1.0, (step - rise) / max(1, config_steps - rise))
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))


@torch.no_grad()
def predict(model: Student, tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int, budget: int = 4096) -> Tensor:
    """Uncalibrated logits `[N, 13, 4]`, in the order of the texts."""
    model.eval()
    device = next(model.parameters()).device
    rows = tokens.encode(tokenizer, texts, max_tokens)
    pad_id = tokens.special_id(tokenizer, tokens.PAD)
    logits = torch.zeros(len(rows), 13, 4)
    for places in by_length(rows, budget):
        ids, mask = pad([rows[place] for place in places], pad_id)
        logits[list(places)] = model(ids.to(device), mask.to(device))[0].float().cpu()
    return logits


class Run:
    """State of one training run, with everything that a resumed run needs."""

    def __init__(
        self,
        config: RunConfig,
        encoder: EncoderConfig,
        tokenizer: Tokenizer,
        augmenter: Augmenter,
        classes: Tensor,
        seed: int,
        start: dict[str, Tensor] | None = None,
        ensemble: Ensemble | None = None,
    ) -> None:
        seed_everything(seed)
        self.config, self.settings, self.seed = config, config.train, seed
        self.tokenizer, self.augmenter, self.classes = tokenizer, augmenter, classes
        self.ensemble = ensemble
        self.device = device_of(self.settings.device)
        self.model = Student(encoder)
        if start is not None:
            self.load(start)
        self.model.to(self.device)
        self.average = copy.deepcopy(self.model)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, self.settings.weight_decay),
            lr=self.settings.learning_rate,
            betas=(0.9, 0.98),
        )
        self.step = self.pool = 0
        self.best: tuple[float, int, dict[str, Tensor]] = (-1.0, 0, {})
        self.since_best = 0
        self.seconds = 0.0

    def draw(self, rng: random.Random) -> TrainingText:
        """One training text; with an ensemble some are spliced ones, which only it can label."""
        if self.ensemble is not None and rng.random() < self.config.ensemble.spliced:
            return self.augmenter.spliced(rng)
        return self.augmenter.draw(rng)

    def load(self, start: dict[str, Tensor]) -> None:
        """First weights: of a whole student, or of an encoder alone."""
        whole = any(name.startswith("encoder.") for name in start)
        (self.model if whole else self.model.encoder).load_state_dict(start)

    def state(self) -> dict[str, Any]:
        """Everything a resumed run needs. Saved between pools, so the next pool number is the place in the data."""
        return {
            "fingerprint": self.config.training_fingerprint(),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "step": self.step,
            "pool": self.pool,
            "best": self.best,
            "since_best": self.since_best,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from `state`. Raises `ValueError` when it belongs to another configuration."""
        if state["fingerprint"] != self.config.training_fingerprint():
            raise ValueError("the checkpoint belongs to another configuration; remove the work folder")
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["torch_rng"])
        self.step, self.pool = state["step"], state["pool"]
        self.best, self.since_best, self.seconds = state["best"], state["since_best"], state["seconds"]

    def train_step(self, ids: Tensor, mask: Tensor, texts: Sequence[TrainingText]) -> float:
        """One optimiser step; returns the loss."""
        settings = self.settings
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, settings.steps, settings.learning_rate, settings.warmup)
        ids, mask = ids.to(self.device), mask.to(self.device)
        logits, _ = self.model(ids, mask)
        taught = self.ensemble(ids, mask) if self.ensemble is not None else None
        loss = distillation_loss(logits, texts, self.classes, settings, taught, self.config.ensemble.alpha)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimizer.step()
        self.step += 1
        decay = min(settings.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            average = [value for value in self.average.state_dict().values() if value.is_floating_point()]
            current = [value for value in self.model.state_dict().values() if value.is_floating_point()]
            torch._foreach_lerp_(average, current, 1 - decay)
        return float(loss.detach())


class SiteKappa:
    """Agreement with what a site has labelled, over the cells that somebody has."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._texts = [example.text for example in examples]
        self._reference = evaluate.cells([example.row for example in examples])
        self._known = known_cells(examples)

    def __call__(self, run: Run) -> float:
        """Kappa of the averaged weights."""
        predicted = predict(run.average, run.tokenizer, self._texts, run.config.max_tokens).argmax(-1).numpy()
        return evaluate.kappa(self._reference, predicted, self._known)


def chosen_by(corpus: float, site: float | None) -> float:
    """The score that a step is chosen by: the corpus keeps what the student knows, the site is where it will work."""
    return corpus if site is None else (corpus + site) / 2


def train_student(
    run: Run,
    validation: Sequence[Example],
    checkpoint: Path | None,
    progress: Progress = say,
    site: Sequence[Example] = (),
) -> Trained:
    """Trains to the end of the schedule (or of patience) and returns the best averaged weights."""
    site_kappa = SiteKappa(site) if site else None
    settings = run.settings
    if checkpoint is not None and checkpoint.exists():
        run.restore(torch.load(checkpoint, weights_only=False))
        progress(f"seed {run.seed}: resumed at step {run.step}")
    texts = [example.text for example in validation]
    reference = evaluate.cells([example.row for example in validation])
    pad_id = tokens.special_id(run.tokenizer, tokens.PAD)

    def encode(items: Sequence[TrainingText], _: int) -> list[list[int]]:
        return tokens.encode(run.tokenizer, [item.text for item in items], run.config.max_tokens)

    began = time.monotonic() - run.seconds
    losses: list[float] = []
    next_evaluation = (run.step // settings.evaluate_every + 1) * settings.evaluate_every
    next_checkpoint = (run.step // settings.checkpoint_every + 1) * settings.checkpoint_every
    stream = pools(
        run.draw,
        encode,
        budget=settings.tokens_per_batch,
        pad_id=pad_id,
        seed=run.seed,
        first=run.pool,
    )
    for number, batches in stream:
        for batch, items in batches:
            if run.step < settings.steps:
                losses.append(run.train_step(batch.input_ids, batch.attention_mask, items))
        run.pool = number + 1
        run.seconds = time.monotonic() - began
        finished = run.step >= settings.steps
        if run.step >= next_evaluation or finished:
            next_evaluation += settings.evaluate_every
            predicted = predict(run.average, run.tokenizer, texts, run.config.max_tokens).argmax(-1).numpy()
            scores = evaluate.score(reference, predicted)
            of_site = site_kappa(run) if site_kappa is not None else None
            chosen = chosen_by(scores.kappa, of_site)
            beside = "" if of_site is None else f" site {of_site:.4f}"
            shown = " ".join(f"{task} {scores.macro[task]:.3f}" for task in evaluate.TASKS[:4])
            progress(
                f"seed {run.seed} step {run.step}/{settings.steps} {run.seconds:.0f}s loss {_mean(losses):.4f}"
                f" | validation kappa {scores.kappa:.4f}{beside} {shown}"
            )
            losses.clear()
            run.since_best += 1
            if chosen > run.best[0]:
                run.best = (chosen, run.step, copy.deepcopy(run.average.state_dict()))
                run.since_best = 0
            finished = finished or 0 < settings.patience <= run.since_best
        if checkpoint is not None and (run.step >= next_checkpoint or finished):
            next_checkpoint += settings.checkpoint_every
            _save(run.state(), checkpoint)
        if finished:
            break
    kappa, step, weights = run.best
    student = run.average
    student.load_state_dict(weights)
    student.to("cpu").eval()
    return Trained(student, run.seed, step, kappa, run.seconds)


def balance(examples: Sequence[Example], config: TrainConfig) -> Tensor:
    """Class weights of the training part."""
    return class_weights([example.row for example in examples], config.rare_weight)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _save(state: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)
