"""Small fixtures: a tiny student and the repository's own corpus."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from radstream_distill import corpus, tokenizer
from radstream_distill.config import EncoderConfig, TokenizerConfig
from radstream_distill.corpus import Example
from radstream_distill.model import Student
from radstream_distill.phrases import Phrases

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def reports() -> list[Example]:
    return corpus.load_reports(ROOT / "corpus" / "reports.jsonl")


@pytest.fixture(scope="session")
def bank() -> list[Example]:
    return corpus.load_sentences(ROOT / "corpus" / "sentences.jsonl")


@pytest.fixture(scope="session")
def phrases() -> Phrases:
    return Phrases.load(sorted((ROOT / "corpus" / "phrases").glob("*.txt")))


@pytest.fixture(scope="session")
def words(reports: list[Example]) -> Tokenizer:
    return tokenizer.train((report.text for report in reports[:400]), TokenizerConfig(vocab_size=600))


@pytest.fixture(scope="session")
def student(words: Tokenizer) -> Student:
    torch.manual_seed(3)
    config = EncoderConfig(
        hidden=32, layers=2, heads=2, intermediate=64, position_buckets=8, vocab_size=words.get_vocab_size()
    )
    model = Student(config).eval()
    # Untrained weights give near-uniform pooling: larger ones make parity worth testing.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    return model


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
