from __future__ import annotations

import random

import pytest

from radstream_distill import augment, corpus
from radstream_distill.augment import Augmenter
from radstream_distill.config import AugmentConfig
from radstream_distill.corpus import Example
from radstream_distill.phrases import Phrases
from radstream_distill.schema import labels_from_row, merge_rows, row_from_labels

QUIET = AugmentConfig(word_mask=0.0, typo=0.0)


def test_a_join_has_the_merged_labels_of_exactly_its_parts(bank: list[Example]) -> None:
    known = {corpus.text_key(example.text): example.row for example in bank}
    few = list(bank[:40])
    source = Augmenter([], few, None, AugmentConfig(word_mask=0.0, typo=0.0, numbered=0.0))
    rng = random.Random(5)
    joined = 0
    for _ in range(300):
        drawn = source.draw(rng)
        rest, rows = drawn.text.replace("\n", " "), []
        while rest:
            part = next(example for example in few if rest.startswith(example.text.strip()))
            rows.append(known[corpus.text_key(part.text)])
            rest = rest[len(part.text.strip()) :].strip()
        joined += len(rows) > 1
        assert merge_rows(rows) == drawn.row
    assert joined > 100


def test_a_report_with_added_sentences_keeps_both(reports: list[Example], bank: list[Example]) -> None:
    only_plus = AugmentConfig(report=0, report_plus=1, bank=0, template=0, word_mask=0, typo=0)
    source = Augmenter(reports[:1], bank[:30], None, only_plus)
    rng = random.Random(1)
    for _ in range(100):
        drawn = source.draw(rng)
        parts = [e.row for e in bank[:30] if e.text in drawn.text]
        assert reports[0].findings in drawn.text or reports[0].impression in drawn.text
        assert merge_rows([reports[0].row, *parts]) == drawn.row


def test_masking_never_touches_findings_negations_or_hedges() -> None:
    text = "No large left pleural effusion. Possible small nodule, likely granuloma, is not excluded."
    masked = augment.mask_words(text, 1.0, random.Random(0))
    for word in ("No", "pleural", "effusion", "Possible", "nodule", "likely", "granuloma", "not", "excluded"):
        assert word in masked
    assert "left" not in masked and "large" not in masked
    critical = {
        "no",
        "not",
        "without",
        "possible",
        "may",
        "likely",
        "or",
        "versus",
        "normal",
        "clear",
        "resolved",
    }
    assert not critical & augment.MASKABLE


def test_typos_keep_short_words_and_word_count() -> None:
    text = "No evidence of pneumothorax or effusion"
    spoiled = augment.misspell(text, 1.0, random.Random(2))
    assert spoiled != text and len(spoiled.split()) == len(text.split())
    assert spoiled.startswith("No ") and " of " in spoiled and " or " in spoiled


def test_the_same_seed_draws_the_same_texts(reports: list[Example], bank: list[Example], phrases: Phrases) -> None:
    source = Augmenter(reports, bank, phrases, AugmentConfig())
    first, second = ([source.draw(random.Random(9)) for _ in range(5)] for _ in range(2))
    assert first == second


def test_every_template_yields_text_and_the_label_it_states(phrases: Phrases) -> None:
    for seed in range(3):
        for text, row in phrases.each(random.Random(seed)):
            assert text and not set("{}[]|()") & set(text), text
            assert len(row) == 13


def test_grammar_draws_labels_with_words() -> None:
    grammar = Phrases("%pneumothorax = PX @neg\n%edema = ED @neg\n@no = no\n- :: {no} {neg=N} or {neg=N}.\n")
    text, row = grammar.draw(random.Random(0))
    assert sorted(text.lower().strip(".").split(" ")[1:]) == ["edema", "or", "pneumothorax"]
    assert row == row_from_labels({"edema": "negative", "pneumothorax": "negative"})


@pytest.mark.parametrize(
    "source",
    ["- : no colons.", "XX=P :: a", "ED=Q :: a", "- :: {unknown} a", "- :: {unknown=N} a", "%a = ZZ @neg"],
)
def test_a_faulty_template_is_refused(source: str) -> None:
    with pytest.raises(ValueError):
        Phrases(source)


def test_templates_follow_the_guide_where_it_is_hard(phrases: Phrases) -> None:
    drawn = {}
    rng = random.Random(4)
    for _ in range(20000):
        text, row = phrases.draw(rng)
        drawn[text.lower()] = labels_from_row(row)
    expected = {
        "no pleural effusion or pneumothorax.": {"pneumothorax": "negative", "pleural_effusion": "negative"},
        "cardiomegaly.": {"cardiomegaly": "positive"},
        "stable cardiomediastinal silhouette.": {},
    }
    for text, labels in expected.items():
        assert drawn[text] == labels
