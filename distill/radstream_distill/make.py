"""From configuration to model folder: every step, in order."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import random
import resource
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from radstream_distill import calibrate, card, corpus, evaluate, export, manifest, runtime
from radstream_distill import tokenizer as tokens
from radstream_distill.augment import Augmenter
from radstream_distill.calibrate import Calibration, SitePart
from radstream_distill.config import EncoderConfig, RunConfig
from radstream_distill.corpus import Example, Split
from radstream_distill.dataset import load_dataset
from radstream_distill.evaluate import Floats
from radstream_distill.evidence import evidence_accuracy
from radstream_distill.exported import load_exported
from radstream_distill.model import Student
from radstream_distill.phrases import Phrases
from radstream_distill.pretrain import pretrain
from radstream_distill.runtime import Session
from radstream_distill.train import Mean, Run, Trained, balance, device_of, predict, say, train_student

PARITY = 1e-4
"""Largest difference of a logit between PyTorch and ONNX Runtime that an export may show."""
_PARITY_TEXTS = 500
_TOKENIZER, _STUDENT = "tokenizer.json", "student.pt"
"""What a later run may start from (`RunConfig.start`), in the work folder."""
_EVIDENCE_JOINS = 300
_SPEED_SECONDS = 5.0


@dataclass(frozen=True)
class Data:
    """Everything a run reads."""

    split: Split
    phrases: Phrases | None
    files: dict[str, str]
    """SHA-256 of every data file by name, and of every dataset by its folder's."""


def load_data(config: RunConfig) -> Data:
    """Reads the data files and deals the split. What a site has labelled joins the training part; where its text is
    held out elsewhere it is dropped."""
    data = config.data
    paths = [config.path(name) for name in (*data.reports, *data.sentences, *data.phrases, *data.teacher_reports)]
    reports = [example for name in data.reports for example in corpus.load_reports(config.path(name))]
    bank = [example for name in data.sentences for example in corpus.load_sentences(config.path(name))]
    split = corpus.split_blocks(
        [*reports, *bank],
        validation=data.validation,
        calibration=data.calibration,
        block=data.block,
        seed=config.seed,
    )
    gold = [example for name in data.held_out for example in corpus.load_reports(config.path(name))]
    held = {corpus.text_key(example.text) for example in (*split.validation, *split.calibration, *gold)}
    taught = [example for name in data.teacher_reports for example in corpus.load_reports(config.path(name))]
    exported = {
        name: load_dataset(config.path(name), human_weight=data.human_weight, include_reviews=data.include_reviews)
        for name in data.datasets
    }
    taught.extend(example for dataset in exported.values() for example in dataset.examples)
    taught = [example for example in taught if corpus.text_key(example.text) not in held]
    of_site, kept = corpus.deal_site(taught, validation=data.site_validation, seed=config.seed)
    split.train.extend(of_site)
    split.site.extend(kept)
    phrases = Phrases.load([config.path(name) for name in data.phrases]) if data.phrases else None
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    files.update({config.path(name).name: dataset.sha256 for name, dataset in exported.items()})
    return Data(split, phrases, files)


def augmenter(config: RunConfig, data: Data) -> Augmenter:
    """The source of training texts."""
    return Augmenter(
        [example for example in data.split.train if not example.is_sentence],
        [example for example in data.split.train if example.is_sentence],
        data.phrases,
        config.augment,
    )


def train_tokenizer(config: RunConfig, data: Data) -> Tokenizer:
    """A vocabulary of the training part and the templates; the checkpoint's own when the run starts from one."""
    if config.start:
        return tokens.load(config.path(config.start) / _TOKENIZER)
    if config.encoder.start_from:
        return tokens.load(config.path(config.encoder.start_from) / "tokenizer.json")
    texts = [example.text for example in data.split.train]
    if data.phrases is not None:
        rng = random.Random(config.seed)
        texts.extend(data.phrases.draw(rng)[0] for _ in range(4000))
    return tokens.train(texts, config.tokenizer)


