"""A small LLaVA put together from its parts: what the embedded models share beside their sizes.

    tokenizer = with_specials(backend)                            # a `tokenizers` backend -> a fast tokenizer
    text = llama_config(len(tokenizer), width=256, mlp=768, layers=4, heads=4)
    model, processor = assemble(vision_config, text, tokenizer, pictures, template, class_token=False)

Not covered: the sizes themselves (tiny.py, photo.py), training (sugar/training).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["IMAGE_TOKEN", "SPECIALS", "Pictures", "assemble", "llama_config", "with_specials"]

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
