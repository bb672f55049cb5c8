"""The embedded model's shape: a LLaVA of a few million parameters with a word-level tokenizer, made from
nothing.

    model, processor = build(TinyConfig(), words)  # random weights, plain Transformers classes
    model.save_pretrained(folder); processor.save_pretrained(folder)

A CLIP vision tower on 96 x 96 pictures, the two-layer projector, and a small Llama with tied embeddings,
exactly as LLaVA-1.5 puts them together, so the checkpoint opens with AutoProcessor and
AutoModelForImageTextToText and takes the same code path as a 7B one. The vocabulary is handed in: this room
does not know the drawn world. Not covered: training (sugar/training), the embedding head (adapters.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sugar.model.assembled import SPECIALS, Pictures, assemble, llama_config, with_specials

WORD_SCALE = 0.5
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}USER: {% elif message['role'] == 'assistant' %}ASSISTANT: {% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }} "
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}</s>{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


@dataclass(frozen=True)
class TinyConfig:
    """Sizes of the embedded model. `head_size` is the dimension of the embeddings."""

    image_size: int = 96
    patch_size: int = 32
    vision_size: int = 192
    vision_layers: int = 4
    vision_mlp: int = 768
    hidden_size: int = 160
    layers: int = 4
    mlp: int = 432
    vision_heads: int = 6
    heads: int = 5
    max_positions: int = 2048
    head_hidden: int = 320
    head_size: int = 192


def build_tokenizer(words: Sequence[str]) -> Any:
    """A lower-casing word-level tokenizer: words and punctuation marks are tokens, anything else is <unk>."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    vocabulary = {token: i for i, token in enumerate((*SPECIALS, *sorted(set(words))))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"[^\w\s]"), behavior="isolated")]
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace(Regex(r"^(?=[^,.?!])"), " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return with_specials(backend)


def build(config: TinyConfig, words: Sequence[str]) -> tuple[Any, Any]:
    """(LlavaForConditionalGeneration with random weights, LlavaProcessor).

    Seed torch beforehand for the same weights again.
    """
    import torch
    from transformers import CLIPVisionConfig

    tokenizer = build_tokenizer(words)
    vision = CLIPVisionConfig(
        hidden_size=config.vision_size,
        intermediate_size=config.vision_mlp,
        num_hidden_layers=config.vision_layers,
        num_attention_heads=config.vision_heads,
        image_size=config.image_size,
        patch_size=config.patch_size,
        hidden_act="relu",
        projection_dim=config.vision_size,
    )
    text = llama_config(
        len(tokenizer), config.hidden_size, config.mlp, config.layers, config.heads, config.max_positions
    )
    pictures = Pictures(config.image_size, config.patch_size, mean=0.5, deviation=0.5, resample=1)
    model, processor = assemble(vision, text, tokenizer, pictures, CHAT_TEMPLATE, class_token=False)
    # Words must be heard over what the first attention layer adds to them, of a norm of about 10. With
    # Transformers' 0.02 a word's norm is 0.25, and questions that name an object by its kind were not learnt
    # in hours. The last norm undoes the scale for the tied LM head.
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=WORD_SCALE)
    torch.nn.init.constant_(
        model.model.language_model.norm.weight, 1 / (WORD_SCALE * config.hidden_size**0.5)
    )
    return model, processor