def starting_encoder(
    config: RunConfig, data: Data, tokenizer: Tokenizer, work: Path
) -> tuple[EncoderConfig, dict[str, Tensor] | None]:
    """Encoder shape and its first weights: a published checkpoint, masked-language pre-training, or chance (None)."""
    if config.encoder.start_from:
        from radstream_distill.checkpoint import load_deberta

        return load_deberta(config.path(config.encoder.start_from), config.encoder)
    encoder = dataclasses.replace(config.encoder, vocab_size=tokenizer.get_vocab_size())
    if not config.pretrain.steps:
        return encoder, None
    saved = work / "pretrained.pt"
    if saved.exists():
        state = torch.load(saved, weights_only=False)
        if state["fingerprint"] == config.training_fingerprint():
            return encoder, state["encoder"]
    source = augmenter(config, data)
    weights = pretrain(config, encoder, tokenizer, lambda rng: source.draw(rng).text, config.seed)
    torch.save({"fingerprint": config.training_fingerprint(), "encoder": weights}, saved)
    return encoder, weights


def starting_student(folder: Path) -> tuple[EncoderConfig, dict[str, Tensor]]:
    """A whole student to go on from: of a work folder, or read back out of a model folder."""
    saved = folder / _STUDENT
    if saved.exists():
        state = torch.load(saved, weights_only=False)
        return EncoderConfig(**state["encoder"]), state["weights"]
    if (folder / "manifest.json").exists():
        return load_exported(folder)
    raise FileNotFoundError(f"start = {folder}: neither a work folder with {_STUDENT} nor a model folder")


def started_from(config: RunConfig) -> str | None:
    """Version of the model folder that a run goes on from; none where it starts anew, or from a work folder."""
    described = config.path(config.start) / "manifest.json"
    if not config.start or not described.exists():
        return None
    return str(json.loads(described.read_text(encoding="utf-8"))["version"])


def train_all(config: RunConfig, data: Data, tokenizer: Tokenizer, work: Path) -> tuple[Trained, list[Trained]]:
    """The student that ships, and every one that was trained, one per seed."""
    classes = balance(data.split.train, config.train)
    start: dict[str, Tensor] | None
    if config.start:
        encoder, start = starting_student(config.path(config.start))
    else:
        encoder, start = starting_encoder(config, data, tokenizer, work)
    teacher = Mean(train_members(config, tokenizer, work)) if config.ensemble.members else None
    students = []
    for seed in range(config.seed, config.seed + config.seeds):
        run = Run(config, encoder, tokenizer, augmenter(config, data), classes, seed, start, teacher)
        students.append(train_student(run, data.split.validation, work / f"seed-{seed}.pt", site=data.split.site))
    return max(students, key=lambda trained: trained.kappa), students


def train_members(config: RunConfig, tokenizer: Tokenizer, work: Path) -> list[Student]:
    """The members of the ensemble; those that `work` holds already are not trained again."""
    vocabulary = work / _TOKENIZER
    tokenizer.save(str(vocabulary), pretty=False)
    folder = work / "members"
    folder.mkdir(exist_ok=True)
    count = config.ensemble.members
    workers = config.ensemble.workers or (count if device_of(config.train.device).type == "cuda" else 1)
    if workers == 1:
        return [train_member(config, number, vocabulary, folder) for number in range(count)]
    # A process each: one small student cannot keep a GPU busy.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(train_member, [config] * count, range(count), [vocabulary] * count, [folder] * count))


def train_member(config: RunConfig, number: int, vocabulary: Path, folder: Path) -> Student:
    """One member, from its file where the same configuration has made it before."""
    run_config = config.member(number)
    saved = folder / f"member-{number}.pt"
    tokenizer = tokens.load(vocabulary)
    encoder = dataclasses.replace(run_config.encoder, vocab_size=tokenizer.get_vocab_size())
    if saved.exists():
        state = torch.load(saved, weights_only=False)
        if state["fingerprint"] == run_config.training_fingerprint():
            student = Student(encoder)
            student.load_state_dict(state["weights"])
            return student
    torch.set_num_threads(run_config.train.threads)
    data = load_data(run_config)
    classes = balance(data.split.train, run_config.train)
    seed = run_config.ensemble.seed
    run = Run(run_config, encoder, tokenizer, augmenter(run_config, data), classes, seed)
    checkpoint = folder / f"member-{number}-run.pt"
    if saved.exists():  # Of another configuration, and so is what is left of its run.
        checkpoint.unlink(missing_ok=True)
    trained = train_student(run, data.split.validation, checkpoint, site=data.split.site)
    state = {"fingerprint": run_config.training_fingerprint(), "weights": trained.model.state_dict()}
    torch.save(state, saved.with_suffix(".tmp"))
    saved.with_suffix(".tmp").replace(saved)
    return trained.model


