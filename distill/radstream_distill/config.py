"""The one typed configuration of a run, read from TOML. Unknown keys are errors."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class DataConfig:
    """Where the labelled text lies; relative paths start at the configuration file's folder."""

    reports: tuple[str, ...] = ("../corpus/reports.jsonl",)
    sentences: tuple[str, ...] = ("../corpus/sentences.jsonl",)
    phrases: tuple[str, ...] = ()
    """Template files (see `phrases.py`)."""
    teacher_reports: tuple[str, ...] = ()
    """Pseudo-labelled reports of a site; they join the training part only."""
    datasets: tuple[str, ...] = ()
    """Folders that `radstream dataset export` writes (see `dataset.py`); they join the training part only."""
    held_out: tuple[str, ...] = ()
    """Labelled reports to judge by later (gold sets): their texts are left out of what is trained on."""
    include_reviews: bool = False
    """Train also on samples of a dataset that a person has yet to look at."""
    human_weight: float = 2.0
    """Weight of a label that a person gave; a teacher that always agrees with itself has 1."""
    site_validation: float = 0.0
    """Share of what a site has labelled (`teacher_reports`, `datasets`) that is kept from training, to choose the step
    and fit the temperatures by beside the corpus; by the hash of the text, so that a text never changes sides."""
    self_test: str = "../corpus/selftest.jsonl"
    """Candidates for the self-test of the manifest."""
    validation: float = 0.06
    calibration: float = 0.08
    block: int = 10


@dataclass(frozen=True)
class TokenizerConfig:
    """A vocabulary of the domain: nearly every word of a report is one token."""

    vocab_size: int = 4096
    min_frequency: int = 2


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of the DeBERTa encoder; names follow the published configuration."""

    hidden: int = 192
    layers: int = 3
    heads: int = 6
    intermediate: int = 768
    position_buckets: int = 16
    max_relative_positions: int = 512
    dropout: float = 0.1
    layer_norm_eps: float = 1e-7
    vocab_size: int = 0
    """Filled from the tokenizer."""
    start_from: str = ""
    """Folder of a DeBERTa-v3 checkpoint (`config.json`, weights, tokenizer); empty: random weights."""


@dataclass(frozen=True)
class PretrainConfig:
    """Masked-language pre-training; `steps = 0` leaves it out."""

    steps: int = 0
    tokens_per_batch: int = 4096
    learning_rate: float = 1e-3
    mask: float = 0.2


@dataclass(frozen=True)
class AugmentConfig:
    """How one training text is made; shares are probabilities."""

    report: float = 0.35
    """A corpus report as it is (plus surface noise)."""
    report_plus: float = 0.2
    """A corpus report with bank or template sentences woven in."""
    bank: float = 0.2
    """Bank sentences alone, one to six."""
    template: float = 0.25
    """Template sentences (with bank sentences), laid out as a report."""
    word_mask: float = 0.02
    """Words of no consequence replaced by XXXX or ___, per word."""
    typo: float = 0.01
    numbered: float = 0.2


@dataclass(frozen=True)
class TrainConfig:
    """Optimisation of the distillation."""

    steps: int = 1500
    tokens_per_batch: int = 2048
    learning_rate: float = 1e-3
    warmup: float = 0.06
    weight_decay: float = 0.05
    clip: float = 1.0
    ema: float = 0.998
    label_smoothing: float = 0.02
    rare_weight: float = 0.25
    """Exponent of the class balance: 0 none, 1 full inverse frequency."""
    distill_alpha: float = 0.5
    distill_temperature: float = 2.0
    evaluate_every: int = 200
    checkpoint_every: int = 200
    patience: int = 0
    """Evaluations without a better mean kappa before the run ends; 0 never ends early."""
    threads: int = 2
    device: str = "auto"


@dataclass(frozen=True)
class EnsembleConfig:
    """Several larger students that learn first and then teach the one that ships; `members = 0` leaves them out."""

    members: int = 0
    seed: int = 201
    """Seed of the first member; the others count on from it."""
    hidden: int = 256
    layers: int = 4
    heads: int = 8
    intermediate: int = 1024
    steps: int = 3000
    """Steps of each member."""
    learning_rate: float = 7e-4
    alpha: float = 0.7
    """Share of the ensemble in the student's loss, where it chooses the label."""
    spliced: float = 0.25
    """Share of the student's texts that are cut and spliced, so that only the ensemble can say what they mean."""
    workers: int = 0
    """Members trained at a time, each in a process; 0: all of them on a GPU, one on a CPU."""


