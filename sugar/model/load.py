"""From a folder to a model in memory: weights, and a processor that needs no torchvision.

    loaded = load(folder, name="sugar-tiny", device="auto", precision="auto")
    loaded.model, loaded.processor, loaded.device, loaded.precision, loaded.why

Vision tower, projector and LM head stay unquantised. A model that cannot fit is refused before
its weights are read.
Not covered: several devices, offloading of layers.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sugar.errors import ModelError
from sugar.model.devices import DTYPES, choose_precision, pick_device
from sugar.model.families import UNQUANTISED, VIDEO_PROCESSORS
from sugar.model.files import read_json, reason
from sugar.model.folders import count_parameters, read_config
from sugar.model.processor import Processor

__all__ = ["Loaded", "load", "load_processor"]

log = logging.getLogger("sugar")


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model in memory. precision: one of PRECISIONS; why: the choice in words, shown to people."""

    model: Any
    processor: Processor
    family: str
    device: str
    precision: str
    why: str
    stored: str
    stored_dtype: torch.dtype


def load_processor(folder: Path, family: str) -> Any:
    """`AutoProcessor`, or for the families whose own needs torchvision for videos, the same class for
    pictures only.
    """
    import transformers

    if family not in VIDEO_PROCESSORS:
        return transformers.AutoProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    base = getattr(transformers, VIDEO_PROCESSORS[family])
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    pictures = transformers.AutoImageProcessor.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    settings = {}
    if (path := folder / "processor_config.json").is_file():
        settings = read_json(path)
    template = next((p.read_text("utf-8") for p in (folder / "chat_template.jinja",) if p.is_file()), None)
    if template is None and (path := folder / "chat_template.json").is_file():
        template = read_json(path)["chat_template"]
    extra = {"image_seq_length": settings["image_seq_length"]} if "image_seq_length" in settings else {}

    parts = classmethod(
        lambda cls: ["image_processor", "tokenizer"]
    )  # the class names a third part, for videos
    picture_class = type(f"Picture{base.__name__}", (base,), {"get_attributes": parts})
    return picture_class(
        pictures, tokenizer, None, chat_template=template or tokenizer.chat_template, **extra
    )


def keep_unpacked(model: Any) -> None:
    """On CPUs with AVX512-BF16 bitsandbytes repacks 4-bit weights in blocks of 32 x 64 and fails on other
    shapes: those stay.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu") and (
            module.in_features % 64 or module.out_features % 32
        ):
            module.support_avx512bf16_for_cpu = False


def load(folder: Path, *, name: str, device: str = "auto", precision: str = "auto") -> Loaded:
    """Read a checkpoint folder. Raises ModelError when it is foreign, damaged, unsafe, or does not fit."""
    import transformers

    from sugar.model.efficientnet import register

    register()
    config = read_config(folder)
    family = config["model_type"]
    device = pick_device(device)
    stored = "nf4" if (config.get("quantization_config") or {}).get("load_in_4bit") else "full"
    parameters, unquantised = count_parameters(folder, config)
    precision, why = choose_precision(name, parameters, unquantised, device, precision, stored)
    arguments: dict[str, Any] = {}
    if precision == "nf4":
        compute = (
            torch.float32
            if device == "cpu"
            else torch.bfloat16
            if torch.cuda.is_bf16_supported()
            else torch.float16
        )
        arguments["dtype"], arguments["device_map"] = compute, {"": device}
        if stored != "nf4":
            arguments["quantization_config"] = transformers.BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=compute,
                llm_int8_skip_modules=UNQUANTISED[family],
            )
    else:
        arguments["dtype"] = DTYPES[precision]
    model_class = getattr(
        transformers,
        transformers.models.auto.modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[family],
    )
    try:
        model = model_class.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, attn_implementation="sdpa", **arguments
        ).eval()
        if precision != "nf4":  # a 4-bit model must never be moved
            model = model.to(device)
        elif device == "cpu":
            keep_unpacked(model)
        processor = Processor(load_processor(folder, family), model.config.image_token_id, family)
    except (ModelError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # Transformers and tokenizers raise whatever a strange file leads them to
        raise ModelError(
            f"{folder} cannot be opened as a {family} checkpoint ({reason(error)}). Download "
            "or save it again."
        ) from error
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    log.info("%s: %s", name, why)
    written = str(config.get("dtype") or config.get("torch_dtype") or "float32").removeprefix("torch.")
    dtype = getattr(torch, written, None)
    dtype = dtype if isinstance(dtype, torch.dtype) else torch.float32
    return Loaded(model, processor, family, device, precision, why, stored, dtype)
