from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tokenizers import Tokenizer

from radstream_distill import export, half, tokenizer
from radstream_distill.batches import pad
from radstream_distill.config import EncoderConfig, TokenizerConfig
from radstream_distill.corpus import Example
from radstream_distill.evidence import evidence_accuracy
from radstream_distill.exported import load_exported
from radstream_distill.model import Encoder, Student, distance_buckets, relative_shift
from radstream_distill.runtime import Session
from radstream_distill.schema import EMPTY_ROW, row_from_labels
from radstream_distill.train import predict

MAX_TOKENS = 128


@pytest.fixture(scope="module")
def folder(student: Student, words: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    export.export(student, path / "model.onnx", MAX_TOKENS)
    words.save(str(path / "tokenizer.json"))
    return path


def test_relative_shift_reads_the_column_of_the_distance() -> None:
    size = 5
    scores = torch.arange(size * (2 * size - 1), dtype=torch.float32).view(size, -1)
    shifted = relative_shift(scores)
    for i in range(size):
        for j in range(size):
            assert shifted[i, j] == scores[i, j - i + size - 1]


def test_distance_buckets_are_exact_near_and_odd_symmetric() -> None:
    buckets = distance_buckets(200, 16, 512)
    centre = 199
    assert [int(buckets[centre + d]) - 16 for d in range(9)] == list(range(9))
    for distance in range(1, 200):
        left, right = int(buckets[centre - distance]) - 16, int(buckets[centre + distance]) - 16
        assert right >= 0 and (left == -right)
    assert int(buckets.max()) <= 31 and int(buckets.min()) >= 0


def test_padding_changes_nothing(student: Student) -> None:
    ids = torch.randint(5, 300, (1, 11))
    short = student(ids, torch.ones_like(ids))
    padded, mask = pad([ids[0].tolist()], 0, multiple=32)
    long = student(padded, mask)
    assert torch.allclose(short[0], long[0], atol=1e-5)
    assert torch.allclose(short[1], long[1][..., :11], atol=1e-6)
    assert long[1][..., 11:].abs().max() == 0


def test_export_agrees_with_pytorch_on_500_mixed_texts(
    folder: Path, student: Student, words: Tokenizer, reports: list[Example], bank: list[Example]
) -> None:
    rng = random.Random(0)
    texts = [rng.choice(bank).text if rng.random() < 0.5 else rng.choice(reports).text for _ in range(500)]
    ours = predict(student, words, texts, MAX_TOKENS).numpy()
    theirs = Session.open(folder, MAX_TOKENS).logits(texts)
    assert np.abs(ours - theirs).max() < 1e-4
    assert np.ptp(ours) > 0.5


@pytest.mark.parametrize("length", [8, 40, MAX_TOKENS])
def test_evidence_agrees_and_sums_to_one_over_real_tokens(folder: Path, student: Student, length: int) -> None:
    session = Session.open(folder, MAX_TOKENS)
    rows = [torch.randint(5, 300, (count,)).tolist() for count in (length, max(2, length // 3))]
    _, evidence = session.run_ids(rows)
    ids, mask = pad(rows, 0)
    with torch.no_grad():
        expected = student(ids, mask)[1].numpy()
    assert np.abs(evidence - expected).max() < 1e-5
    assert np.allclose(evidence.sum(-1), 1, atol=1e-5)
    assert evidence[1, :, len(rows[1]) :].max() == 0


def test_graph_is_fused_and_free_of_gathers(folder: Path, student: Student) -> None:
    counts = export.operators(folder / "model.onnx")
    layers = student.config.layers
    assert counts["MultiHeadAttention"] == layers
    assert counts["SkipLayerNormalization"] == 2 * layers
    assert counts["BiasGelu"] == layers
    assert counts["LayerNormalization"] == 1
    assert counts["Gather"] == 1  # the word embedding
    for absent in ("GatherElements", "Expand", "Where", "Log", "Sign", "Ceil", "Erf", "Div", "Sqrt", "Pow"):
        assert counts[absent] == 0, absent
    assert counts["Cast"] == 1  # the mask


def test_base_preset_computes_what_transformers_computes(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from safetensors.torch import save_file

    from radstream_distill.checkpoint import load_deberta

    torch.manual_seed(0)
    published = transformers.DebertaV2Config(
        vocab_size=300,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        position_buckets=8,
        max_relative_positions=-1,
        max_position_embeddings=64,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        position_biased_input=False,
        type_vocab_size=0,
        layer_norm_eps=1e-7,
    )
    theirs = transformers.DebertaV2Model(published).eval()
    published.save_pretrained(tmp_path)
    state = {f"deberta.{name}": value.clone() * 3 for name, value in theirs.state_dict().items()}
    theirs.load_state_dict({name.removeprefix("deberta."): value for name, value in state.items()})
    save_file(state, tmp_path / "model.safetensors")

    config, weights = load_deberta(tmp_path, EncoderConfig())
    ours = Encoder(config).eval()
    ours.load_state_dict(weights)
    ids = torch.randint(5, 300, (3, 40))
    mask = torch.ones_like(ids)
    mask[0, 25:] = 0
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
        got = ours(ids, mask)
    real = mask.bool()
    assert (got[real] - expected[real]).abs().max() < 1e-4


def test_a_checkpoint_of_another_kind_is_refused() -> None:
    from radstream_distill.checkpoint import encoder_config

    with pytest.raises(ValueError, match="share_att_key"):
        encoder_config({"share_att_key": False}, EncoderConfig())


def test_tokenizer_file_is_the_tokenizer(folder: Path, words: Tokenizer, reports: list[Example]) -> None:
    loaded = tokenizer.load(folder / "tokenizer.json")
    texts = [report.text for report in reports]
    assert tokenizer.encode(loaded, texts, 128) == tokenizer.encode(words, texts, 128)
    assert loaded.truncation is None and loaded.padding is None


def test_case_and_line_wrapping_are_invisible(words: Tokenizer) -> None:
    plain, loud, wrapped = tokenizer.encode(
        words, ["No focal consolidation.", "NO FOCAL CONSOLIDATION.", "No focal\n   consolidation."], 64
    )
    assert plain == loud == wrapped


def test_a_long_text_is_cut_and_closed(words: Tokenizer) -> None:
    row = tokenizer.encode(words, ["effusion " * 100], 32)[0]
    assert len(row) == 32 and row[-1] == tokenizer.special_id(words, tokenizer.SEP)


def test_merges_join_the_most_frequent_neighbours_first() -> None:
    pieces, merges = tokenizer.learn_merges({"abab": 3, "abc": 2, "zz": 1}, 10_000, 2)
    assert merges[0] == ("a", "##b")
    assert {"abab", "abc"} <= set(pieces) and "zz" not in pieces


def test_training_a_vocabulary_twice_gives_one_file(reports: list[Example]) -> None:
    texts = [report.text for report in reports[:200]]
    first, second = (tokenizer.train(texts, TokenizerConfig(vocab_size=500)).to_str() for _ in range(2))
    assert first == second


def test_frequent_words_are_one_token_and_any_text_is_readable(words: Tokenizer) -> None:
    assert words.encode("pneumothorax").tokens == ["[CLS]", "pneumothorax", "[SEP]"]
    odd = words.encode("Qué? 3x5 cm; ~zebra_#[CLS]")
    assert odd.tokens[1] == "que" or odd.tokens[1].startswith("q")


def test_evidence_accuracy_counts_only_the_right_sentence(bank: list[Example]) -> None:
    class Pointer:
        """Stands in for a session: knows every label, points at the first token of a chosen sentence."""

        max_tokens = 512

        def __init__(self, words: Tokenizer, honest: bool) -> None:
            self.tokenizer, self.honest = words, honest

        def run_ids(self, rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
            logits, evidence = np.zeros((1, 13, 4)), np.zeros((1, 13, len(rows[0])))
            logits[0, :, 0] = 1
            for word, observation in (("pneumothorax", 8), ("effusion", 9)):
                logits[0, observation, 2] = 2
                place = rows[0].index(tokenizer.special_id(self.tokenizer, word))
                evidence[0, observation, place if self.honest else 1] = 1
            return logits, evidence

    texts = {"No pneumothorax.": {"pneumothorax": "negative"}, "No effusion.": {"pleural_effusion": "negative"}}
    sentences = [
        Example(str(i), text, "", row_from_labels(labels), is_sentence=True)
        for i, (text, labels) in enumerate(texts.items())
    ] + [Example("x", "Spine is curved.", "", EMPTY_ROW, is_sentence=True)]
    words = tokenizer.train([*texts, "Spine is curved."] * 3, TokenizerConfig(vocab_size=400))
    honest = evidence_accuracy(Pointer(words, True), sentences, joins=20, seed=0)  # type: ignore[arg-type]
    wrong = evidence_accuracy(Pointer(words, False), sentences, joins=20, seed=0)  # type: ignore[arg-type]
    assert honest == {"cells": 40.0, "right": 1.0}
    assert wrong["right"] < 0.6


def test_a_half_precision_copy_says_the_same(student: Student, words: Tokenizer, tmp_path: Path) -> None:
    export.export(student, tmp_path / "model.onnx", 64)
    (tmp_path / "half").mkdir()
    original = onnx.load(str(tmp_path / "model.onnx"))
    halved = half.to_half(original)
    onnx.save(halved, str(tmp_path / "half" / "model.onnx"))
    for folder in (tmp_path, tmp_path / "half"):
        words.save(str(folder / "tokenizer.json"))
    texts = ["No pleural effusion.", "Possible left lower lobe pneumonia, small effusion not excluded."]
    full, low = (Session.open(folder, 64).logits(texts) for folder in (tmp_path, tmp_path / "half"))
    assert 0 < np.abs(full - low).max() < 0.05
    weights = {t.name: t.data_type for t in halved.graph.initializer}
    assert weights["words"] == onnx.TensorProto.FLOAT16 and weights["int_1"] == onnx.TensorProto.INT64
    assert [o.type.tensor_type.elem_type for o in halved.graph.output] == [onnx.TensorProto.FLOAT] * 2


def test_weights_beyond_half_precision_are_refused(student: Student, tmp_path: Path) -> None:
    export.export(student, tmp_path / "model.onnx", 64)
    model = onnx.load(str(tmp_path / "model.onnx"))
    huge = next(t for t in model.graph.initializer if t.name == "words")
    huge.CopyFrom(onnx.numpy_helper.from_array(np.full((4, 4), 1e6, dtype=np.float32), "words"))
    with pytest.raises(ValueError, match="words does not fit"):
        half.to_half(model)


def described(folder: Path, student: Student, max_tokens: int) -> None:
    """The part of a manifest that says how the student was shaped."""
    encoder = dataclasses.asdict(student.config) | {"start_from": False}
    manifest = {"max_tokens": max_tokens, "training": {"encoder": encoder}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_an_exported_student_is_read_back(student: Student, tmp_path: Path) -> None:
    export.export(student, tmp_path / "model.onnx", 128)
    described(tmp_path, student, 128)
    config, weights = load_exported(tmp_path)
    assert config == dataclasses.replace(student.config, start_from="")
    again = Student(config)
    again.load_state_dict(weights)
    ids = torch.randint(5, config.vocab_size, (4, 97), generator=torch.Generator().manual_seed(2))
    mask = (torch.arange(97) < torch.tensor([97, 50, 3, 80])[:, None]).long()
    with torch.no_grad():
        ours, theirs = again.eval()(ids, mask)[0], student(ids, mask)[0]
    assert float((ours - theirs).abs().max()) < 1e-3
    # Position vectors of its own, not those of a student by chance.
    with torch.no_grad():
        again.encoder.positions.weight.normal_()
        assert float((again(ids, mask)[0] - theirs).abs().max()) > 1e-2


def test_a_network_that_is_no_fp32_export_is_refused(student: Student, tmp_path: Path) -> None:
    export.export(student, tmp_path / "model.onnx", 128)
    described(tmp_path, student, 128)
    model = onnx.load(str(tmp_path / "model.onnx"))
    [words] = [one for one in model.graph.initializer if one.name == "words"]
    words.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(words).astype(np.float16), "words"))
    onnx.save(model, str(tmp_path / "model.onnx"))
    with pytest.raises(ValueError, match="not fp32"):
        load_exported(tmp_path)
    words.name = "others"
    onnx.save(model, str(tmp_path / "model.onnx"))
    with pytest.raises(ValueError, match="no export of this package"):
        load_exported(tmp_path)
