from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from radstream_distill import calibrate, config, corpus, evaluate, loss, manifest, train
from radstream_distill.augment import TrainingText
from radstream_distill.config import CalibrateConfig, EncoderConfig, RunConfig, TrainConfig
from radstream_distill.make import augmenter, load_data, make, started_from, train_members, train_tokenizer
from radstream_distill.model import Student
from radstream_distill.schema import EMPTY_ROW, OBSERVATIONS, row_from_labels
from radstream_distill.train import Mean, Run, balance, train_student

ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "tokenizer.vocab_size": 600,
    "encoder.hidden": 32,
    "encoder.layers": 1,
    "encoder.heads": 2,
    "encoder.intermediate": 64,
    "encoder.position_buckets": 8,
    "train.threads": 1,
    "train.device": "cpu",  # what is compared bit by bit is not the same twice on every GPU
    "train.steps": 40,
    "train.tokens_per_batch": 1024,
    "train.evaluate_every": 20,
    "train.checkpoint_every": 20,
    "seeds": 1,
    "max_tokens": 256,
    "ensemble.members": 0,
}
ENSEMBLE = {
    "ensemble.members": 2,
    "ensemble.hidden": 16,
    "ensemble.layers": 1,
    "ensemble.heads": 2,
    "ensemble.intermediate": 32,
    "ensemble.steps": 3,
}


def tiny(**more: object) -> RunConfig:
    return config.load(ROOT / "configs" / "small.toml", {**TINY, **more})


def run_of(settings: RunConfig) -> tuple[Run, list[corpus.Example]]:
    data = load_data(settings)
    words = train_tokenizer(settings, data)
    encoder = dataclasses.replace(settings.encoder, vocab_size=words.get_vocab_size())
    classes = balance(data.split.train, settings.train)
    run = Run(settings, encoder, words, augmenter(settings, data), classes, settings.seed)
    return run, data.split.validation[:30]


def quiet(_: str) -> None:
    return None


def test_a_resumed_run_ends_where_an_unbroken_one_ends(tmp_path: Path) -> None:
    settings = tiny()
    whole, validation = run_of(settings)
    expected = train_student(whole, validation, None, quiet)

    class StoppedError(Exception):
        pass

    def stop(message: str) -> None:
        if "resumed" not in message:
            raise StoppedError

    broken, _ = run_of(settings)
    path = tmp_path / "checkpoint.pt"
    broken.settings = dataclasses.replace(settings.train, evaluate_every=39)
    with pytest.raises(StoppedError):
        train_student(broken, validation, path, stop)
    resumed, _ = run_of(settings)
    got = train_student(resumed, validation, path, quiet)
    assert resumed.step == whole.step
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert got.kappa >= 0 and expected.kappa >= 0


def test_the_step_is_chosen_by_the_site_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tiny(**{"train.steps": 80})
    plain = evaluate.score
    looks: list[str] = []

    # Corpus: later looks are better. Site: the first, by more.
    def scored(reference: evaluate.Cells, predicted: evaluate.Cells) -> evaluate.Scores:
        looks.append("corpus")
        return dataclasses.replace(plain(reference, predicted), kappa=0.50 if len(looks) == 1 else 0.52)

    monkeypatch.setattr(evaluate, "score", scored)
    monkeypatch.setattr(train.SiteKappa, "__call__", lambda *_: 0.6 if len(looks) == 1 else 0.4)
    run, validation = run_of(settings)
    said: list[str] = []
    trained = train_student(run, validation, None, said.append, site=validation[:5])
    assert len(looks) > 1 and trained.step < run.step == 80
    assert round(trained.kappa, 6) == 0.55 and "kappa 0.5000 site 0.6000" in said[0]
    looks.clear()
    run, validation = run_of(settings)
    assert train_student(run, validation, None, quiet).kappa == 0.52, "the corpus alone would choose another"


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    run, _ = run_of(tiny())
    state = run.state() | {"fingerprint": tiny(seed=18).training_fingerprint()}
    with pytest.raises(ValueError, match="another configuration"):
        run.restore(state)


