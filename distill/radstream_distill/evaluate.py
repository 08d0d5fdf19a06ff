"""Scores of a labelling: the five CheXbert tasks, kappa, exact match, calibration error.

The Rust command `radstream evaluate` is the reference for published numbers; this module chooses checkpoints and fills
the manifest, with the same conventions (`mention`, `positive`, `negation`, `uncertainty`, `blank`; macro over the
observations that have at least `MIN_CELLS` cells of the class, No Finding left out because it is derived).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from radstream_distill.schema import NEGATIVE, NOT_MENTIONED, OBSERVATIONS, POSITIVE, UNCERTAIN, Row

MIN_CELLS = 5
TASKS = ("positive", "negation", "uncertainty", "mention", "blank")
Cells = npt.NDArray[np.int64]
"""`[reports, 13]` status indexes."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What one labelling scores against a reference."""

    macro: dict[str, float]
    counted: dict[str, int]
    """Observations that each macro covers."""
    per_observation: dict[str, dict[str, float]]
    kappa: float
    exact_match: float
    cell_accuracy: float
    reports: int


def cells(rows: Sequence[Row]) -> Cells:
    """Rows as an array."""
    return np.asarray(rows, dtype=np.int64).reshape(-1, len(OBSERVATIONS))


def _is_target(statuses: Cells, task: str) -> npt.NDArray[np.bool_]:
    if task == "mention":
        return np.asarray(statuses != NOT_MENTIONED)
    wanted = {"positive": POSITIVE, "negation": NEGATIVE, "uncertainty": UNCERTAIN, "blank": NOT_MENTIONED}
    return np.asarray(statuses == wanted[task])


def f1(reference: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]) -> float:
    """F1 of a binary labelling; 0 when neither side has a target."""
    hits = float(np.sum(reference & predicted))
    total = float(reference.sum() + predicted.sum())
    return 2 * hits / total if total else 0.0


def kappa(reference: Cells, predicted: Cells, known: npt.NDArray[np.bool_] | None = None) -> float:
    """Cohen's kappa over the four statuses, mean over observations; 1 where both are one and the same status.

    With `known`, only over those cells; an observation without one does not count.
    """
    values = []
    for column in range(reference.shape[1]):
        left, right = reference[:, column], predicted[:, column]
        if known is not None:
            left, right = left[known[:, column]], right[known[:, column]]
            if not len(left):
                continue
        observed = float(np.mean(left == right))
        expected = sum(float(np.mean(left == s)) * float(np.mean(right == s)) for s in range(4))
        values.append(1.0 if expected >= 1 else (observed - expected) / (1 - expected))
    return float(np.mean(values)) if values else 0.0


def score(reference: Cells, predicted: Cells) -> Scores:
    """All scores of one labelling."""
    per_observation: dict[str, dict[str, float]] = {}
    macro: dict[str, float] = {}
    counted: dict[str, int] = {}
    for column, name in enumerate(OBSERVATIONS):
        per_observation[name] = {}
        for task in TASKS:
            left = _is_target(reference[:, column], task)
            per_observation[name][task] = f1(left, _is_target(predicted[:, column], task))
            per_observation[name][f"{task}_cells"] = float(left.sum())
    for task in TASKS:
        values = [row[task] for row in per_observation.values() if row[f"{task}_cells"] >= MIN_CELLS]
        macro[task] = float(np.mean(values)) if values else 0.0
        counted[task] = len(values)
    return Scores(
        macro=macro,
        counted=counted,
        per_observation=per_observation,
        kappa=kappa(reference, predicted),
        exact_match=float(np.mean(np.all(reference == predicted, axis=1))),
        cell_accuracy=float(np.mean(reference == predicted)),
        reports=len(reference),
    )


def intervals(
    reference: Cells, predicted: Cells, *, rounds: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of the macros, by resampling whole reports."""
    rng = np.random.default_rng(seed)
    targets = {task: (_is_target(reference, task), _is_target(predicted, task)) for task in TASKS}
    kept = {task: left.sum(0) >= MIN_CELLS for task, (left, _) in targets.items()}
    draws: dict[str, list[float]] = {task: [] for task in TASKS}
    for _ in range(rounds):
        weight = np.bincount(rng.integers(0, len(reference), len(reference)), minlength=len(reference))
        for task, (left, right) in targets.items():
            columns = kept[task]
            hits = weight @ (left & right)[:, columns]
            total = weight @ left[:, columns].astype(np.int64) + weight @ right[:, columns].astype(np.int64)
            draws[task].append(float(np.mean(np.where(total > 0, 2 * hits / np.maximum(total, 1), 0.0))))
    return {
        task: (float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))) for task, values in draws.items()
    }


def calibration_error(confidence: Floats, correct: npt.NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error over bins of equal mass."""
    order = np.argsort(confidence, kind="stable")
    total = 0.0
    for part in np.array_split(order, bins):
        if len(part):
            total += len(part) / len(order) * abs(float(confidence[part].mean()) - float(correct[part].mean()))
    return total


def captured(confidence: Floats, wrong: npt.NDArray[np.bool_], share: float) -> float:
    """Share of the wrong reports among the `share` of reports with the least sure cell; 1 when none is wrong."""
    if not wrong.any():
        return 1.0
    chosen = np.argsort(confidence, kind="stable")[: round(share * len(confidence))]
    return float(wrong[chosen].sum() / wrong.sum())


def table(scores: Scores) -> str:
    """The scores for people."""
    lines = [f"{'':28}" + "".join(f"{task:>13}" for task in TASKS)]
    for name, row in scores.per_observation.items():
        cells_of = (f"{row[task]:.3f}/{int(row[f'{task}_cells'])}" for task in TASKS)
        lines.append(f"{name:28}" + "".join(f"{cell:>13}" for cell in cells_of))
    lines.append(f"{'macro (>= 5 cells)':28}" + "".join(f"{scores.macro[task]:>13.4f}" for task in TASKS))
    lines.append(
        f"kappa {scores.kappa:.4f}  exact {scores.exact_match:.4f}  cells {scores.cell_accuracy:.4f}"
        f"  reports {scores.reports}"
    )
    return "\n".join(lines)