def check_parity(student: Trained, session: Session, texts: list[str], config: RunConfig) -> float:
    """Largest logit difference between PyTorch and the export. Raises `RuntimeError` above `PARITY`."""
    ours = predict(student.model, session.tokenizer, texts, config.max_tokens).numpy()
    difference = float(np.abs(ours - session.logits(texts)).max())
    if difference > PARITY:
        raise RuntimeError(f"the export differs from PyTorch by {difference:.2e}, more than {PARITY:.0e}")
    return difference


def parity_texts(data: Data, config: RunConfig) -> list[str]:
    """Texts of mixed length: short sentences, reports, and joins of several reports."""
    rng = random.Random(config.seed)
    pool = [example.text for example in data.split.train]
    return ["\n".join(rng.choices(pool, k=rng.choice((1, 1, 1, 2, 4)))) for _ in range(_PARITY_TEXTS)]


def score_part(logits: Floats, examples: list[Example]) -> dict[str, Any]:
    """Scores of one held-out part, for the manifest."""
    reference, predicted = evaluate.cells([example.row for example in examples]), logits.argmax(-1)
    scores = evaluate.score(reference, predicted)
    spread = evaluate.intervals(reference, predicted)
    return {
        "texts": scores.reports,
        **{task: round(value, 4) for task, value in scores.macro.items()},
        "kappa": round(scores.kappa, 4),
        "exact_match": round(scores.exact_match, 4),
        "interval_95": {task: [round(low, 4), round(high, 4)] for task, (low, high) in spread.items()},
    }


def doubt_of_part(logits: Floats, examples: list[Example], calibration: Calibration) -> dict[str, float]:
    """How honest the doubt is on reports that nothing was fitted on: calibration error, and wrong reports found.

    Reports are ranked by their least sure cell; `captured_at_10` is the share of the wrong reports (any cell wrong)
    among the most doubtful tenth. `escalated` is the share that the thresholds of the manifest pick.
    """
    wrong = logits.argmax(-1) != evaluate.cells([example.row for example in examples])
    confidence = calibrate.probabilities(logits, calibration.temperatures).max(-1)
    escalated = (confidence < np.asarray(calibration.thresholds)[None, :]).any(1)
    failed = wrong.any(1)
    return {
        "ece": round(evaluate.calibration_error(confidence.ravel(), ~wrong.ravel()), 5),
        **{
            f"captured_at_{percent}": round(evaluate.captured(confidence.min(1), failed, percent / 100), 4)
            for percent in (5, 10, 20)
        },
        "wrong_reports": float(failed.sum()),
        "escalated": round(float(escalated.mean()), 4),
        "wrong_escalated": round(float((failed & escalated).sum() / max(1, failed.sum())), 4),
    }


