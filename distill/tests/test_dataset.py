"""Datasets as `radstream dataset export` writes them: made up here, and one that it wrote (`tests/dataset`)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from radstream_distill import config, corpus, evaluate
from radstream_distill.augment import Augmenter, TrainingText
from radstream_distill.config import AugmentConfig, TrainConfig
from radstream_distill.corpus import Split, known_cells, text_key
from radstream_distill.dataset import load_dataset
from radstream_distill.loss import distillation_loss, targets_of
from radstream_distill.make import load_data
from radstream_distill.schema import OBSERVATION_INDEX, OBSERVATIONS, STATUS_INDEX

ROOT = Path(__file__).resolve().parents[1]
EFFUSION, EDEMA = OBSERVATION_INDEX["pleural_effusion"], OBSERVATION_INDEX["edema"]


def cell(observation: str, status: str, source: str = "teacher", **more: Any) -> dict[str, Any]:
    student = {"not_mentioned": 0.6, "positive": 0.1, "negative": 0.3, "uncertain": 0.0}
    return {
        "observation": observation,
        "status": status,
        "label_source": source,
        "student_status": "not_mentioned",
        "student_probabilities": student,
        "teacher_status": status,
        "teacher_confidence": None,
        "teacher_agreement": None,
        "quote": None,
        **more,
    }


def row(number: int, cells: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "sample_id": f"sample-{number}",
        "findings": f"Small effusion number {number}.",
        "impression": None,
        "addenda": [],
        "body": None,
        "human": any(cell["label_source"] == "human" for cell in cells),
        "needs_review": False,
        "cells": cells,
        **more,
    }


_CELL = pa.struct(
    [
        *((name, pa.string()) for name in ("observation", "status", "label_source", "student_status")),
        (
            "student_probabilities",
            pa.struct([(name, pa.float32()) for name in ("not_mentioned", "positive", "negative", "uncertain")]),
        ),
        ("teacher_status", pa.string()),
        ("teacher_confidence", pa.float32()),
        ("teacher_agreement", pa.float32()),
        ("quote", pa.string()),
    ]
)
_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("findings", pa.string()),
        ("impression", pa.string()),
        ("addenda", pa.list_(pa.string())),
        ("body", pa.string()),
        ("human", pa.bool_()),
        ("needs_review", pa.bool_()),
        ("cells", pa.list_(_CELL)),
    ]
)


def written(folder: Path, rows: list[dict[str, Any]], folded: list[dict[str, Any]] | None = None) -> Path:
    """A dataset folder with these rows."""
    snapshot = folder / "snapshots" / "000000000001"
    files = []
    for shelf, of_shelf in (("samples", rows), ("folded", folded or [])):
        path = snapshot / shelf / "day=2026-11-28" / "part.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(of_shelf, schema=_SCHEMA), path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        files.append({"path": str(path.relative_to(snapshot)), "sha256": sha256})
    manifest = {"format": 1, "dataset_id": "0123", "dataset_sha256": "0123abcd", "files": files}
    (snapshot / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / "current").symlink_to(snapshot.relative_to(folder))
    return folder


def test_a_dataset_that_radstream_wrote_is_read() -> None:
    dataset = load_dataset(Path(__file__).parent / "dataset")
    by_text = {example.text: example for example in dataset.examples}
    assert set(by_text) == {"Small effusion.", "No effusion."}, "each text once"
    taught, human = by_text["Small effusion."], by_text["No effusion."]
    assert taught.row[EFFUSION] == STATUS_INDEX["positive"] and taught.row[EDEMA] == STATUS_INDEX["not_mentioned"]
    assert taught.weights[EFFUSION] == 0.75 and human.weights[EFFUSION] == 2.0
    assert taught.targets[EFFUSION] == pytest.approx((1 / 6, 0.75, 1 / 24, 1 / 24))
    table = pq.read_table(Path(__file__).parent / "dataset" / "current" / "samples")
    assert {"day", "times_seen", *OBSERVATIONS} <= set(table.column_names)
    assert sorted(table["times_seen"].to_pylist()) == [1, 2]


def test_weights_say_who_labelled_and_how_sure_the_teacher_is(tmp_path: Path) -> None:
    cells = [
        cell("pleural_effusion", "positive", "human", teacher_status="negative", teacher_confidence=0.9),
        cell("edema", "negative", teacher_confidence=0.7),
        cell("pneumonia", "uncertain", teacher_agreement=0.6, teacher_confidence=0.9),
        cell("fracture", "negative"),
        cell("cardiomegaly", "positive", "rules", teacher_status=None),
        cell("atelectasis", "positive", "student", teacher_status=None),
        cell("of_a_newer_build", "positive"),
    ]
    dataset = load_dataset(written(tmp_path, [row(1, cells)], folded=[row(2, cells)]), human_weight=3.0)
    assert (dataset.dataset_id, dataset.sha256) == ("0123", "0123abcd")
    (example,) = dataset.examples
    assert example.text == "Small effusion number 1."
    by_name = {name: example.weights[index] for name, index in OBSERVATION_INDEX.items()}
    assert by_name["pleural_effusion"] == 3.0
    assert by_name["edema"] == pytest.approx(0.7)
    assert by_name["pneumonia"] == pytest.approx(0.6), "votes before probabilities"
    assert by_name["fracture"] == 1.0
    assert by_name["cardiomegaly"] == 0.5
    assert by_name["atelectasis"] == 0.0, "the student's own"
    assert by_name["lung_opacity"] == 0.0, "nothing is known of it"
    assert example.row[EFFUSION] == STATUS_INDEX["positive"]
    # The rest of the teacher's certainty goes where the student sees other statuses.
    assert example.targets[EDEMA] == pytest.approx((0.3 * 6 / 7, 0.3 / 7, 0.7, 0.0))
    assert set(example.targets) == {EDEMA, OBSERVATION_INDEX["pneumonia"]}


def test_a_teacher_that_doubts_its_answer_gives_no_target(tmp_path: Path) -> None:
    certain = {"not_mentioned": 0.0, "positive": 0.0, "negative": 1.0, "uncertain": 0.0}
    cells = [
        cell("edema", "negative", teacher_confidence=0.4),
        cell("pleural_effusion", "negative", teacher_confidence=0.7, student_probabilities=certain),
    ]
    (example,) = load_dataset(written(tmp_path, [row(1, cells)])).examples
    assert EDEMA not in example.targets
    assert example.targets[EFFUSION] == pytest.approx((0.1, 0.1, 0.7, 0.1)), "evenly where the student sees none"


def test_reviews_wait_unless_a_person_labelled_them_and_students_alone_never_count(tmp_path: Path) -> None:
    rows = [
        row(1, [cell("edema", "positive")], needs_review=True),
        row(2, [cell("edema", "positive", "human")], needs_review=True),
        row(3, [cell("edema", "positive", "student"), cell("fracture", "negative", "unknown")]),
        row(4, [cell("edema", "positive")]),
    ]
    folder = written(tmp_path, rows)
    dataset = load_dataset(folder)
    assert [example.id for example in dataset.examples] == ["sample-2", "sample-4"]
    assert (dataset.for_review, dataset.untaught) == (1, 1)
    everything = load_dataset(folder, include_reviews=True)
    assert [example.id for example in everything.examples] == ["sample-1", "sample-2", "sample-4"]


def test_sections_are_read_as_the_student_reads_them(tmp_path: Path) -> None:
    more = {"findings": None, "impression": "Clear.", "addenda": ["Seen again.", "And again."], "body": "Free text."}
    (example,) = load_dataset(written(tmp_path, [row(1, [cell("edema", "positive")], **more)])).examples
    assert example.text == "Free text.\nClear.\nSeen again.\nAnd again."


def test_what_is_not_as_the_manifest_says_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "a", [row(1, [cell("edema", "positive")])])
    path = next((folder / "current" / "samples").rglob("*.parquet"))
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ValueError, match="damaged"):
        load_dataset(folder)
    with pytest.raises(ValueError, match="not a dataset"):
        load_dataset(tmp_path)
    wrong = written(tmp_path / "b", [row(1, [cell("edema", "likely")])])
    with pytest.raises(ValueError, match="sample-1: unknown label edema=likely"):
        load_dataset(wrong)


def test_datasets_join_the_training_part_and_held_out_texts_do_not(tmp_path: Path) -> None:
    settings = config.load(ROOT / "configs" / "small.toml", {"ensemble.members": 0})
    held = load_data(settings).split.validation[0]
    rows = [
        row(1, [cell("edema", "positive")]),
        row(2, [cell("edema", "positive")], findings=held.text),
    ]
    folder = written(tmp_path / "site", rows)
    with_site = dataclasses.replace(settings, data=dataclasses.replace(settings.data, datasets=(str(folder),)))
    data = load_data(with_site)
    ids = {example.id for example in data.split.train}
    assert "sample-1" in ids and "sample-2" not in ids
    assert data.files["site"] == "0123abcd"


def test_a_share_of_the_site_is_kept_by_text_to_choose_the_step_by(tmp_path: Path) -> None:
    rows = [row(n, [cell("edema", "positive")], findings=f"Edema, film {n}.") for n in range(200)]
    rows.append(row(200, [cell("edema", "negative")], findings="EDEMA film 7"))
    folder = written(tmp_path / "site", rows)
    settings = config.load(ROOT / "configs" / "small.toml", {"ensemble.members": 0})

    def dealt(share: float) -> Split:
        data = dataclasses.replace(settings.data, datasets=(str(folder),), site_validation=share)
        return load_data(dataclasses.replace(settings, data=data)).split

    split = dealt(0.2)
    # Binomial, 201 at 0.2: 40, standard deviation 5.7.
    assert 20 <= len(split.site) <= 60
    kept = {text_key(example.text) for example in split.site}
    trained = {text_key(example.text) for example in split.train}
    assert not kept & trained
    twins = {"sample-7", "sample-200"}
    assert len(twins & {example.id for example in split.site}) in (0, 2)
    more = {example.id for example in dealt(0.4).site}
    assert {example.id for example in split.site} < more, "a greater share keeps what the smaller one did"
    assert not dealt(0.0).site


def test_what_nobody_labelled_does_not_count_when_the_step_is_chosen(tmp_path: Path) -> None:
    rows = [row(n, [cell("edema", "positive" if n % 2 else "negative")], findings=f"Film {n}.") for n in range(4)]
    examples = load_dataset(written(tmp_path / "site", rows)).examples
    reference = evaluate.cells([example.row for example in examples])
    known = known_cells(examples)
    assert known.sum() == 4 and known[:, EDEMA].all()
    # Right in all that is known, wrong in all that is not.
    predicted = np.where(known, reference, 1)
    assert evaluate.kappa(reference, predicted, known) == 1.0
    assert evaluate.kappa(reference, predicted) < 0.5
    assert evaluate.kappa(reference, predicted, np.zeros_like(known)) == 0.0


def test_a_cell_of_unknown_label_teaches_nothing() -> None:
    known = TrainingText("x", (0,) * len(OBSERVATIONS), weights={EDEMA: 0.5})
    unknown = TrainingText("x", (0,) * len(OBSERVATIONS), weights={EDEMA: 0.0})
    assert targets_of([unknown])[3][0, EDEMA] == 0.0
    assert targets_of([known])[3][0, EDEMA] == 0.5
    logits = torch.zeros(1, len(OBSERVATIONS), 4)
    logits.requires_grad_(True)
    loss = distillation_loss(logits, [unknown], torch.ones(len(OBSERVATIONS), 4), TrainConfig())
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[0, EDEMA].abs().sum() == 0 and gradient[0, EFFUSION].abs().sum() > 0


def test_an_unknown_label_stays_unknown_in_a_longer_text() -> None:
    weights = {EDEMA: 0.0, EFFUSION: 0.4}
    example = corpus.Example("a", "Clear.", "", (0,) * len(OBSERVATIONS), weights=weights)
    sentence = corpus.Example("b", "Edema.", "", (0,) * len(OBSERVATIONS), is_sentence=True)
    settings = AugmentConfig(report=0.0, report_plus=1.0, bank=0.0, template=0.0)
    text = Augmenter([example], [sentence], None, settings).draw(random.Random(1))
    assert text.weights == {EDEMA: 0.0}
