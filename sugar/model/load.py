"""From a name to a model in memory: the folder, the device and the precision, the weights.

    folder = local_folder("sugar-tiny")             # an embedded model's, a local one, or a download
    loaded = load(folder, name="sugar-tiny", device="auto", precision="auto")
    loaded.model, loaded.processor, loaded.device, loaded.precision, loaded.why

Safetensors only, no remote code. A model that cannot fit is refused before its weights are downloaded or
read. Vision tower, projector and LM head stay unquantised. README.md in this folder says what `auto` picks.
Not covered: downloading (hub.py), several devices, offloading of layers.
"""

from __future__ import annotations

import inspect
import logging
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sugar.errors import ModelError
from sugar.model import hub, packed
from sugar.model.checkpoint import read_json, reason, tensor_shapes
from sugar.model.families import FAMILIES
from sugar.model.presets import PRECISIONS, PRESETS, find, here, memory_need
from sugar.model.processor import Processor
from sugar.paths import shown

log = logging.getLogger("sugar")

# -- device and precision --------------------------------------------------------------------------

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(device: str) -> str:
    """'auto' -> cuda, mps or cpu. Raises ModelError when a device that was asked for is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = device.split(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise ModelError(f"Device {device!r} is not known. Use auto, cpu, cuda, cuda:N or mps.")
    if (kind == "cuda" and not torch.cuda.is_available()) or (
        kind == "mps" and not torch.backends.mps.is_available()
    ):
        raise ModelError(
            f"Device {device!r} was asked for, but this machine has none that PyTorch can use. Use --device "
            "cpu."
        )
    return device


def free_memory(device: str) -> float:
    """GB that a model may take: free memory of a CUDA device, available memory of the machine otherwise."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(torch.device(device))[0] / 1e9
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            available = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
        for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
            if os.path.exists(limit) and (text := Path(limit).read_text().strip()).isdigit():
                available = min(available, int(text))
        return available / 1e9
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2e9


