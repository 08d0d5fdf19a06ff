"""Reading of datasets that `radstream dataset export` writes: a site's samples, with who gave each label.

A cell (one observation of one text) is trained on with the weight of whoever labelled it:

* a person: `human_weight`;
* the teacher: its agreement with itself where it voted, else the probability of its words, else 1;
* the rules: 0.5;
* the student, or nobody known: never. Its own answers teach a model nothing but its own mistakes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from radstream_distill.corpus import Example
from radstream_distill.schema import OBSERVATION_INDEX, STATUS_INDEX, STATUSES, row_from_labels

FORMAT = 1
"""Version of the layout that is read."""
_RULES_WEIGHT = 0.5
_TAUGHT = ("human", "teacher", "rules")
"""Sources of labels to train on."""
_LEAST_SHARE = 0.5
"""A teacher less sure than that of its own answer gives no target: it would name another status as likelier."""
_COLUMNS = (
    "sample_id",
    "findings",
    "impression",
    "addenda",
    "body",
    "human",
    "needs_review",
    "cells",
)
_ROWS = 1024
"""Rows that are unpacked at a time."""


@dataclass(frozen=True)
class Dataset:
    """The examples of a snapshot, and which snapshot it is."""

    examples: list[Example]
    dataset_id: str
    sha256: str
    """Over all files of samples, as the manifest has it."""
    for_review: int
    """Rows left out because a person has yet to look at them."""
    untaught: int
    """Rows left out because nobody but a student labelled them."""


def load_dataset(folder: Path, *, human_weight: float = 2.0, include_reviews: bool = False) -> Dataset:
    """Reads the current snapshot of a dataset folder. Raises `ValueError` where a file is not what its manifest says.

    Rows with `needs_review` are left out unless a person labelled them, or `include_reviews` is set.
    """
    # Once: an export may move the link while this reads.
    snapshot = (folder / "current").resolve()
    try:
        manifest = json.loads((snapshot / "manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{folder} is not a dataset: it has no current/manifest.json") from error
    if manifest["format"] != FORMAT:
        raise ValueError(f"{folder} has format {manifest['format']}, and this reads {FORMAT}")
    examples: list[Example] = []
    for_review = untaught = 0
    for entry in manifest["files"]:
        if not entry["path"].startswith("samples/"):
            continue
        for row in _rows(snapshot, entry):
            if row["needs_review"] and not row["human"] and not include_reviews:
                for_review += 1
            elif not any(cell["label_source"] in _TAUGHT for cell in row["cells"]):
                untaught += 1
            else:
                try:
                    examples.append(_example(row, human_weight))
                except (KeyError, TypeError, ValueError) as error:
                    raise ValueError(f"{entry['path']}, sample {row['sample_id']}: {error}") from error
    return Dataset(examples, manifest["dataset_id"], manifest["dataset_sha256"], for_review, untaught)


def _rows(snapshot: Path, entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    path = snapshot / entry["path"]
    with path.open("rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() != entry["sha256"]:
            raise ValueError(f"{path} is damaged: its hash is not the manifest's")
    # A file, not its folder: pyarrow would add the day of its path as a column.
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_ROWS, columns=list(_COLUMNS)):
            yield from batch.to_pylist()


def _example(row: Mapping[str, Any], human_weight: float) -> Example:
    labels: dict[str, str] = {}
    # What a sample says nothing of is not known: it must not count as not mentioned.
    weights = dict.fromkeys(OBSERVATION_INDEX.values(), 0.0)
    targets: dict[int, tuple[float, ...]] = {}
    for cell in row["cells"]:
        name = cell["observation"]
        index = OBSERVATION_INDEX.get(name)
        if index is None:  # Of a newer build: this student has no output for it.
            continue
        labels[name] = cell["status"]
        weights[index] = _weight(cell, human_weight)
        target = _target(cell)
        if target is not None:
            targets[index] = target
    free = [row["findings"], row["body"]]
    return Example(
        id=row["sample_id"],
        findings="\n".join(text for text in free if text),
        impression=row["impression"] or "",
        row=row_from_labels(labels),
        addenda=tuple(row["addenda"]),
        targets=targets,
        weights=weights,
    )


def _share(cell: Mapping[str, Any]) -> float | None:
    """How sure the teacher is of its answer: votes before probabilities, as for pseudo-labelled files."""
    agreement, confidence = cell["teacher_agreement"], cell["teacher_confidence"]
    share = confidence if agreement is None else agreement
    return None if share is None else float(share)


def _weight(cell: Mapping[str, Any], human_weight: float) -> float:
    match cell["label_source"]:
        case "human":
            return human_weight
        case "teacher":
            share = _share(cell)
            # Not 0: that would leave the cell out.
            return 1.0 if share is None else max(share, 0.01)
        case "rules":
            return _RULES_WEIGHT
        case _:
            return 0.0


def _target(cell: Mapping[str, Any]) -> tuple[float, ...] | None:
    """The teacher's distribution: its share for its answer; the rest goes where the student sees other statuses."""
    share = _share(cell)
    if cell["label_source"] != "teacher" or cell["teacher_status"] != cell["status"]:
        return None
    if share is None or share < _LEAST_SHARE:
        return None
    share = min(share, 1.0)
    chosen = STATUS_INDEX[cell["status"]]
    student = cell["student_probabilities"]
    others = [0.0 if status == chosen else float(student[name]) for status, name in enumerate(STATUSES)]
    total = sum(others)
    if total <= 0:
        others = [0.0 if status == chosen else 1.0 for status in range(len(STATUSES))]
        total = sum(others)
    return tuple(share if status == chosen else (1 - share) * other / total for status, other in enumerate(others))
