"""Loading of labelled text, and splits that share no text.

Two kinds of lines are read:

* reports: `{"id", "findings", "impression", "labels"}`, the project's corpus and any pseudo-labelled file;
* sentences: `{"id", "sentence", "labels"}`.

A pseudo-labelled report may also hold `"targets"` (observation -> four probabilities, from the teacher's token
log-probabilities or votes) and `"weights"` (observation -> the teacher's agreement, 0..1).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from radstream_distill.schema import OBSERVATION_INDEX, Row, row_from_labels

_WORD = re.compile(r"[a-z0-9]+")
_ID = re.compile(r"^(?P<series>.*?)(?P<number>\d+)$")


@dataclass(frozen=True)
class Example:
    """One labelled text. A bank sentence has its text in `findings` and `is_sentence` set."""

    id: str
    findings: str
    impression: str
    row: Row
    is_sentence: bool = False
    addenda: tuple[str, ...] = ()
    targets: dict[int, tuple[float, ...]] = field(default_factory=dict)
    weights: dict[int, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Exactly what the model reads."""
        return model_text(self.findings, self.impression, self.addenda)


def model_text(findings: str, impression: str, addenda: Sequence[str] = ()) -> str:
    """Findings, impression, addenda joined by one line break, empty parts left out.

    The Rust side builds its input by the same rule; a difference here would be a silent loss of accuracy.
    """
    return "\n".join(part.strip() for part in (findings, impression, *addenda) if part.strip())


def text_key(text: str) -> str:
    """Hash of the words alone: two texts that differ in case, spacing or punctuation have one key."""
    words = " ".join(_WORD.findall(text.lower()))
    return hashlib.sha256(words.encode()).hexdigest()


def load_reports(path: Path) -> list[Example]:
    """Reads a report file. Raises `ValueError` with the line number of the first line that cannot be read."""
    examples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            examples.append(
                Example(
                    id=record["id"],
                    findings=record.get("findings") or "",
                    impression=record.get("impression") or "",
                    row=row_from_labels(record["labels"]),
                    addenda=tuple(record.get("addenda") or ()),
                    targets={
                        OBSERVATION_INDEX[name]: _distribution(values)
                        for name, values in (record.get("targets") or {}).items()
                    },
                    weights={
                        OBSERVATION_INDEX[name]: float(value) for name, value in (record.get("weights") or {}).items()
                    },
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name}, line {number}: {error}") from error
    return examples


def load_sentences(path: Path) -> list[Example]:
    """Reads a sentence bank."""
    examples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            row = row_from_labels(record["labels"])
            examples.append(
                Example(id=record["id"], findings=record["sentence"], impression="", row=row, is_sentence=True)
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name}, line {number}: {error}") from error
    return examples


def _distribution(values: Iterable[float]) -> tuple[float, ...]:
    distribution = tuple(float(value) for value in values)
    if len(distribution) != 4 or min(distribution) < 0 or abs(sum(distribution) - 1) > 1e-3:
        raise ValueError("a target is four probabilities that sum to 1")
    return distribution


@dataclass(frozen=True)
class Split:
    """Three parts that share no text."""

    train: list[Example]
    validation: list[Example]
    calibration: list[Example]
    site: list[Example] = field(default_factory=list)
    """What a site has labelled and is kept to choose the step by."""


def split_blocks(examples: Sequence[Example], *, validation: float, calibration: float, block: int, seed: int) -> Split:
    """Deals whole blocks of neighbours to the three parts.

    Neighbours of one series are sometimes twins (a finding asserted, hedged, denied), so a split by line would
    let the validation part leak. The place of a block depends on its name and the seed only, so adding data moves
    nothing. A text that an earlier part already holds (train first) is dropped from the later one.
    """
    parts: tuple[list[Example], list[Example], list[Example]] = ([], [], [])
    for example in examples:
        share = _unit_hash(f"{seed}/{_block_name(example.id, block)}")
        place = 1 if share < validation else 2 if share < validation + calibration else 0
        parts[place].append(example)
    seen: set[str] = set()
    for part in parts:
        kept = []
        for example in part:
            key = text_key(example.text)
            if part is parts[0] or key not in seen:
                kept.append(example)
        seen.update(text_key(example.text) for example in part)
        part[:] = kept
    return Split(*parts)


def deal_site(examples: Sequence[Example], *, validation: float, seed: int) -> tuple[list[Example], list[Example]]:
    """What a site has labelled: to train on, and to choose the step by.

    The side of a text depends on its words and the seed only: a second sample of it goes with the first, and a later
    export moves nothing.
    """
    train: list[Example] = []
    kept: list[Example] = []
    for example in examples:
        share = _unit_hash(f"{seed}/site/{text_key(example.text)}")
        (kept if share < validation else train).append(example)
    return train, kept


def known_cells(examples: Sequence[Example]) -> npt.NDArray[np.bool_]:
    """`[reports, 13]`: which cells somebody has labelled. What a sample says nothing of has weight 0."""
    rows = ([example.weights.get(index, 1.0) > 0 for index in range(len(example.row))] for example in examples)
    return np.asarray(list(rows), dtype=bool)


def _block_name(identifier: str, block: int) -> str:
    match = _ID.match(identifier)
    if match is None:
        return identifier
    return f"{match['series']}{int(match['number']) // block}"


def _unit_hash(name: str) -> float:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
