"""Template sentences: a small grammar whose every sentence carries its exact labels.

A file holds slots, nouns and templates, one a line; `#` begins a comment:

    @side = left | right | bilateral                 a slot: {side} draws one alternative
    %focal consolidation = CO                        a noun: the observations that naming it mentions
    %pneumothorax = PX @neg @hedge                    ... and the noun classes it belongs to
    CM=N :: (Heart|Cardiac silhouette) [size] is {normal}.

In a template `(a|b)` draws one, `[a]` is there half of the time, `{name}` draws from a slot and `{name=N}` draws a noun
of class `name` and gives its observations the status N (P, N or U). Nouns of one sentence never share an observation.
A line may begin with a weight: `3 * CM=N :: ...`. A first part of `-` means that nothing is mentioned.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path

from radstream_distill.schema import (
    EMPTY_ROW,
    NEGATIVE,
    OBSERVATIONS,
    POSITIVE,
    UNCERTAIN,
    Row,
    merge_rows,
)

CODES = dict(
    zip(("EC", "CM", "LO", "LL", "ED", "CO", "PN", "AT", "PX", "PE", "PO", "FR", "SD"), range(13), strict=True)
)
_STATUS = {"P": POSITIVE, "N": NEGATIVE, "U": UNCERTAIN}
_LABELS = re.compile(r"^[A-Z]{2}=[PNU](?: [A-Z]{2}=[PNU])*$")


@dataclass(frozen=True)
class _Noun:
    text: str
    observations: tuple[int, ...]


@dataclass(frozen=True)
class _Template:
    pattern: str
    row: Row
    weight: float


class Phrases:
    """The grammar of one or several template files."""

    def __init__(self, source: str) -> None:
        self._slots: dict[str, list[str]] = {}
        self._nouns: dict[str, list[_Noun]] = {}
        self._templates: list[_Template] = []
        for number, raw in enumerate(source.splitlines(), start=1):
            line = raw.split("#", 1)[0].strip()
            if not line:
                continue
            try:
                self._read(line)
            except ValueError as error:
                raise ValueError(f"template line {number}: {error}") from error
        self._weights = [template.weight for template in self._templates]
        for template in self._templates:
            self._check(template.pattern)
        for alternatives in self._slots.values():
            for alternative in alternatives:
                self._check(alternative)

    @classmethod
    def load(cls, paths: list[Path]) -> Phrases:
        """Reads template files as one grammar."""
        return cls("\n".join(path.read_text(encoding="utf-8") for path in paths))

    @property
    def size(self) -> int:
        """Number of templates."""
        return len(self._templates)

    def draw(self, rng: random.Random) -> tuple[str, Row]:
        """One sentence and its labels."""
        template = rng.choices(self._templates, self._weights)[0]
        return self._realise(template, rng)

    def each(self, rng: random.Random) -> list[tuple[str, Row]]:
        """One sentence of every template, for tests."""
        return [self._realise(template, rng) for template in self._templates]

    def _realise(self, template: _Template, rng: random.Random) -> tuple[str, Row]:
        rows = [template.row]
        used = {index for index, status in enumerate(template.row) if status}
        text = self._expand(template.pattern, rng, rows, used)
        text = re.sub(r"\s+", " ", text).strip()
        text = re.sub(r" ([,.;:?])", r"\1", text)
        text = re.sub(r",(?=[,.;])", "", text)
        return text[:1].upper() + text[1:], merge_rows(rows)

    def _read(self, line: str) -> None:
        if line.startswith("@"):
            name, _, alternatives = line[1:].partition("=")
            self._slots.setdefault(name.strip(), []).extend(_split(alternatives))
        elif line.startswith("%"):
            text, _, rest = line[1:].rpartition("=")
            words = rest.split()
            observations = tuple(CODES[word] for word in words if not word.startswith("@") and _known(word))
            for word in words:
                if word.startswith("@"):
                    for alternative in _split(text):
                        self._nouns.setdefault(word[1:], []).append(_Noun(alternative, observations))
        else:
            head, separator, pattern = line.partition("::")
            if not separator:
                raise ValueError("expected `labels :: pattern`")
            weight, star, labels = head.rpartition("*")
            self._templates.append(_Template(pattern.strip(), _row(labels.strip()), float(weight) if star else 1.0))

    def _check(self, pattern: str) -> None:
        for name, _, status in re.findall(r"\{(\w+)(=(\w))?\}", pattern):
            if status and (name not in self._nouns or status not in _STATUS):
                raise ValueError(f"unknown noun class or status {{{name}={status}}}")
            if not status and name not in self._slots:
                raise ValueError(f"unknown slot {{{name}}}")

    def _expand(self, pattern: str, rng: random.Random, rows: list[Row], used: set[int]) -> str:
        out: list[str] = []
        position = 0
        while position < len(pattern):
            char = pattern[position]
            if char in "([{":
                end = _closing(pattern, position)
                inner = pattern[position + 1 : end]
                if char == "(":
                    out.append(self._expand(rng.choice(_split(inner, strip=False)), rng, rows, used))
                elif char == "[":
                    if rng.random() < 0.5:
                        out.append(self._expand(rng.choice(_split(inner, strip=False)), rng, rows, used))
                else:
                    out.append(self._slot(inner, rng, rows, used))
                position = end + 1
            else:
                out.append(char)
                position += 1
        return "".join(out)

    def _slot(self, inner: str, rng: random.Random, rows: list[Row], used: set[int]) -> str:
        name, separator, status = inner.partition("=")
        if not separator:
            return self._expand(rng.choice(self._slots[name]), rng, rows, used)
        free = [noun for noun in self._nouns[name] if not used.intersection(noun.observations)]
        noun = rng.choice(free or self._nouns[name])
        used.update(noun.observations)
        row = list(EMPTY_ROW)
        for index in noun.observations:
            row[index] = _STATUS[status]
        rows.append(tuple(row))
        return self._expand(noun.text, rng, rows, used)


def _row(labels: str) -> Row:
    if labels == "-":
        return EMPTY_ROW
    if not _LABELS.match(labels):
        raise ValueError(f"cannot read labels `{labels}`")
    row = list(EMPTY_ROW)
    for label in labels.split():
        code, status = label.split("=")
        _known(code)
        row[CODES[code]] = _STATUS[status]
    assert len(row) == len(OBSERVATIONS)
    return tuple(row)


def _known(code: str) -> bool:
    if code not in CODES:
        raise ValueError(f"unknown observation code `{code}`")
    return True


def _split(text: str, *, strip: bool = True) -> list[str]:
    """Splits at `|` outside of brackets."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(text):
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "|" and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return [part.strip() for part in parts] if strip else parts


def _closing(pattern: str, position: int) -> int:
    depth = 0
    for index in range(position, len(pattern)):
        if pattern[index] in "([{":
            depth += 1
        elif pattern[index] in ")]}":
            depth -= 1
            if depth == 0:
                return index
    raise ValueError(f"bracket never closed in `{pattern}`")