def test_make_writes_a_folder_that_verifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radstream_distill.make._PARITY_TEXTS", 20)
    monkeypatch.setattr("radstream_distill.make._EVIDENCE_JOINS", 5)
    monkeypatch.setattr("radstream_distill.make._SPEED_SECONDS", 0.1)
    settings = tiny(**{"train.steps": 6, "train.evaluate_every": 6, "pretrain.steps": 2, **ENSEMBLE})
    out = tmp_path / "model"
    written = make(settings, out, tmp_path / "work", [])
    assert manifest.verify(out) == []
    assert written["version"] in (out / "README.md").read_text()
    assert written["version"].startswith("2026.11.28-") and len(written["temperatures"]) == 13
    assert written["length_buckets"][-1] == 256 and all(b % 8 == 0 for b in written["length_buckets"])
    assert json.loads((tmp_path / "work" / "report.json").read_text())["peak_memory_mib"] > 0

    again = make(settings, tmp_path / "again", tmp_path / "work2", [])
    assert again["files"] == written["files"], "same seed, same bytes"

    assert written["training"]["ensemble"]["members"] == 2 and "mean of 2 students" in (out / "README.md").read_text()

    site = tiny(start=str(tmp_path / "work"), **{"train.steps": 4, "train.evaluate_every": 4})
    adapted = make(site, tmp_path / "site", tmp_path / "work3", [])
    assert adapted["files"]["tokenizer.json"] == written["files"]["tokenizer.json"], "a student keeps its vocabulary"
    assert adapted["files"]["model.onnx"] != written["files"]["model.onnx"]
    assert "student of an earlier run went on for 4 steps" in (tmp_path / "site" / "README.md").read_text()
    assert started_from(tiny(start=str(out))) == written["version"]
    assert started_from(settings) is None
    (out / "tokenizer.json").write_text("{}")
    assert "tokenizer.json" in manifest.verify(out)[0]


def test_loss_follows_the_teacher_where_it_has_a_distribution() -> None:
    hard = row_from_labels({"edema": "positive"})
    index = OBSERVATIONS.index("edema")
    classes = torch.ones(13, 4)
    settings = TrainConfig(label_smoothing=0.0, distill_alpha=1.0, distill_temperature=2.0)
    soft = TrainingText("x", hard, {index: (0.1, 0.2, 0.0, 0.7)})
    agree = torch.zeros(1, 13, 4)
    agree[..., 0] = 20.0
    agree[0, index] = torch.tensor([0.1, 0.2, 1e-6, 0.7]).log()
    assert float(loss.distillation_loss(agree, [soft], classes, settings)) == pytest.approx(0, abs=1e-4)
    assert float(loss.distillation_loss(agree, [TrainingText("x", hard)], classes, settings)) > 0.1


def test_an_ensemble_counts_only_where_it_chooses_the_label() -> None:
    hard = row_from_labels({"edema": "uncertain"})
    index = OBSERVATIONS.index("edema")
    settings = TrainConfig(label_smoothing=0.0, distill_alpha=1.0)
    logits = torch.zeros(1, 13, 4)
    logits[..., 0] = 20.0

    def cost(of_edema: list[float], student: list[float]) -> float:
        ensemble = torch.tensor([1.0, 0, 0, 0]).repeat(1, 13, 1)
        ensemble[0, index] = torch.tensor(of_edema)
        logits[0, index] = torch.tensor(student).log()
        return float(loss.distillation_loss(logits, [TrainingText("x", hard)], torch.ones(13, 4), settings, ensemble))

    agreeing = [0.1, 0.2, 0.1, 0.6]
    assert cost(agreeing, agreeing) < cost(agreeing, [0.01, 0.01, 0.01, 0.97])
    wrong = [0.1, 0.6, 0.1, 0.2]
    assert cost(wrong, wrong) > cost(wrong, [0.01, 0.01, 0.01, 0.97])


