from __future__ import annotations

from pathlib import Path

import pytest

from radstream_distill import config, corpus, gold
from radstream_distill.corpus import Example
from radstream_distill.make import load_data
from radstream_distill.schema import (
    EMPTY_ROW,
    OBSERVATIONS,
    labels_from_row,
    merge_rows,
    no_finding,
    row_from_labels,
)

ROOT = Path(__file__).resolve().parents[1]


def test_positive_beats_uncertain_beats_negative_beats_silence() -> None:
    rows = [row_from_labels({"edema": status}) for status in ("negative", "uncertain", "positive")]
    assert labels_from_row(merge_rows([EMPTY_ROW, rows[0]])) == {"edema": "negative"}
    assert labels_from_row(merge_rows([rows[0], rows[1]])) == {"edema": "uncertain"}
    assert labels_from_row(merge_rows(rows)) == {"edema": "positive"}


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown label"):
        row_from_labels({"edema": "maybe"})


def test_devices_do_not_break_no_finding() -> None:
    assert no_finding(row_from_labels({"support_devices": "positive", "edema": "negative"}))
    assert not no_finding(row_from_labels({"edema": "uncertain"}))


def test_no_finding_in_the_corpus_is_what_the_rule_derives(reports: list[Example]) -> None:
    import json

    lines = (ROOT / "corpus" / "reports.jsonl").read_text().splitlines()
    for line, report in zip(lines, reports, strict=True):
        assert (json.loads(line)["labels"].get("no_finding") == "positive") == no_finding(report.row), report.id


def test_model_text_leaves_out_empty_parts() -> None:
    assert corpus.model_text("A.", "B.", ("C.",)) == "A.\nB.\nC."
    assert corpus.model_text("", " B. ") == "B."


def test_split_shares_no_text_and_is_stable(reports: list[Example], bank: list[Example]) -> None:
    everything = [*reports, *bank]
    split = corpus.split_blocks(everything, validation=0.06, calibration=0.08, block=10, seed=17)
    parts = [split.train, split.validation, split.calibration]
    keys = [{corpus.text_key(example.text) for example in part} for part in parts]
    assert not keys[0] & keys[1] and not keys[0] & keys[2] and not keys[1] & keys[2]
    assert len(split.validation) > 100 and len(split.calibration) > 150
    again = corpus.split_blocks(everything[::-1], validation=0.06, calibration=0.08, block=10, seed=17)
    assert {e.id for e in again.validation} <= {e.id for e in everything}
    assert {e.id for e in again.train} == {e.id for e in split.train}


def test_neighbours_of_a_block_stay_together(reports: list[Example]) -> None:
    split = corpus.split_blocks(reports, validation=0.2, calibration=0.2, block=10, seed=1)
    place = {e.id: number for number, part in enumerate((split.train, split.validation)) for e in part}
    for report in reports:
        series, number = report.id.rsplit("r", 1)
        first = f"{series}r{int(number) // 10 * 10 + 1:03d}"
        if report.id in place and first in place:
            assert place[report.id] == place[first]


def test_pseudo_labels_carry_distributions_and_weights(tmp_path: Path) -> None:
    path = tmp_path / "teacher.jsonl"
    path.write_text(
        '{"id": "a", "findings": "Edema.", "impression": "", "labels": {"edema": "positive"},'
        ' "targets": {"edema": [0.1, 0.8, 0.0, 0.1]}, "weights": {"edema": 0.6}}\n'
    )
    example = corpus.load_reports(path)[0]
    index = OBSERVATIONS.index("edema")
    assert example.targets[index] == (0.1, 0.8, 0.0, 0.1) and example.weights[index] == 0.6


def test_a_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"id": "a", "findings": "", "impression": "", "labels": {}}\n{"id": "b"}\n')
    with pytest.raises(ValueError, match=r"bad\.jsonl, line 2"):
        corpus.load_reports(path)


def test_configurations_load_and_unknown_keys_are_refused(tmp_path: Path) -> None:
    for path in (ROOT / "configs").glob("*.toml"):
        loaded = config.load(path)
        assert all(loaded.path(name).exists() for name in (*loaded.data.reports, *loaded.data.phrases))
    bad = tmp_path / "bad.toml"
    bad.write_text("[train]\nstep = 3\n")
    with pytest.raises(ValueError, match=r"train\.step"):
        config.load(bad)
    bad.write_text('[train]\nsteps = "3"\n')
    with pytest.raises(ValueError, match=r"train\.steps must be of type int"):
        config.load(bad)


def test_fingerprint_follows_settings_not_place(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("seed = 1\n")
    other = tmp_path / "deeper" / "b.toml"
    other.parent.mkdir()
    other.write_text("seed = 1\n")
    assert config.load(path).fingerprint() == config.load(other).fingerprint()
    calibrated = config.load(path, {"calibrate.budget": 0.5})
    assert calibrated.fingerprint() != config.load(path).fingerprint()
    assert calibrated.training_fingerprint() == config.load(path).training_fingerprint()
    assert config.load(path, {"train.steps": 7}).training_fingerprint() != config.load(path).training_fingerprint()
    assert config.load(path, {"train.steps": 7}).fingerprint() != config.load(path).fingerprint()


def test_the_gold_set_that_ships_can_be_made_again_and_no_training_sees_it(tmp_path: Path) -> None:
    shipped = ROOT.parent / "models" / "gold" / "held-out.jsonl"
    held = [corpus.text_key(example.text) for example in corpus.load_reports(shipped)]
    for name in ("small", "refine", "site"):
        loaded = config.load(ROOT / "configs" / f"{name}.toml")
        written = tmp_path / f"{name}.jsonl"
        count = gold.write(loaded, written)
        if name == "small":
            # The first step reads less of the corpus, and so its calibration part has fewer of them.
            assert set(written.read_text().splitlines()) < set(shipped.read_text().splitlines())
            assert len(held) > count > 200
        else:
            assert written.read_bytes() == shipped.read_bytes()
            assert len(held) == count > 200
        split = load_data(loaded).split
        learned = {corpus.text_key(example.text) for example in (*split.train, *split.validation)}
        assert not learned & set(held)
