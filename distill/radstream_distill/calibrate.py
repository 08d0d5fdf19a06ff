"""Temperatures and routing thresholds, fitted on held-out text, never on training text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from radstream_distill import evaluate
from radstream_distill.config import CalibrateConfig
from radstream_distill.evaluate import Cells, Floats
from radstream_distill.schema import OBSERVATIONS

_GRID = np.exp(np.linspace(np.log(0.4), np.log(5.0), 121))
_MOST = 0.999
"""No threshold asks for more than this: above it confidences differ by rounding only."""
_LEAST = 0.25
"""A confidence of four statuses is never below this: the threshold that escalates nothing."""


@dataclass(frozen=True)
class Calibration:
    """What the manifest says of confidence."""

    temperatures: tuple[float, ...]
    thresholds: tuple[float, ...]
    report: dict[str, float | int | str | list[str]]


def probabilities(logits: Floats, temperatures: npt.ArrayLike) -> Floats:
    """Softmax of `[N, 13, 4]` logits, each observation at its temperature."""
    scaled = logits / np.asarray(temperatures, dtype=np.float64)[None, :, None]
    exponents = np.exp(scaled - scaled.max(-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(-1, keepdims=True))


def _nll(logits: Floats, reference: Cells, temperature: float) -> float:
    """Mean negative log-likelihood of the reference; `logits` `[..., 4]`."""
    scaled = logits / temperature
    top = scaled.max(-1)
    log_total = top + np.log(np.exp(scaled - top[..., None]).sum(-1))
    return float(np.mean(log_total - np.take_along_axis(scaled, reference[..., None], -1)[..., 0]))


def best_temperature(logits: Floats, reference: Cells) -> float:
    """The temperature of least negative log-likelihood, on a fine grid: the curve has one valley."""
    return float(min(_GRID, key=lambda temperature: _nll(logits, reference, float(temperature))))


@dataclass(frozen=True)
class SitePart:
    """A site's own reports that are kept from training, as the student answers them."""

    logits: Floats
    reference: Cells
    known: npt.NDArray[np.bool_]
    """`[N, 13]`: which cells somebody has labelled."""


def fit(
    logits: Floats, reference: Cells, config: CalibrateConfig, fitted_on: str, site: SitePart | None = None
) -> Calibration:
    """Fits one temperature per observation (the shared one where errors are few), then the thresholds.

    A student that has learned a site's style is right there more often than the corpus lets it say, so the site's part
    has its say in the temperatures. It has none in the thresholds: their budget is a share of the calibration part, and
    what a site has labelled is what was doubted, no sample of its traffic.
    """
    wrong = logits.argmax(-1) != reference
    enough = wrong.sum(0) >= config.min_errors
    shared, temperatures = _temperatures(logits, reference, enough, site)
    if site is not None:
        fitted_on += f"; temperatures also on {len(site.reference)} held-out reports of the site"
    confidence = probabilities(logits, temperatures).max(-1)
    before = probabilities(logits, np.ones(len(OBSERVATIONS))).max(-1)
    thresholds, risk = choose_thresholds(confidence, wrong, enough, config)
    escalated = confidence < np.asarray(thresholds)[None, :]
    kept = ~escalated
    report: dict[str, float | int | str | list[str]] = {
        "fitted_on": fitted_on,
        "texts": len(reference),
        "wrong_cells": int(wrong.sum()),
        "shared_temperature": round(shared, 4),
        "own_temperature": [name for name, own in zip(OBSERVATIONS, enough, strict=True) if own],
        "ece_before": round(evaluate.calibration_error(before.ravel(), ~wrong.ravel()), 5),
        "ece_after": round(evaluate.calibration_error(confidence.ravel(), ~wrong.ravel()), 5),
        "risk": round(risk, 5),
        "residual_error": round(float(wrong[kept].mean()) if kept.any() else 0.0, 5),
        "reports_escalated": round(float(escalated.any(1).mean()), 4),
        "budget": config.budget,
    }
    return Calibration(temperatures, thresholds, report)