def test_a_doubtful_teacher_weighs_less() -> None:
    hard = row_from_labels({"edema": "positive"})
    index = OBSERVATIONS.index("edema")
    logits = torch.zeros(1, 13, 4)
    logits[..., 0] = 20.0
    settings = TrainConfig(label_smoothing=0.0)
    full = loss.distillation_loss(logits, [TrainingText("x", hard)], torch.ones(13, 4), settings)
    half = loss.distillation_loss(logits, [TrainingText("x", hard, weights={index: 0.5})], torch.ones(13, 4), settings)
    assert float(half) == pytest.approx(float(full) / 2, rel=1e-4)


def test_rare_classes_weigh_more_with_mean_one() -> None:
    rows = [EMPTY_ROW] * 90 + [row_from_labels({"edema": "uncertain"})] * 10
    weights = loss.class_weights(rows, 0.25)
    index = OBSERVATIONS.index("edema")
    assert weights[index, 3] > weights[index, 0]


def test_temperature_recovers_the_scale_of_the_logits() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 1, 4)) * 2
    chance = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    reference = np.array([[rng.choice(4, p=row[0])] for row in chance])
    assert calibrate.best_temperature(logits * 3, reference) == pytest.approx(3, rel=0.08)


def test_a_site_has_its_say_in_the_temperatures_with_the_cells_it_knows() -> None:
    rng = np.random.default_rng(2)

    def drawn(scale: float) -> tuple[evaluate.Floats, evaluate.Cells]:
        logits = rng.normal(size=(400, 13, 4)) * 2
        chance = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        reference = np.array([[rng.choice(4, p=cell) for cell in row] for row in chance])
        return logits * scale, reference

    corpus_logits, corpus_reference = drawn(1)
    # The student could be twice as sure of the site's reports as it is.
    site_logits, site_reference = drawn(0.5)
    known = np.ones(site_reference.shape, dtype=bool)
    settings = CalibrateConfig(min_errors=100_000)

    def shared(known: np.ndarray | None) -> float:
        site = None if known is None else calibrate.SitePart(site_logits, site_reference, known)
        fitted = calibrate.fit(corpus_logits, corpus_reference, settings, "the corpus", site)
        assert ("400 held-out reports of the site" in str(fitted.report["fitted_on"])) == (site is not None)
        assert len(set(fitted.temperatures)) == 1
        return fitted.temperatures[0]

    assert shared(None) == pytest.approx(1, rel=0.08)
    assert 0.5 < shared(known) < 0.9
    # What nobody labelled says nothing.
    assert shared(np.zeros_like(known)) == shared(None)
    # One observation alone, one part in fourteen.
    known[:, 1:] = False
    assert 0.85 < shared(known) < shared(None)


def test_thresholds_keep_the_budget_and_catch_errors() -> None:
    rng = np.random.default_rng(1)
    confidence = 1 - 0.6 * rng.uniform(size=(2000, 13)) ** 9
    wrong = rng.uniform(size=confidence.shape) > confidence
    enough = np.zeros(13, dtype=bool)
    enough[:3] = True
    settings = CalibrateConfig(budget=0.1, residual_error=0.001)
    thresholds, _ = calibrate.choose_thresholds(confidence, wrong, enough, settings)
    escalated = confidence < np.asarray(thresholds)
    assert 0.02 < escalated.any(1).mean() <= 0.1
    assert wrong[escalated].mean() > 2 * wrong.mean()
    assert len(set(thresholds[3:])) == 1


def test_scores_of_a_hand_computed_labelling() -> None:
    reference = evaluate.cells([row_from_labels({"edema": s}) for s in ("positive",) * 4 + ("negative", "uncertain")])
    predicted = evaluate.cells(
        [row_from_labels({"edema": s}) for s in ("positive",) * 3 + ("negative", "negative", "positive")]
    )
    row = evaluate.score(reference, predicted).per_observation["edema"]
    assert row["positive"] == pytest.approx(2 * 3 / (4 + 4))
    assert row["negation"] == pytest.approx(2 * 1 / (1 + 2))
    assert row["uncertainty"] == 0 and row["mention"] == 1
    assert evaluate.score(reference, reference).exact_match == 1


