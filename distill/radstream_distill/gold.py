"""The gold set that ships: reports of the corpus that no training ever sees.

They are the calibration part of the split, which depends on the names of the texts and on seed and shares of the
configuration only; `refine.toml` and `site.toml` have the same, `small.toml` all but what it does not read.
Temperatures and thresholds are fitted on that part.
"""

from __future__ import annotations

import json
from pathlib import Path

from radstream_distill.config import RunConfig
from radstream_distill.corpus import Example
from radstream_distill.make import load_data
from radstream_distill.schema import labels_from_row


def held_out_reports(config: RunConfig) -> list[Example]:
    """Reports (no single sentences) of the calibration part, by id."""
    reports = [example for example in load_data(config).split.calibration if not example.is_sentence]
    return sorted(reports, key=lambda example: example.id)


def write(config: RunConfig, path: Path) -> int:
    """Writes them as JSONL in the form that `radstream evaluate` reads; returns how many."""
    reports = held_out_reports(config)
    lines = [
        json.dumps(
            {
                "id": example.id,
                "findings": example.findings,
                "impression": example.impression,
                "labels": labels_from_row(example.row),
            },
            ensure_ascii=False,
        )
        for example in reports
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return len(reports)