@dataclass(frozen=True)
class CalibrateConfig:
    """Temperatures and routing thresholds, fitted on the calibration part."""

    min_errors: int = 12
    """Cells an observation must get wrong before it has a temperature of its own; below: the shared one."""
    residual_error: float = 0.01
    """Share of wrong cells wanted among those not escalated."""
    budget: float = 0.1
    """Share of reports that may be escalated; thresholds never ask for more on the calibration part."""


@dataclass(frozen=True)
class RunConfig:
    """All of a run."""

    name: str = "radstream-student-small"
    created: str = "2026-11-24"
    """Date of the run, ISO; part of the version. Fixed here so that a remake gives the same manifest."""
    seed: int = 17
    seeds: int = 1
    """Students trained; the one with the best mean kappa on the validation part ships."""
    max_tokens: int = 512
    start: str = ""
    """Model folder, or work folder of an earlier `make`, whose student this run goes on from; empty: a new student."""
    data: DataConfig = field(default_factory=DataConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    calibrate: CalibrateConfig = field(default_factory=CalibrateConfig)
    evidence_read: str = ""
    """What a reader found of the evidence of a version that the text names; for the model card."""
    base: Path = Path()
    """Folder that relative paths start at; set by `load`."""

    def path(self, relative: str) -> Path:
        """Resolves a path of the configuration."""
        return (self.base / relative).resolve()

    def fingerprint(self) -> str:
        """Hash of every setting that changes the result; independent of where the files lie."""
        return self._hash_without("base", "evidence_read")

    def training_fingerprint(self) -> str:
        """Hash of what a training run depends on: its checkpoint survives a change of what comes after it."""
        return self._hash_without("base", "calibrate", "name", "created", "evidence_read")

    def member(self, number: int) -> RunConfig:
        """The run of one member of the ensemble: another seed and shape, the same data."""
        wanted = self.ensemble
        shape = dataclasses.replace(
            self.encoder,
            hidden=wanted.hidden,
            layers=wanted.layers,
            heads=wanted.heads,
            intermediate=wanted.intermediate,
        )
        train = dataclasses.replace(self.train, steps=wanted.steps, learning_rate=wanted.learning_rate)
        # What concerns the student alone must not change the fingerprint of a member.
        return dataclasses.replace(
            self,
            seeds=1,
            encoder=shape,
            train=train,
            start="",
            ensemble=EnsembleConfig(seed=wanted.seed + number),
        )

    def _hash_without(self, *keys: str) -> str:
        values = {key: value for key, value in dataclasses.asdict(self).items() if key not in keys}
        return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def load(path: Path, overrides: typing.Mapping[str, Any] | None = None) -> RunConfig:
    """Reads a run configuration; `overrides` maps dotted keys to values."""
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    for dotted, value in (overrides or {}).items():
        *parents, leaf = dotted.split(".")
        table = values
        for parent in parents:
            table = table.setdefault(parent, {})
        table[leaf] = value
    config: RunConfig = _build(RunConfig, values, "")
    return dataclasses.replace(config, base=path.resolve().parent)


def _build(kind: Any, values: dict[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints) | ({"base"} & set(values)))
    if unknown:
        raise ValueError(f"unknown configuration key: {', '.join(where + key for key in unknown)}")
    return kind(**{key: _convert(hints[key], value, where + key) for key, value in values.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise ValueError(f"{where} must be a table")
        return _build(hint, value, where + ".")
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where} must be a list")
        return tuple(value)
    if isinstance(hint, types.GenericAlias):
        raise ValueError(f"{where}: unsupported type")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{where} must be of type {hint.__name__}")
    return value
