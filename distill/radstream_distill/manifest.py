"""The model folder's contract: `manifest.json`, its self-test and its verification."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from radstream_distill import tokenizer as tokens
from radstream_distill.calibrate import Calibration
from radstream_distill.config import RunConfig
from radstream_distill.runtime import Session
from radstream_distill.schema import OBSERVATIONS, STATUSES, Row, labels_from_row, row_from_labels

FORMAT_VERSION = 1
FILES = ("model.onnx", "tokenizer.json")
SELF_TEST_SIZE = 50
_BUCKETS = (16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 256, 320, 384, 512)


@dataclass(frozen=True)
class SelfTestCase:
    """A sentence that a student must label right to be loaded."""

    text: str
    row: Row


def length_buckets(max_tokens: int) -> list[int]:
    """Padded lengths, multiples of 8, up to the longest input."""
    return [*(bucket for bucket in _BUCKETS if bucket < max_tokens), max_tokens]


def load_self_test(path: Path) -> list[SelfTestCase]:
    """Candidates, one `{"text", "labels"}` a line."""
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return [SelfTestCase(line["text"], row_from_labels(line["labels"])) for line in lines]


def run_self_test(session: Session, cases: Sequence[SelfTestCase]) -> tuple[list[SelfTestCase], list[SelfTestCase]]:
    """Cases the exported student gets right, and those it does not."""
    predicted = session.logits([case.text for case in cases]).argmax(-1)
    right: list[SelfTestCase] = []
    missed: list[SelfTestCase] = []
    for case, row in zip(cases, predicted, strict=True):
        (right if tuple(int(status) for status in row) == case.row else missed).append(case)
    return right, missed


def digest(path: Path) -> dict[str, str | int]:
    """SHA-256 and size of a file."""
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def build(
    folder: Path,
    config: RunConfig,
    calibration: Calibration,
    self_test: Sequence[SelfTestCase],
    training: Mapping[str, Any],
    scores: Mapping[str, Any],
) -> dict[str, Any]:
    """The manifest of the files that lie in the folder."""
    files = {name: digest(folder / name) for name in FILES}
    tokenizer = tokens.load(folder / "tokenizer.json")
    return {
        "format_version": FORMAT_VERSION,
        "name": config.name,
        "version": f"{config.created.replace('-', '.')}-{str(files['model.onnx']['sha256'])[:8]}",
        "created": config.created,
        "observations": list(OBSERVATIONS),
        "statuses": list(STATUSES),
        "max_tokens": config.max_tokens,
        "length_buckets": length_buckets(config.max_tokens),
        "pad_token_id": tokens.special_id(tokenizer, tokens.PAD),
        "temperatures": list(calibration.temperatures),
        "thresholds": list(calibration.thresholds),
        "files": files,
        "training": dict(training),
        "calibration": calibration.report,
        "scores": dict(scores),
        "self_test": [{"text": case.text, "labels": labels_from_row(case.row)} for case in self_test[:SELF_TEST_SIZE]],
    }


def write(manifest: Mapping[str, Any], folder: Path) -> None:
    """Writes `manifest.json`."""
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8")


def verify(folder: Path) -> list[str]:
    """What is wrong with a model folder; empty when it may be loaded."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    problems = []
    if manifest["format_version"] != FORMAT_VERSION:
        problems.append(f"format version {manifest['format_version']}, expected {FORMAT_VERSION}")
    if manifest["observations"] != list(OBSERVATIONS) or manifest["statuses"] != list(STATUSES):
        problems.append("observations or statuses differ from the label space")
    for name, expected in manifest["files"].items():
        if not (folder / name).exists() or digest(folder / name) != expected:
            problems.append(f"{name} is missing or not the file the manifest was written for")
    for key in ("temperatures", "thresholds"):
        values = np.asarray(manifest[key], dtype=np.float64)
        if values.shape != (len(OBSERVATIONS),) or not np.all(np.isfinite(values)) or np.any(values <= 0):
            problems.append(f"{key} must be 13 positive numbers")
    if any(bucket % 8 for bucket in manifest["length_buckets"]):
        problems.append("a length bucket is not a multiple of 8")
    if problems:
        return problems
    cases = [SelfTestCase(case["text"], row_from_labels(case["labels"])) for case in manifest["self_test"]]
    _, missed = run_self_test(Session.open(folder, manifest["max_tokens"]), cases)
    return [f"self-test: {case.text!r} is not labelled {labels_from_row(case.row)}" for case in missed]
