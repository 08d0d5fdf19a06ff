"""The domain tokenizer: lower-cased BPE over words, punctuation marks and single digits.

Only parts that need no regular expression are used, so every build of the `tokenizers` library reads the file alike.
The merges are learnt here rather than by the library's trainer, whose answer differs from run to run.
"""

from __future__ import annotations

import heapq
import string
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from radstream_distill.config import TokenizerConfig

PAD, UNKNOWN, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, UNKNOWN, CLS, SEP, MASK)
CONTINUES = "##"
"""Mark of a piece that does not begin a word."""

_ALPHABET = string.ascii_lowercase + string.digits + string.punctuation
Pair = tuple[str, str]


def train(texts: Iterable[str], config: TokenizerConfig) -> Tokenizer:
    """Trains a vocabulary on the given text. Same text, same vocabulary."""
    normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()])
    words = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(individual_digits=True)])
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in words.pre_tokenize_str(normalizer.normalize_str(text)))
    pieces, merges = learn_merges(counts, config.vocab_size - len(SPECIAL), config.min_frequency)
    vocabulary = {piece: index for index, piece in enumerate((*SPECIAL, *pieces))}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token=UNKNOWN, continuing_subword_prefix=CONTINUES)
    )
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = words
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUES)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}",
        pair=f"{CLS} $A {SEP} $B {SEP}",
        special_tokens=[(CLS, vocabulary[CLS]), (SEP, vocabulary[SEP])],
    )
    return tokenizer


def learn_merges(counts: Mapping[str, int], size: int, min_frequency: int) -> tuple[list[str], list[Pair]]:
    """Byte-pair merges of the most frequent neighbours, ties by the alphabet: the pieces, and the merges in order."""
    letters = sorted(set(_ALPHABET).union(*counts)) if counts else sorted(_ALPHABET)
    pieces = [mark + letter for mark in ("", CONTINUES) for letter in letters]
    words = [[word[0], *(CONTINUES + letter for letter in word[1:])] for word in sorted(counts)]
    weights = [counts[word] for word in sorted(counts)]
    totals: Counter[Pair] = Counter()
    places: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, word in enumerate(words):
        for pair in pairwise(word):
            totals[pair] += weights[index]
            places[pair].add(index)
    queue = [(-total, pair) for pair, total in totals.items()]
    heapq.heapify(queue)
    known = set(pieces)
    merges: list[Pair] = []
    while queue and len(pieces) < size:
        negative, pair = heapq.heappop(queue)
        if totals[pair] != -negative:
            continue  # An old entry: the pair was counted anew since.
        if -negative < min_frequency:
            break
        merged = pair[0] + pair[1].removeprefix(CONTINUES)
        merges.append(pair)
        if merged not in known:
            known.add(merged)
            pieces.append(merged)
        touched: set[Pair] = set()
        for index in sorted(places.pop(pair)):
            old = words[index]
            new = _merge(old, pair, merged)
            for neighbours in pairwise(old):
                totals[neighbours] -= weights[index]
                touched.add(neighbours)
            for neighbours in pairwise(new):
                totals[neighbours] += weights[index]
                places[neighbours].add(index)
                touched.add(neighbours)
            words[index] = new
        for neighbours in touched:
            if totals[neighbours] > 0:
                heapq.heappush(queue, (-totals[neighbours], neighbours))
    return pieces, merges


def _merge(word: Sequence[str], pair: Pair, merged: str) -> list[str]:
    out: list[str] = []
    index = 0
    while index < len(word):
        if index + 1 < len(word) and (word[index], word[index + 1]) == pair:
            out.append(merged)
            index += 2
        else:
            out.append(word[index])
            index += 1
    return out


def load(path: Path) -> Tokenizer:
    """Reads `tokenizer.json`."""
    return Tokenizer.from_file(str(path))


def special_id(tokenizer: Tokenizer, token: str) -> int:
    """Id of a token that must exist."""
    identifier = tokenizer.token_to_id(token)
    if identifier is None:
        raise ValueError(f"the tokenizer has no {token} token")
    return int(identifier)


def encode(tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Token ids with [CLS] and [SEP]; a longer text is cut and keeps its last [SEP]."""
    rows = []
    for encoding in tokenizer.encode_batch(list(texts)):
        ids = list(encoding.ids)
        rows.append(ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], ids[-1]])
    return rows