def make(config: RunConfig, out: Path, work: Path, reference: list[Path]) -> dict[str, Any]:
    """Trains, exports, calibrates, verifies and writes a model folder; returns its manifest."""
    began = time.monotonic()
    torch.set_num_threads(config.train.threads)
    work.mkdir(parents=True, exist_ok=True)
    data = load_data(config)
    split = data.split
    say(
        f"texts: {len(split.train)} train, {len(split.validation)} validation, {len(split.calibration)} calibration,"
        f" {len(split.site)} of the site to choose the step by"
    )
    tokenizer = train_tokenizer(config, data)
    best, students = train_all(config, data, tokenizer, work)
    say(f"seed {best.seed} ships: validation kappa {best.kappa:.4f} at step {best.step}")
    tokenizer.save(str(work / _TOKENIZER), pretty=False)
    torch.save({"encoder": dataclasses.asdict(best.model.config), "weights": best.model.state_dict()}, work / _STUDENT)
    written, report = assemble(config, data, tokenizer, best, work / "folder", reference)
    install(work / "folder", out)
    report |= {
        "wall_seconds": round(time.monotonic() - began, 1),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "students": [{"seed": s.seed, "kappa": round(s.kappa, 4), "seconds": round(s.seconds)} for s in students],
    }
    (work / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    say(json.dumps(report, indent=2))
    return written


def site_part(session: Session, examples: list[Example]) -> SitePart | None:
    """What a site's held-out reports say of confidence; none when none are held out."""
    if not examples:
        return None
    return SitePart(
        session.logits([example.text for example in examples]),
        evaluate.cells([example.row for example in examples]),
        corpus.known_cells(examples),
    )


def assemble(
    config: RunConfig, data: Data, tokenizer: Tokenizer, best: Trained, folder: Path, reference: list[Path]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Exports a trained student to `folder`, calibrates, tests and describes it: manifest and report.

    `reference` files are scored for the manifest, nothing is fitted on them.
    """
    split = data.split
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    operators = export.export(best.model, folder / "model.onnx", config.max_tokens)
    session = Session.open(folder, config.max_tokens)
    difference = check_parity(best, session, parity_texts(data, config), config)

    held = session.logits([example.text for example in split.calibration])
    rows = evaluate.cells([example.row for example in split.calibration])
    fitted_on = "calibration part of the corpus (held-out blocks)"
    calibration = calibrate.fit(held, rows, config.calibrate, fitted_on, site_part(session, split.site))
    scores: dict[str, Any] = {
        "validation": score_part(session.logits([e.text for e in split.validation]), split.validation),
        "calibration": score_part(held, split.calibration),
    }
    full: dict[str, evaluate.Scores] = {}
    for path in reference:
        examples = corpus.load_reports(path)
        logits = session.logits([example.text for example in examples])
        scores[path.stem] = score_part(logits, examples) | {"doubt": doubt_of_part(logits, examples, calibration)}
        full[path.stem] = evaluate.score(evaluate.cells([e.row for e in examples]), logits.argmax(-1))
        say(evaluate.table(full[path.stem]))
    pointing = evidence_accuracy(
        session,
        [example for example in (*split.validation, *split.calibration) if example.is_sentence],
        joins=_EVIDENCE_JOINS,
        seed=config.seed,
    )
    scores["evidence_on_joined_sentences"] = {name: round(value, 4) for name, value in pointing.items()}
    cases = manifest.load_self_test(config.path(config.data.self_test))
    right, missed = manifest.run_self_test(session, cases)
    for case in missed:
        say(f"self-test candidate missed: {case.text!r}")
    training = {
        "data": data.files,
        "texts": {
            "train": len(split.train),
            "validation": len(split.validation),
            "calibration": len(split.calibration),
            "site_validation": len(split.site),
        },
        "templates": data.phrases.size if data.phrases is not None else 0,
        "seed": best.seed,
        "steps": best.step,
        "pretraining_steps": config.pretrain.steps,
        "went_on": bool(config.start),
        "start_version": started_from(config),
        "ensemble": dataclasses.asdict(config.ensemble) if config.ensemble.members else None,
        "parameters": sum(parameter.numel() for parameter in best.model.parameters()),
        "encoder": dataclasses.asdict(best.model.config) | {"start_from": bool(config.encoder.start_from)},
        "config_sha256": config.fingerprint(),
        "export_parity": float(f"{difference:.2e}"),
    }
    written = manifest.build(folder, config, calibration, right, training, scores)
    manifest.write(written, folder)
    (folder / "README.md").write_text(card.render(written, full, config.evidence_read), encoding="utf-8")
    problems = manifest.verify(folder)
    if problems:
        raise RuntimeError("the folder does not verify: " + "; ".join(problems))
    texts = [example.text for example in split.train if not example.is_sentence]
    report = {
        "version": written["version"],
        "self_test_missed": [case.text for case in missed],
        "operators": dict(operators),
        "speed": dataclasses.asdict(runtime.speed(folder, texts, config.max_tokens, 2, _SPEED_SECONDS)),
    }
    return written, report


def install(folder: Path, out: Path) -> None:
    """Moves a finished folder into place, the manifest last, so that no reader sees it before its files."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("README.md", *manifest.FILES, "manifest.json"):
        temporary = out / f".{name}.new"
        shutil.copyfile(folder / name, temporary)
        temporary.replace(out / name)
