"""Training texts made from labelled parts, with labels that stay exact.

Two kinds of change are made:

* composition: whole labelled texts are set side by side; the labels of the whole are the merge of the labels of the
  parts (positive beats uncertain beats negative). Parts are never cut, and are put only where a section begins or
  ends, so that "this may be pneumonia" keeps its antecedent;
* surface noise: masked words, typos, numbering. Words that carry a finding, a negation or a hedge are never masked.

Upper case and line wrapping are not among them: the tokenizer lower-cases and ignores white space, so the model
cannot see either (a test says so).
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from radstream_distill.config import AugmentConfig
from radstream_distill.corpus import Example, model_text
from radstream_distill.phrases import Phrases
from radstream_distill.schema import EMPTY_ROW, Row, merge_rows

_TOKEN = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*|[^A-Za-z]+")

MASKABLE = frozenset(
    """left right bilateral bibasilar lower upper middle mid lobe lobes zone zones base bases basilar basal apical apex
    perihilar lateral posterior anterior medial retrocardiac lingula lingular small mild mildly minimal minimally
    moderate moderately marked markedly slight slightly tiny large chronic old acute new stable unchanged subtle
    scattered diffuse patchy focal multiple several few some seen noted identified present visualized demonstrated
    again also today prior previous recent comparison compared examination exam study film radiograph views frontal
    pa ap portable the a an in on of at there are is otherwise remaining visualized""".split()
)
"""Words whose loss changes no label under the guide, whatever stands around them."""

MASKS = ("XXXX", "XXXX", "XXXX", "___")


@dataclass(frozen=True)
class TrainingText:
    """One text with the labels of the whole; soft targets only where a teacher gave them for this very text."""

    text: str
    row: Row
    targets: dict[int, tuple[float, ...]] = field(default_factory=dict)
    weights: dict[int, float] = field(default_factory=dict)
    labelled: bool = True
    """False: nobody knows what it says (`Augmenter.spliced`); `row` means nothing and only an ensemble can teach."""


def mask_words(text: str, share: float, rng: random.Random) -> str:
    """Replaces maskable words by the marks that de-identification leaves."""
    return "".join(
        rng.choice(MASKS) if part.lower() in MASKABLE and rng.random() < share else part
        for part in _TOKEN.findall(text)
    )


def misspell(text: str, share: float, rng: random.Random) -> str:
    """Drops, doubles or swaps one inner letter of long words."""
    return "".join(
        _misspell_word(part, rng) if len(part) >= 6 and part.isalpha() and rng.random() < share else part
        for part in _TOKEN.findall(text)
    )


def _misspell_word(word: str, rng: random.Random) -> str:
    place = rng.randrange(2, len(word) - 2)
    kind = rng.randrange(3)
    if kind == 0:
        return word[:place] + word[place + 1 :]
    if kind == 1:
        return word[:place] + word[place] + word[place:]
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


class Augmenter:
    """Draws training texts; the same seed gives the same texts."""

    def __init__(
        self,
        reports: Sequence[Example],
        bank: Sequence[Example],
        phrases: Phrases | None,
        config: AugmentConfig,
    ) -> None:
        if not reports and not bank and phrases is None:
            raise ValueError("nothing to train on")
        self._reports = list(reports)
        self._bank = list(bank)
        self._phrases = phrases
        self._config = config

    def draw(self, rng: random.Random) -> TrainingText:
        """One training text."""
        config = self._config
        kinds = [
            (config.report, bool(self._reports)),
            (config.report_plus, bool(self._reports)),
            (config.bank, bool(self._bank)),
            (config.template, self._phrases is not None),
        ]
        weights = [share if possible else 0.0 for share, possible in kinds]
        kind = rng.choices(range(4), weights)[0]
        if kind == 0:
            return self._report(rng)
        if kind == 1:
            return self._report_plus(rng)
        return self._composed(rng, templates=kind == 3)

    def spliced(self, rng: random.Random) -> TrainingText:
        """The beginning of one text and the end of another, some words changed for others: language that no label
        was written for, as a foreign hospital's is. What an ensemble makes of it, its doubt above all, can be taught.
        """
        first, second = (self.draw(rng).text.split(" ") for _ in range(2))
        words = first[: rng.randrange(len(first) + 1)] + second[rng.randrange(len(second)) :]
        words = [rng.choice(second if rng.random() < 0.5 else first) if rng.random() < 0.06 else w for w in words]
        return TrainingText(" ".join(words), EMPTY_ROW, labelled=False)

    def _noise(self, text: str, rng: random.Random) -> str:
        # Most texts stay as written: a noisy text has its noise in several places, as real ones have.
        if rng.random() < 0.3:
            text = mask_words(text, self._config.word_mask * 5, rng)
        if rng.random() < 0.3:
            text = misspell(text, self._config.typo * 5, rng)
        return text

    def _report(self, rng: random.Random) -> TrainingText:
        example = rng.choice(self._reports)
        return TrainingText(self._noise(example.text, rng), example.row, example.targets, example.weights)

    def _report_plus(self, rng: random.Random) -> TrainingText:
        example = rng.choice(self._reports)
        findings, impression = example.findings, example.impression
        rows = [example.row]
        if not self._bank and self._phrases is None:
            return self._report(rng)
        for _ in range(rng.choice((1, 1, 2, 3))):
            text, row = self._sentence(rng, 0.5)
            rows.append(row)
            into_findings = rng.random() < 0.7
            section = findings if into_findings else impression
            section = f"{text} {section}" if rng.random() < 0.5 else f"{section} {text}"
            if into_findings:
                findings = section.strip()
            else:
                impression = section.strip()
        # Where nobody knows the label of the report, nobody knows that of the whole.
        weights = {observation: 0.0 for observation, weight in example.weights.items() if weight == 0}
        return TrainingText(self._noise(model_text(findings, impression), rng), merge_rows(rows), weights=weights)

    def _composed(self, rng: random.Random, *, templates: bool) -> TrainingText:
        count = rng.choice((1, 1, 1, 2, 3, 4, 5, 6, 8))
        parts = [self._sentence(rng, 0.8 if templates else 0.0) for _ in range(count)]
        rng.shuffle(parts)
        rows = [row for _, row in parts]
        texts = [text for text, _ in parts]
        cut = rng.randrange(len(texts) + 1) if rng.random() < 0.6 else rng.choice((0, len(texts)))
        findings, impression = " ".join(texts[:cut]), self._listed(texts[cut:], rng)
        return TrainingText(self._noise(model_text(findings, impression), rng), merge_rows(rows))

    def _listed(self, texts: list[str], rng: random.Random) -> str:
        if texts and rng.random() < self._config.numbered:
            return " ".join(f"{number}. {text}" for number, text in enumerate(texts, start=1))
        return " ".join(texts)

    def _sentence(self, rng: random.Random, template_share: float) -> tuple[str, Row]:
        if self._phrases is not None and (not self._bank or rng.random() < template_share):
            return self._phrases.draw(rng)
        example = rng.choice(self._bank)
        return example.text, example.row