def fast_in_bf16() -> bool:
    """Does this CPU multiply in bfloat16 itself (AMX, AVX-512 BF16)? Elsewhere it is emulated, slowly."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def choose_precision(
    name: str, parameters: float, unquantised: float, device: str, precision: str, stored: str
) -> tuple[str, str]:
    """(precision, why). parameters in billions. Raises ModelError, with what would fit, when nothing fits.

    stored: 'nf4' for a checkpoint that was quantised ahead of time. On a CPU it is widened where that fits:
    products in 4 bits are slow there.
    """
    if precision not in ("auto", *PRECISIONS):
        raise ModelError(f"Precision {precision!r} is not known. Use auto, {', '.join(PRECISIONS)}.")
    free = free_memory(device)
    if precision != "auto":
        order = [precision]
    elif device.startswith("cuda"):
        wide = [] if stored == "nf4" else ["bf16" if torch.cuda.is_bf16_supported() else "fp16"]
        order = [*wide, "nf4"]
    else:
        order = ["fp32", "bf16"]
        if stored == "nf4":
            order = ["bf16", "fp32", "nf4"] if fast_in_bf16() else ["fp32", "bf16", "nf4"]
    needs = {p: memory_need(parameters, p, unquantised) for p in order}
    for p in order:
        if needs[p] <= free:
            asked = (
                "as asked" if precision != "auto" else "as stored" if stored == p else "the widest that fits"
            )
            return p, f"{p} on {device}, {asked}: needs about {needs[p]:.1f} of {free:.1f} GB free"
    least = min(needs.values())
    others = [
        f"{other.name} ({p})"
        for other in PRESETS.values()
        for p in (
            [other.stored] if other.stored == "nf4" else ["nf4"] if device.startswith("cuda") else ["bf16"]
        )
        if other.memory(p) <= free and other.name != name
    ]
    smaller = (
        []
        if precision == "auto"
        else [p for p in PRECISIONS if memory_need(parameters, p, unquantised) <= free]
    )
    remedy = f"It would fit as {' or '.join(smaller)}. " if smaller else ""
    raise ModelError(
        f"{name} needs about {least:.1f} GB as {' or '.join(order)} and {device} has {free:.1f} GB free. "
        f"{remedy}"
        f"These fit: {', '.join(others) or 'none of the presets'}."
    )


# -- the folder of a checkpoint --------------------------------------------------------------------

EMBEDDED = ("sugar-photo", "sugar-tiny")
"""Presets that ship with Sugar, as folders of `assets/`."""

NF4_LEAVES = ("vision", "visual", "audio", "projector", "connector", "lm_head", "embed_tokens")
"""Parts of the names of weights that NF4 leaves as they are."""

ASSETS = Path(__file__).resolve().parents[2] / "assets"


def local_folder(
    name: str,
    *,
    device: str = "auto",
    precision: str = "auto",
    progress: Callable[[hub.DownloadProgress], None] | None = None,
) -> Path:
    """The folder of a checkpoint: the embedded model's, a local one, or a preset's or repository's after its
    download.

    A model that cannot fit is refused before its weights are downloaded. Raises ModelError with the cause and
    the remedy.
    """
    if name in EMBEDDED:
        if not (ASSETS / name / "config.json").is_file():
            raise ModelError(
                f"{ASSETS / name} is missing. Restore it from the repository, or rebuild it with `make "
                "assets`."
            )
        return ASSETS / name
    preset = find(name)
    if (folder := here(name)) is not None:
        return folder
    chosen = pick_device(device)
    if preset is not None:
        choose_precision(name, preset.parameters, preset.unquantised, chosen, precision, preset.stored)

    def check(remote: hub.Remote, config: dict[str, Any]) -> None:
        check_family(config, remote.repository)
        stored = stored_as(config)
        weights = sum(size for file, size, _ in remote.files if file.endswith(".safetensors"))
        parameters = (remote.parameters or weights / (0.65 if stored == "nf4" else 2.0)) / 1e9
        choose_precision(
            name, parameters, preset.unquantised if preset else 0.15 * parameters, chosen, precision, stored
        )
        log.info("%s: downloading %.2f GB", remote.repository, remote.bytes / 1e9)

    return fetch(preset.repository if preset else name, progress=progress, check=check)


def fetch(
    repository: str,
    revision: str = "main",
    *,
    progress: Callable[[hub.DownloadProgress], None] | None = None,
    check: Callable[[hub.Remote, dict[str, Any]], None] | None = None,
) -> Path:
    """`hub.download` with the hub and the cache that the environment names now (HF_ENDPOINT, HF_HUB_CACHE).

    Progress in a shell.
    """
    if progress is None and sys.stderr.isatty():
        progress = hub.print_progress
    endpoint, cache_dir = os.environ.get("HF_ENDPOINT"), os.environ.get("HF_HUB_CACHE")
    return hub.download(
        repository, revision, progress=progress, check=check, endpoint=endpoint, cache_dir=cache_dir
    )


def check_family(config: dict[str, Any], where: str) -> str:
    """The family of a configuration. Raises ModelError when Sugar does not serve it.

    Code of a checkpoint's own is never run.
    """
    family = config.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        raise ModelError(f"{where} is a {shown(str(family))} checkpoint. Sugar serves {', '.join(FAMILIES)}.")
    if not isinstance(config.get("quantization_config") or {}, dict):
        raise ModelError(f"{where} has a config.json without sense (quantization_config). Download it again.")
    if config.get("auto_map"):
        log.warning("%s brings code of its own; Sugar never runs it and uses the one in Transformers", where)
    return family


def stored_as(config: dict[str, Any]) -> str:
    """'nf4' for a checkpoint that was quantised ahead of time, else 'full'."""
    return "nf4" if (config.get("quantization_config") or {}).get("load_in_4bit") else "full"


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a checkpoint folder.

    Raises ModelError when it is missing, or of a family that Sugar does not serve.
    """
    path = folder / "config.json"
    if not os.path.lexists(path):
        raise ModelError(
            f"{folder} holds no config.json, so it is not a checkpoint. Name a folder made by "
            "save_pretrained, or a preset."
        )
    config = read_json(path)
    check_family(config, str(folder))
    return config


def count_parameters(folder: Path, config: dict[str, Any]) -> tuple[float, float]:
    """Billions of parameters: all, and those that stay unquantised under NF4, from the safetensors headers
    alone.

    Raises ModelError when there are no safetensors or a file is damaged or missing.
    """
    index, whole = folder / "model.safetensors.index.json", "model.safetensors"
    listed = read_json(index).get("weight_map") if os.path.lexists(index) else {whole: whole}
    names = sorted({str(name) for name in listed.values()}) if isinstance(listed, dict) else []
    names += sorted(path.name for path in folder.glob(packed.EMBEDDINGS))
    if not names or any(Path(name).name != name for name in names):
        raise ModelError(f"{index} does not name the files of the weights. Download the checkpoint again.")
    total = kept = 0
    for name in names:
        for key, shape in tensor_shapes(folder / name).items():
            size = math.prod(shape)
            if config.get("quantization_config") and size and shape[-1:] == (1,):
                size *= 2  # two 4-bit weights per byte
            total += size
            kept += size if any(part in key for part in NF4_LEAVES) else 0
    return total / 1e9, kept / 1e9


