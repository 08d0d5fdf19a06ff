"""The command line: `make`, `evaluate`, `verify`, `speed`, `halve`, `sample`, `gold`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from radstream_distill import config, corpus, evaluate, gold, half, manifest, runtime
from radstream_distill.make import augmenter, load_data, make
from radstream_distill.runtime import Session
from radstream_distill.schema import labels_from_row


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="radstream-distill", description="Makes and judges radstream students.")
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make", help="train, calibrate, export and verify a model folder")
    maker.add_argument("--config", type=Path, required=True)
    maker.add_argument("--out", type=Path, required=True)
    maker.add_argument("--work", type=Path, default=None, help="checkpoints (default: OUT with .work appended)")
    maker.add_argument(
        "--reference",
        type=Path,
        action="append",
        default=[],
        help="labelled reports to score, never trained on",
    )
    maker.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, e.g. train.steps=100")
    judge = commands.add_parser("evaluate", help="score a model folder on labelled reports")
    judge.add_argument("--model", type=Path, required=True)
    judge.add_argument("--json", action="store_true")
    judge.add_argument("reports", type=Path)
    verifier = commands.add_parser("verify", help="check hashes, shapes and self-test of a model folder")
    verifier.add_argument("--model", type=Path, required=True)
    speeder = commands.add_parser("speed", help="reports per second of the bare session loop")
    speeder.add_argument("--model", type=Path, required=True)
    speeder.add_argument("--sessions", type=int, default=2)
    speeder.add_argument("reports", type=Path)
    halver = commands.add_parser("halve", help="write an fp16 copy of a model folder, held against the original")
    halver.add_argument("--model", type=Path, required=True)
    halver.add_argument("--out", type=Path, required=True)
    halver.add_argument("reports", type=Path)
    sampler = commands.add_parser("sample", help="print training texts with their labels, to read them")
    sampler.add_argument("--config", type=Path, required=True)
    sampler.add_argument("--count", type=int, default=20)
    sampler.add_argument("--templates", action="store_true", help="one sentence of every template instead")
    golden = commands.add_parser("gold", help="write the reports that no training sees, for `radstream promote`")
    golden.add_argument("--config", type=Path, required=True)
    golden.add_argument("--out", type=Path, required=True)
    return parser


def _overrides(pairs: Sequence[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator:
            raise ValueError(f"--set wants KEY=VALUE, not {pair}")
        try:
            values[key] = json.loads(text)
        except json.JSONDecodeError:
            values[key] = text
    return values


def _max_tokens(folder: Path) -> int:
    return int(json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["max_tokens"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    out = sys.stdout
    if options.command == "make":
        loaded = config.load(options.config, _overrides(options.set))
        work = options.work or options.out.with_name(options.out.name + ".work")
        written = make(loaded, options.out, work, options.reference)
        out.write(f"{written['name']} {written['version']}\n")
    elif options.command == "evaluate":
        examples = corpus.load_reports(options.reports)
        session = Session.open(options.model, _max_tokens(options.model))
        predicted = session.logits([example.text for example in examples]).argmax(-1)
        scores = evaluate.score(evaluate.cells([example.row for example in examples]), predicted)
        out.write(json.dumps(dataclasses.asdict(scores)) if options.json else evaluate.table(scores))
        out.write("\n")
    elif options.command == "verify":
        problems = manifest.verify(options.model)
        out.write("\n".join(problems) + "\n" if problems else "the model folder is sound\n")
        return 1 if problems else 0
    elif options.command == "speed":
        texts = [example.text for example in corpus.load_reports(options.reports)]
        measured = runtime.speed(options.model, texts, _max_tokens(options.model), options.sessions)
        out.write(json.dumps(dataclasses.asdict(measured)) + "\n")
    elif options.command == "halve":
        texts = [example.text for example in corpus.load_reports(options.reports)]
        out.write(json.dumps(half.halve(options.model, options.out, texts)) + "\n")
    elif options.command == "gold":
        out.write(f"{gold.write(config.load(options.config), options.out)} reports\n")
    else:
        loaded = config.load(options.config)
        data = load_data(loaded)
        rng = random.Random(loaded.seed)
        if options.templates and data.phrases is not None:
            drawn = data.phrases.each(rng)
        else:
            source = augmenter(loaded, data)
            drawn = [(text.text, text.row) for text in (source.draw(rng) for _ in range(options.count))]
        for text, row in drawn:
            out.write(json.dumps({"text": text, "labels": labels_from_row(row)}) + "\n")
    return 0
