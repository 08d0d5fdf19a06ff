"""Does the evidence point at the right sentence? Measured on joins of held-out sentences, where the answer is known."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from radstream_distill.corpus import Example
from radstream_distill.runtime import Session
from radstream_distill.schema import NOT_MENTIONED, merge_rows


def evidence_accuracy(session: Session, sentences: Sequence[Example], *, joins: int, seed: int) -> dict[str, float]:
    """Share of rightly labelled, mentioned cells whose heaviest sentence carries that status.

    Each join holds five to eight sentences; a cell counts only where the model's label is right, so the figure is of
    the pointing alone.
    """
    rng = random.Random(seed)
    right = counted = 0
    for _ in range(joins):
        parts = rng.sample(list(sentences), min(len(sentences), rng.randint(5, 8)))
        text, ends = "", []
        for part in parts:
            text = f"{text} {part.text}".strip()
            ends.append(len(text))
        encoding = session.tokenizer.encode(text)
        if len(encoding.ids) > session.max_tokens:
            continue
        logits, evidence = session.run_ids([encoding.ids])
        sentence_of = np.searchsorted(np.asarray(ends), [end for _, end in encoding.offsets], side="left")
        special = np.asarray(encoding.special_tokens_mask, dtype=bool)
        row = merge_rows(part.row for part in parts)
        for index, status in enumerate(row):
            if status == NOT_MENTIONED or int(logits[0, index].argmax()) != status:
                continue
            weights = np.where(special, 0.0, evidence[0, index, : len(encoding.ids)])
            totals = np.bincount(sentence_of, weights=weights, minlength=len(parts))
            counted += 1
            right += parts[int(totals.argmax())].row[index] == status
    return {"cells": float(counted), "right": right / counted if counted else 0.0}
