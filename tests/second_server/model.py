"""Makes a language model of 4 MB whose answers are known beforehand.

Its weights are random, but for the last matrix: that says which token follows which. So it says the
same whatever it is asked: there is a pleural effusion, quoted as "pleural effusion", and nothing is
said of the other twelve. For a report with these two words that is a valid answer; for any other it
breaks the rule about quotes. With a high temperature it says anything that the server lets through.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np

WIDTH, LAYERS, HEADS, HIDDEN, CONTEXT = 128, 2, 4, 256, 32768
# Logits of the next token that is wanted, and of those that will do; the others are about 0.
WANTED, ALLOWED = 20.0, 12.0
ANSWER = "<|answer|>"
END = "</s>"
# Ends with a token of its own: what follows it is the answer.
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}" + ANSWER + "{% endif %}"
)

# Tokens of no text, then those of the 256 bytes.
SPECIAL = ["<unk>", "<s>", END, ANSWER]
BYTES_FROM = len(SPECIAL)

Transitions = list[tuple[str, str, float]]


def transitions(observations: list[str]) -> Transitions:
    """Which token follows which, and how surely. Keys follow in the order of the schema, but in any
    other if the server insists: then what is wanted is not allowed, and the rest are equal."""

    def cell(name: str, before: str) -> list[str]:
        head = f'{before}"{name}": {{"quote": "'
        if name == "pleural_effusion":
            # The status in two tokens: its probability is the product of theirs.
            return [head, "pleural effusion", '", "status": ', '"posi', 'tive"}']
        return [f'{head}", "status": "not_mentioned"}}']

    first = {name: cell(name, "{") for name in observations}
    later = {name: cell(name, ", ") for name in observations}
    found: dict[tuple[str, str], float] = {}

    def follows(before: str, after: str, logit: float) -> None:
        found[before, after] = max(logit, found.get((before, after), 0.0))

    for name in observations:
        for tokens in [first[name], later[name]]:
            for before, after in pairwise(tokens):
                follows(before, after, WANTED)
        follows(ANSWER, first[name][0], WANTED if name == observations[0] else ALLOWED)
        for before in {first[name][-1], later[name][-1]}:
            for other in observations:
                follows(before, later[other][0], ALLOWED)
    for name, following in pairwise(observations):
        for before in {first[name][-1], later[name][-1]}:
            follows(before, later[following][0], WANTED)
    for tokens in later.values():
        follows(tokens[-1], "}", ALLOWED)
    follows(later[observations[-1]][-1], "}", WANTED)
    follows("}", END, WANTED)
    return [(before, after, logit) for (before, after), logit in found.items()]


def word_tokens(text: str) -> list[str]:
    """Every beginning of every word, with the space before it: pieces are joined from the left."""
    words = {word for word in text.split() if word.isascii()}
    return sorted({" " + word[: n + 1] for word in words for n in range(len(word))})


def make(path: Path, observations: list[str], text: str) -> None:
    """Writes the model; the words of `text` are tokens."""
    chain = transitions(observations)
    said = sorted({token for pair in chain for token in pair[:2]} - set(SPECIAL))
    singles = [chr(code) for code in range(32, 127)]
    plain = [token for token in [*singles, *word_tokens(text)] if token not in said]
    kind = gguf.TokenType
    vocabulary = [(token, kind.CONTROL) for token in SPECIAL]
    vocabulary += [(f"<0x{byte:02X}>", kind.BYTE) for byte in range(256)]
    # SentencePiece writes a space so.
    vocabulary += [
        (token.replace(" ", "\u2581"), kind.NORMAL) for token in said + plain
    ]
    number = {token: at for at, (token, _) in enumerate(vocabulary)}

    def place(token: str) -> int:
        return number[token.replace(" ", "\u2581")]

    random = np.random.default_rng(1)
    embeddings = random.standard_normal((len(vocabulary), WIDTH)).astype(np.float32)
    befores = sorted({before for before, _, _ in chain})
    # At right angles, so that none is taken for another.
    basis, _ = np.linalg.qr(random.standard_normal((WIDTH, len(befores))))
    for before, direction in zip(befores, basis.T, strict=True):
        embeddings[place(before)] = direction * np.sqrt(WIDTH)
    output = 0.1 * random.standard_normal(embeddings.shape).astype(np.float32)
    for before, after, logit in chain:
        output[place(after)] += logit / WIDTH * embeddings[place(before)]

    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("radstream-parrot")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([token for token, _ in vocabulary])
    # Longer pieces are preferred.
    writer.add_token_scores([float(len(token)) for token, _ in vocabulary])
    writer.add_token_types([kind for _, kind in vocabulary])
    writer.add_unk_token_id(SPECIAL.index("<unk>"))
    writer.add_bos_token_id(SPECIAL.index("<s>"))
    writer.add_eos_token_id(SPECIAL.index(END))
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (0.01 * random.standard_normal((rows, columns))).astype(np.float32)

    ones = np.ones(WIDTH, np.float32)
    writer.add_tensor("token_embd.weight", embeddings)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", ones)
    for layer in range(LAYERS):
        for name in ["attn_norm", "ffn_norm"]:
            writer.add_tensor(f"blk.{layer}.{name}.weight", ones)
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"]:
            writer.add_tensor(f"blk.{layer}.{name}.weight", matrix(WIDTH, WIDTH))
        for name in ["ffn_gate", "ffn_up"]:
            writer.add_tensor(f"blk.{layer}.{name}.weight", matrix(HIDDEN, WIDTH))
        writer.add_tensor(f"blk.{layer}.ffn_down.weight", matrix(WIDTH, HIDDEN))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_for(root: Path, path: Path) -> None:
    """For the schema and the prompt of the checkout at `root`."""
    schema = json.loads((root / "schemas/teacher-response.json").read_text())
    make(path, list(schema["properties"]), (root / "src/teacher/prompt.md").read_text())