# -- weights into memory ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model in memory. precision: one of PRECISIONS; why: the choice in words, shown to people."""

    model: Any
    processor: Processor
    device: str
    precision: str
    why: str
    stored_dtype: torch.dtype


def load_processor(folder: Path, name: str) -> Any:
    """`AutoProcessor`, or for the families whose own cannot be opened without what reads videos, the class
    named so for pictures only.

    name: a `Family.processor`.
    """
    import transformers

    plain = {"local_files_only": True, "trust_remote_code": False}
    if not name:
        return transformers.AutoProcessor.from_pretrained(folder, **plain)
    base = getattr(transformers, name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **plain)
    if name == "Lfm2VlProcessor":  # Transformers has its picture processor for torchvision only
        from sugar.model.lfm2 import Lfm2VlImageProcessorPil

        pictures = Lfm2VlImageProcessorPil.from_pretrained(folder, local_files_only=True)
    else:
        pictures = transformers.AutoImageProcessor.from_pretrained(folder, **plain)
    template = ""
    if (path := folder / "chat_template.jinja").is_file():
        template = path.read_text("utf-8")
    elif (path := folder / "chat_template.json").is_file():
        template = read_json(path)["chat_template"]
    path = folder / "processor_config.json"
    settings = read_json(path) if path.is_file() else {}
    extra: dict[str, Any] = {k: v for k, v in settings.items() if k in ("image_seq_length", "image_seq_len")}
    wanted = inspect.signature(base.__init__).parameters
    extra |= {key: None for key in ("video_processor", "feature_extractor") if key in wanted}
    names = ["image_processor", "tokenizer"]  # the class names others, for videos and sounds

    class Parts(transformers.ProcessorMixin):
        def __init__(self, *parts: Any, **named: Any) -> None:
            super().__init__(*parts[:2], **{k: named[k] for k in (*names, "chat_template") if k in named})

    own = {"get_attributes": classmethod(lambda cls: names)}
    picture_class = type(f"Picture{base.__name__}", (base, Parts), own)
    template = template or tokenizer.chat_template
    return picture_class(image_processor=pictures, tokenizer=tokenizer, chat_template=template, **extra)


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
    stored = stored_as(config)
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
                llm_int8_skip_modules=list(FAMILIES[family].unquantised),
            )
    else:
        arguments["dtype"] = DTYPES[precision]
        if stored == "nf4":
            arguments["device_map"] = {"": device}
    model_class = getattr(
        transformers,
        transformers.models.auto.modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[family],
    )
    verbosity = transformers.logging.get_verbosity()
    if stored == "nf4":  # Transformers would warn of embeddings in 8 bits, which follow, and of the widening
        transformers.logging.set_verbosity_error()
    try:
        model = model_class.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, attn_implementation="sdpa", **arguments
        ).eval()
        if stored == "nf4" and precision != "nf4":
            model = model.dequantize(arguments["dtype"])
            model._weight_conversions = None  # those of 4-bit weights have no way back, and saving takes it
        elif precision != "nf4":  # a 4-bit model must never be moved
            model = model.to(device)
        elif device == "cpu":
            keep_unpacked(model)
        packed.fill_embeddings(model, folder)
        for parameter in model.parameters():  # beside 4-bit layers Transformers leaves weights as stored
            if stored == "nf4" and parameter.is_floating_point():
                parameter.data = parameter.data.to(arguments["dtype"])
        processor = Processor(
            load_processor(folder, FAMILIES[family].processor), model.config.image_token_id, family
        )
    except (ModelError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # Transformers and tokenizers raise whatever a strange file leads them to
        raise ModelError(
            f"{folder} cannot be opened as a {family} checkpoint ({reason(error)}). Download "
            "or save it again."
        ) from error
    finally:
        transformers.logging.set_verbosity(verbosity)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    log.info("%s: %s", name, why)
    written = str(config.get("dtype") or config.get("torch_dtype") or "float32").removeprefix("torch.")
    dtype = getattr(torch, written, None)
    dtype = dtype if isinstance(dtype, torch.dtype) else torch.float32
    return Loaded(model, processor, device, precision, why, dtype)
