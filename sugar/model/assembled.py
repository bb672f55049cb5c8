"""A small LLaVA put together from its parts: what the embedded models share beside their sizes.

    tokenizer = with_specials(backend)                            # a `tokenizers` backend -> a fast tokenizer
    text = llama_config(len(tokenizer), width=256, mlp=768, layers=4, heads=4)
    model, processor = assemble(vision_config, text, tokenizer, pictures, template, class_token=False)

    assemble_pretrained(tower, Path("smollm2"), Path("runs/base"))  # a tower before a language model

Not covered: the sizes themselves (tiny.py, photo.py), training (sugar/training).
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

IMAGE_TOKEN = "<image>"
SPECIALS = ("<pad>", "<s>", "</s>", "<unk>", IMAGE_TOKEN, "USER:", "ASSISTANT:")
"""The first tokens of the vocabulary, in the order of their ids."""


@dataclass(frozen=True)
class Pictures:
    """How a picture becomes pixels: side and patch in pixels, normalisation, PIL's number of the filter."""

    side: int
    patch: int
    mean: float
    deviation: float
    resample: int


def with_specials(backend: Any) -> Any:
    """A backend whose vocabulary begins with `SPECIALS`, as a left-padding Transformers tokenizer."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=[IMAGE_TOKEN, "USER:", "ASSISTANT:"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def llama_config(
    vocabulary: int, width: int, mlp: int, layers: int, heads: int, positions: int = 2048
) -> Any:
    """A small Llama with tied embeddings over a vocabulary that begins with `SPECIALS`."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=mlp,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
        pad_token_id=SPECIALS.index("<pad>"),
        bos_token_id=SPECIALS.index("<s>"),
        eos_token_id=SPECIALS.index("</s>"),
    )


def assemble(
    vision: Any, text: Any, tokenizer: Any, pictures: Pictures, template: str, *, class_token: bool
) -> tuple[Any, Any]:
    """(LlavaForConditionalGeneration with random weights, LlavaProcessor).

    Args:
        vision, text: Transformers configurations of the tower and of the decoder.
        class_token: the decoder also reads the tower's first token, which stands for the whole picture.
    """
    from transformers import (
        CLIPImageProcessorPil,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    select: Literal["default", "full"] = "full" if class_token else "default"
    config = LlavaConfig(  # type: ignore[call-arg]
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        projector_hidden_act="gelu",
        vision_feature_layer=-1,
        vision_feature_select_strategy=select,
        tie_word_embeddings=True,
        image_seq_length=class_token + (pictures.side // pictures.patch) ** 2,
    )
    model: Any = LlavaForConditionalGeneration(config)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    side = {"height": pictures.side, "width": pictures.side}
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size=side,
            crop_size=side,
            do_center_crop=False,
            image_mean=[pictures.mean] * 3,
            image_std=[pictures.deviation] * 3,
            do_convert_rgb=True,
            resample=pictures.resample,
        ),
        tokenizer=tokenizer,
        patch_size=pictures.patch,
        vision_feature_select_strategy=select,
        num_additional_image_tokens=1,
        chat_template=template,
        image_token=IMAGE_TOKEN,
    )
    return model, processor


MEAN, DEVIATION = 127 / 255, 128 / 255
"""EfficientNet-Lite's pixels: (value - 127) / 128."""

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""SmolLM2's own template with pictures, without the system text that it puts before a first question."""

SPARE = "<empty_output>"
"""A token of SmolLM2 for outputs of notebooks, which no chat holds: it becomes the place of a picture, so
that the vocabulary stays as it is."""


def assemble_pretrained(tower: Any, language: Path, out: Path, *, seed: int = 0) -> None:
    """Write a LLaVA of a frozen tower, a fresh projector and a pretrained language model that speaks ChatML.

    Args:
        tower: an `EfficientNetLite` whose readings are standardised. language: a folder of Transformers.
        out: the new checkpoint's folder.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

    from sugar.model.efficientnet import register

    register()
    torch.manual_seed(seed)
    written = AutoTokenizer.from_pretrained(language, local_files_only=True)
    with tempfile.TemporaryDirectory() as beside:
        written.save_pretrained(beside)
        plain = (Path(beside) / "tokenizer.json").read_text("utf-8")
    assert json.dumps(SPARE) in plain, "the tokenizer has no token to spare"
    (Path(out)).mkdir(parents=True, exist_ok=True)
    (out / "tokenizer.json").write_text(plain.replace(json.dumps(SPARE), json.dumps(IMAGE_TOKEN)), "utf-8")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(out / "tokenizer.json"),
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        additional_special_tokens=[IMAGE_TOKEN],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    decoder = AutoModelForCausalLM.from_pretrained(language, local_files_only=True, dtype=torch.float32)
    decoder.config.pad_token_id = tokenizer.pad_token_id
    side, grid = tower.config.image_size, tower.config.grid
    pictures = Pictures(side, side // grid, MEAN, DEVIATION, resample=2)
    model, processor = assemble(tower.config, decoder.config, tokenizer, pictures, CHATML, class_token=True)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    model.model.language_model.load_state_dict(decoder.model.state_dict())
    model.tie_weights()
    first, second = model.model.multi_modal_projector.linear_1, model.model.multi_modal_projector.linear_2
    words: Any = decoder.model.embed_tokens.weight.detach()
    scale = float(words.float().std())  # a picture's tokens begin at the scale of words
    for layer, deviation in (
        (first, first.in_features**-0.5),
        (second, scale * 2 * second.in_features**-0.5),
    ):
        torch.nn.init.normal_(layer.weight, std=deviation)
        torch.nn.init.zeros_(layer.bias)
    model.bfloat16().save_pretrained(out)
    processor.save_pretrained(out)
