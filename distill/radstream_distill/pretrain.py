"""Masked-language pre-training of the encoder on the text of the training part."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from radstream_distill import tokenizer as tokens
from radstream_distill.batches import pools
from radstream_distill.config import EncoderConfig, RunConfig
from radstream_distill.model import Encoder, MaskedLanguageHead
from radstream_distill.train import device_of, learning_rate, parameter_groups, say, seed_everything

_KEPT, _RANDOM = 0.1, 0.1


def mask_tokens(
    ids: Tensor,
    mask: Tensor,
    *,
    share: float,
    mask_id: int,
    specials: int,
    vocabulary: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Chooses tokens to predict: 80 % become [MASK], 10 % another token, 10 % stay. Special tokens are never chosen."""
    candidates = (mask == 1) & (ids >= specials)
    chosen = candidates & (torch.rand(ids.shape, generator=generator) < share)
    fate = torch.rand(ids.shape, generator=generator)
    other = torch.randint(specials, vocabulary, ids.shape, generator=generator)
    corrupted = torch.where(chosen & (fate >= _KEPT + _RANDOM), torch.full_like(ids, mask_id), ids)
    corrupted = torch.where(chosen & (fate < _RANDOM), other, corrupted)
    return corrupted, chosen


def pretrain(
    config: RunConfig,
    encoder_config: EncoderConfig,
    tokenizer: Tokenizer,
    draw: Callable[[random.Random], str],
    seed: int,
    progress: Callable[[str], None] = say,
) -> dict[str, Tensor]:
    """Encoder weights after `pretrain.steps` steps."""
    settings = config.pretrain
    seed_everything(seed)
    device = device_of(config.train.device)
    encoder = Encoder(encoder_config).to(device).train()
    head = MaskedLanguageHead(encoder_config).to(device).train()
    both = nn.ModuleList([encoder, head])
    optimizer = torch.optim.AdamW(
        parameter_groups(both, config.train.weight_decay), lr=settings.learning_rate, betas=(0.9, 0.98)
    )
    generator = torch.Generator().manual_seed(seed)
    mask_id = tokens.special_id(tokenizer, tokens.MASK)

    def encode(texts: Sequence[str], _: int) -> list[list[int]]:
        return tokens.encode(tokenizer, texts, config.max_tokens)

    stream = pools(
        draw,
        encode,
        budget=settings.tokens_per_batch,
        pad_id=tokens.special_id(tokenizer, tokens.PAD),
        seed=seed,
    )
    step, began, losses = 0, time.monotonic(), [0.0]
    while step < settings.steps:
        _, batches = next(stream)
        for batch, _ in batches:
            if step >= settings.steps:
                break
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, settings.steps, settings.learning_rate, 0.06)
            corrupted, chosen = mask_tokens(
                batch.input_ids,
                batch.attention_mask,
                share=settings.mask,
                mask_id=mask_id,
                specials=len(tokens.SPECIAL),
                vocabulary=encoder_config.vocab_size,
                generator=generator,
            )
            hidden = encoder(corrupted.to(device), batch.attention_mask.to(device))
            logits = head(hidden[chosen.to(device)], encoder.words.weight)
            loss = F.cross_entropy(logits, batch.input_ids[chosen].to(device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(both.parameters(), config.train.clip)
            optimizer.step()
            step += 1
            losses.append(float(loss.detach()))
            if step % 200 == 0:
                recent = sum(losses[-200:]) / len(losses[-200:])
                progress(f"pre-training step {step}/{settings.steps} {time.monotonic() - began:.0f}s loss {recent:.3f}")
    return {name: value.detach().cpu().clone() for name, value in encoder.state_dict().items()}