def test_intervals_hold_the_score_and_shrink_with_data() -> None:
    rng = np.random.default_rng(2)
    reference = rng.integers(0, 4, size=(600, 13))
    predicted = np.where(rng.uniform(size=reference.shape) < 0.8, reference, rng.integers(0, 4, size=reference.shape))
    low, high = evaluate.intervals(reference, predicted, rounds=200)["positive"]
    assert low < evaluate.score(reference, predicted).macro["positive"] < high
    few_low, few_high = evaluate.intervals(reference[:60], predicted[:60], rounds=200)["positive"]
    assert few_high - few_low > high - low


def test_calibration_error_and_capture() -> None:
    confidence = np.array([0.9] * 10)
    assert evaluate.calibration_error(confidence, np.array([True] * 9 + [False]), bins=1) == pytest.approx(0)
    sure = np.linspace(0.5, 1, 100)
    wrong = np.zeros(100, dtype=bool)
    wrong[[2, 50]] = True
    assert evaluate.captured(sure, wrong, 0.1) == 0.5


def test_self_test_candidates_are_enough_and_readable() -> None:
    cases = manifest.load_self_test(ROOT / "corpus" / "selftest.jsonl")
    assert len(cases) >= 60 and len({case.text for case in cases}) == len(cases)


def test_an_ensemble_is_the_mean_of_its_members_and_of_something() -> None:
    encoder = EncoderConfig(hidden=16, layers=1, heads=2, intermediate=16, position_buckets=4, vocab_size=30)
    students = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        students.append(Student(encoder))
    ids = torch.randint(5, 30, (3, 16))
    mask = torch.ones_like(ids)
    members = [torch.softmax(student.eval()(ids, mask)[0], -1) for student in students]
    mean = Mean(students)(ids, mask)
    assert torch.allclose(mean, (members[0] + members[1]) / 2, atol=1e-6)
    assert not torch.allclose(members[0], members[1], atol=1e-3)
    with pytest.raises(ValueError, match="nothing"):
        Mean([])


def test_members_are_trained_once_and_again_when_their_settings_change(tmp_path: Path) -> None:
    settings = tiny(**{"train.steps": 2, **ENSEMBLE})
    words = train_tokenizer(settings, load_data(settings))
    first = train_members(settings, words, tmp_path)
    saved = tmp_path / "members" / "member-1.pt"
    made = saved.stat().st_mtime_ns
    train_members(tiny(**{"train.steps": 3, **ENSEMBLE, "ensemble.alpha": 0.9}), words, tmp_path)
    assert saved.stat().st_mtime_ns == made, "what concerns the student alone leaves the members as they are"
    again = train_members(tiny(**{"train.steps": 2, **ENSEMBLE, "ensemble.steps": 2}), words, tmp_path)
    assert saved.stat().st_mtime_ns != made
    before, after = first[1].state_dict(), again[1].state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert any(not torch.equal(first[0].state_dict()[name], before[name]) for name in before), "seeds differ"


def test_spliced_texts_are_taught_by_the_ensemble_alone() -> None:
    settings = TrainConfig(label_smoothing=0.0)
    text = TrainingText("x", EMPTY_ROW, labelled=False)
    taught = torch.tensor([0.1, 0.6, 0.1, 0.2]).repeat(1, 13, 1)
    follows = taught.log()
    cost = loss.distillation_loss(follows, [text], torch.ones(13, 4), settings, taught, 0.5)
    assert float(cost) == pytest.approx(0, abs=1e-5)
    # The row says "not mentioned", and would cost a student that believes the ensemble; a labelled text does.
    labelled = TrainingText("x", EMPTY_ROW)
    assert float(loss.distillation_loss(follows, [labelled], torch.ones(13, 4), settings, taught, 0.5)) > 1


def test_a_run_draws_spliced_texts_only_for_an_ensemble() -> None:
    run, _ = run_of(tiny(**{"ensemble.spliced": 1.0}))
    assert run.draw(random.Random(3)).labelled
    run.ensemble = lambda ids, mask: torch.zeros(1)
    drawn = [run.draw(random.Random(seed)) for seed in range(20)]
    assert not any(text.labelled for text in drawn) and len({text.text for text in drawn}) == 20