def _temperatures(
    logits: Floats, reference: Cells, enough: npt.NDArray[np.bool_], site: SitePart | None
) -> tuple[float, tuple[float, ...]]:
    """The shared temperature, and each observation's: its own where it has errors enough."""
    known = np.ones(reference.shape, dtype=bool)
    if site is not None:
        logits = np.concatenate([logits, site.logits])
        reference = np.concatenate([reference, site.reference])
        known = np.concatenate([known, site.known])
    shared = best_temperature(logits[known], reference[known])
    own = (
        best_temperature(logits[known[:, column], column], reference[known[:, column], column])
        if enough[column]
        else shared
        for column in range(len(OBSERVATIONS))
    )
    return shared, tuple(round(temperature, 4) for temperature in own)


def choose_thresholds(
    confidence: Floats, wrong: npt.NDArray[np.bool_], enough: npt.NDArray[np.bool_], config: CalibrateConfig
) -> tuple[tuple[float, ...], float]:
    """Thresholds that escalate a cell when its chance of being wrong is above one common risk.

    The chance of error follows from the confidence by a logistic fit with one slope, and with an intercept of their own
    for observations that have enough wrong cells. The risk is the highest at which the cells kept are wrong no more
    often than `residual_error`, raised where that would escalate more reports than `budget`. Returns both.
    """
    slope, intercepts = _error_model(confidence, wrong, enough)
    chosen: tuple[tuple[float, ...], float] | None = None
    for risk in np.geomspace(0.002, 0.9, 400):
        thresholds = tuple(_threshold(slope, float(intercept), float(risk)) for intercept in intercepts)
        escalated = confidence < np.asarray(thresholds)[None, :]
        if float(escalated.any(1).mean()) > config.budget:
            continue
        if chosen is not None and wrong[~escalated].mean() > config.residual_error:
            break
        chosen = thresholds, float(risk)
    return chosen if chosen is not None else ((_LEAST,) * confidence.shape[1], 1.0)


def _log_odds(confidence: npt.ArrayLike) -> Floats:
    share = np.clip(np.asarray(confidence, dtype=np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(share / (1 - share)))


def _error_model(
    confidence: Floats, wrong: npt.NDArray[np.bool_], enough: npt.NDArray[np.bool_]
) -> tuple[float, Floats]:
    """Slope and intercepts of P(wrong) = sigmoid(intercept + slope * log-odds of the confidence), by Newton's method.

    Intercepts of single observations are deviations with a ridge, so that few cells say little.
    """
    columns = confidence.shape[1]
    observation = np.broadcast_to(np.arange(columns), confidence.shape).ravel()
    owners = np.nonzero(enough)[0]
    own = (observation[:, None] == owners[None, :]).astype(np.float64)
    design = np.column_stack([np.ones(confidence.size), _log_odds(confidence).ravel(), own])
    target = wrong.ravel().astype(np.float64)
    ridge = np.diag([1e-6, 1e-6, *([1.0] * len(owners))])
    weights = np.zeros(design.shape[1])
    weights[1] = -1.0  # What a calibrated confidence means: the odds of error are its inverse odds.
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (target - chance) - ridge @ weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + ridge
        step = np.linalg.solve(curvature, gradient)
        weights = weights + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-8:
            break
    intercepts = np.full(columns, weights[0])
    intercepts[owners] += weights[2:]
    return float(weights[1]), intercepts


def _threshold(slope: float, intercept: float, risk: float) -> float:
    """The confidence at which the chance of error falls to the risk."""
    if slope >= 0:
        return _LEAST  # Confidence says nothing of error: there is no threshold to find.
    odds = (np.log(risk / (1 - risk)) - intercept) / slope
    return round(float(np.clip(1 / (1 + np.exp(-np.clip(odds, -30, 30))), _LEAST, _MOST)), 4)
