"""Runs an exported model folder with ONNX Runtime, as the Rust side does: buckets, one thread a session."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from radstream_distill import tokenizer as tokens
from radstream_distill.batches import by_length
from radstream_distill.evaluate import Floats


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@dataclass
class Session:
    """A tokenizer and an ONNX session."""

    session: onnxruntime.InferenceSession
    tokenizer: Tokenizer
    max_tokens: int

    @classmethod
    def open(cls, folder: Path, max_tokens: int, threads: int = 1) -> Session:
        """Opens a model folder."""
        return cls(_session(folder / "model.onnx", threads), tokens.load(folder / "tokenizer.json"), max_tokens)

    def run_ids(self, rows: Sequence[Sequence[int]]) -> tuple[Floats, Floats]:
        """One batch of token ids: logits `[B, 13, 4]` and evidence `[B, 13, S]`."""
        width = (max(len(row) for row in rows) + 7) // 8 * 8
        ids = np.full((len(rows), width), tokens.special_id(self.tokenizer, tokens.PAD), dtype=np.int64)
        mask = np.zeros((len(rows), width), dtype=np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        logits, evidence = self.session.run(["logits", "evidence"], {"input_ids": ids, "attention_mask": mask})
        return np.asarray(logits, dtype=np.float64), np.asarray(evidence, dtype=np.float64)

    def logits(self, texts: Sequence[str], budget: int = 2048) -> Floats:
        """Uncalibrated logits, in the order of the texts."""
        rows = tokens.encode(self.tokenizer, texts, self.max_tokens)
        out = np.zeros((len(rows), 13, 4))
        for places in by_length(rows, budget):
            out[list(places)] = self.run_ids([rows[place] for place in places])[0]
        return out


@dataclass(frozen=True)
class Speed:
    """What the bare session loop did, tokenising not counted."""

    reports_per_second: float
    tokens_per_report: float
    padding: float
    sessions: int


def speed(folder: Path, texts: Sequence[str], max_tokens: int, sessions: int, seconds: float = 5.0) -> Speed:
    """Reports per second of several one-thread sessions over length-sorted batches of about 1024 tokens."""
    opened = [Session.open(folder, max_tokens) for _ in range(sessions)]
    rows = tokens.encode(opened[0].tokenizer, texts, max_tokens)
    batches = [[rows[place] for place in places] for places in by_length(rows, 1024)]
    padded = sum(len(batch) * ((max(map(len, batch)) + 7) // 8 * 8) for batch in batches)
    real = sum(map(len, rows))

    def work(session: Session) -> int:
        for batch in batches:
            session.run_ids(batch)
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            for batch in batches:
                session.run_ids(batch)
                done += len(batch)
        return round(done / (time.perf_counter() - began) * 1000)

    with ThreadPoolExecutor(sessions) as pool:
        total = sum(pool.map(work, opened)) / 1000
    return Speed(total, real / len(rows), 1 - real / padded, sessions)
