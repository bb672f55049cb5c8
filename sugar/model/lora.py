"""LoRAs (PEFT) inside one model: several loaded, one active at a time or none.

    stack = LoraStack(model, on_pictures=vision.clear)
    stack.load(read_lora(folder, model), "mine", {}); stack.use("mine"); stack.use(None)

A name is a person's; PEFT knows an adapter by a key of ours. A folder's tensors say which layers it changes:
of its configuration only numbers are read, so no stranger's pattern is ever matched and no code imported.
Ours goes on the language model only, so kept vision features stay valid; switching to or from one that
changes the vision tower drops them. Not covered: heads, folders, cards (adapters.py), merging into the base.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sugar.errors import ModelError, SettingsError
from sugar.model.files import read_json, read_tensors, reason
from sugar.paths import shown

__all__ = ["ADAPTER_FILES", "TARGETS", "Lora", "LoraStack", "read_lora"]

TARGETS = r".*(language_model|text_model).*\.(q_proj|v_proj)"
"""Query and value projections of the language model, as the paper trains."""

ADAPTER_FILES = CONFIG, WEIGHTS = ("adapter_config.json", "adapter_model.safetensors")
KEY = "sugar"  # of the first adapter; part of the names in a training run's state

FLAGS = ("use_rslora", "use_dora", "lora_bias")
READ = {"peft_type", "r", "lora_alpha", "alpha_pattern", "rank_pattern", "init_lora_weights", *FLAGS}
NO_MATTER = {"auto_mapping", "base_model_name_or_path", "revision", "task_type", "inference_mode"}
NO_MATTER |= {"peft_version", "lora_dropout", "bias", "fan_in_fan_out", "ensure_weight_tying"}
NO_MATTER |= {"target_modules", "exclude_modules", "modules_to_save", "layers_to_transform", "layers_pattern"}
NO_MATTER |= {"megatron_core", "qalora_group_size", "runtime_config", "loftq_config", "eva_config"}
"""Of training only, or said by the tensors themselves."""
PLAIN_STARTS = {True, False, None, "gaussian", "orthogonal", "eva"}
"""`init_lora_weights` that leave the base as it is; PiSSA and its kin change it."""
PARTS = {
    "lora_A.weight": "A",
    "lora_B.weight": "B",
    "lora_B.bias": "bias",
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
}


@dataclass(frozen=True, eq=False)
class Lora:
    """A LoRA that fits a model: per layer (its full name) the tensors A (r, in), B (out, r) and for some
    kinds bias and magnitude (out,), and the alpha.
    """

    tensors: dict[str, dict[str, Tensor]]
    alphas: dict[str, float]
    flags: dict[str, bool]

    def config(self) -> Any:
        """What PEFT makes the layers of."""
        from peft import LoraConfig

        ranks = {name: len(parts["A"]) for name, parts in self.tensors.items()}
        rank = Counter(ranks.values()).most_common(1)[0][0]
        alpha = Counter(self.alphas.values()).most_common(1)[0][0]
        return LoraConfig(
            r=rank,
            lora_alpha=alpha,  # type: ignore[arg-type]
            target_modules=list(self.tensors),
            rank_pattern={re.escape(name): n for name, n in ranks.items() if n != rank},
            alpha_pattern={re.escape(name): a for name, a in self.alphas.items() if a != alpha},
            inference_mode=True,
            **self.flags,  # type: ignore[arg-type]
        )


def read_lora(folder: Path, model: Any) -> Lora:
    """The LoRA of a folder, checked against a model.

    Raises ModelError: damaged, of another kind, or with a tensor that has no place in this model.
    """
    config = read_json(folder / CONFIG)
    rank, alpha, flags = _numbers(folder, config)
    layers = {name: (layer.in_features, layer.out_features) for name, layer in _linear(model)}
    by_short: dict[str, list[str]] = {}
    for layer in layers:
        by_short.setdefault(_short(layer), []).append(layer)
    tensors: dict[str, dict[str, Tensor]] = {}
    theirs: dict[str, str] = {}
    for key, tensor in read_tensors(folder / WEIGHTS).items():
        module, part = _split(key)
        name = _place(module, layers, by_short)
        if part is None or name is None or part in tensors.get(name, {}):
            what = "is no part of a LoRA that Sugar reads" if part is None else "has no layer here of its own"
            raise ModelError(
                f"The adapter {folder} does not fit this model ({shown(key)} {what}). Open its own base "
                "first, or merge it into its base and open that."
            )
        theirs[name] = module
        tensors.setdefault(name, {})[part] = tensor
    wanted = {"A", "B"} | ({"bias"} if flags["lora_bias"] else set())
    wanted |= {"magnitude"} if flags["use_dora"] else set()
    for name, parts in tensors.items():
        n_in, n_out = layers[name]
        r = len(parts["A"]) if "A" in parts and parts["A"].dim() else 0
        shapes = {"A": (r, n_in), "B": (n_out, r), "bias": (n_out,), "magnitude": (n_out,)}
        seen = {part: tuple(t.shape) for part, t in parts.items()}
        if seen != {part: shapes[part] for part in wanted} or not r:
            raise ModelError(
                f"The adapter {folder} does not fit this model ({shown(theirs[name])} has {seen}; this layer "
                f"takes {n_in} numbers and gives {n_out}). Open its own base first."
            )
        if r != rank and not config.get("rank_pattern"):
            raise ModelError(f"{folder / CONFIG} says r = {rank}, its tensors have rank {r}. Save it again.")
        if not all(t.is_floating_point() and bool(t.isfinite().all()) for t in parts.values()):
            raise ModelError(f"The adapter {folder} holds numbers that are not finite. Train it again.")
    if not tensors:
        raise ModelError(f"{folder / WEIGHTS} holds no tensors. Save the adapter again.")
    pattern = _alphas(folder, config)
    alphas = {
        name: next((a for end, a in pattern if any(f".{n}".endswith(f".{end}") for n in names)), alpha)
        for name, names in ((name, (name, theirs[name])) for name in tensors)
    }
    return Lora(tensors, alphas, flags)


def _numbers(folder: Path, config: dict[str, Any]) -> tuple[int, float, dict[str, bool]]:
    """(rank, alpha, flags) of a configuration. Raises ModelError for another kind or odd values."""
    path = folder / CONFIG
    if config.get("peft_type") != "LORA":
        raise ModelError(f"{folder} is a {shown(str(config.get('peft_type')))} adapter; Sugar loads LoRA.")
    start = config.get("init_lora_weights")
    if not isinstance(start, str | bool | None) or start not in PLAIN_STARTS:
        raise ModelError(f"{folder} changed its base too ({shown(str(start))}). Make it a plain LoRA.")
    unread = sorted(key for key, value in config.items() if value and key not in READ | NO_MATTER)
    if unread:
        raise ModelError(f"{path} sets {shown(unread[0])}, which Sugar cannot do. Make it a plain LoRA.")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    flags = {name: config.get(name) or False for name in FLAGS}
    if (
        type(rank) is not int
        or not 1 <= rank <= 1 << 16
        or not _is_alpha(alpha)
        or not all(isinstance(flag, bool) for flag in flags.values())
    ):
        raise ModelError(
            f"{path} has r = {shown(str(rank))}, lora_alpha = {shown(str(alpha))} and {flags}; r is a whole "
            "number from 1, lora_alpha a number, the others true or false. Save the adapter again."
        )
    return rank, float(alpha), flags  # type: ignore[arg-type]


def _alphas(folder: Path, config: dict[str, Any]) -> list[tuple[str, float]]:
    """(end of a layer's name, alpha) of `alpha_pattern`, whose keys PEFT takes for regular expressions."""
    given = config.get("alpha_pattern") or {}
    plain = {}
    for key, alpha in given.items() if isinstance(given, dict) else [("", given)]:
        end = key.removeprefix("^").removesuffix("$").replace("\\.", ".")
        if not re.fullmatch(r"[\w.-]+", end) or not _is_alpha(alpha):
            raise ModelError(
                f"{folder / CONFIG} gives {shown(key)} the alpha {shown(str(alpha))} in alpha_pattern. Sugar "
                "reads full or last parts of layers' names, and numbers."
            )
        plain[end] = float(alpha)
    return list(plain.items())


def _is_alpha(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < 1e6 and math.isfinite(value)


def _linear(model: Any) -> Iterator[tuple[str, nn.Linear]]:
    """The linear layers of a model by name, with or without LoRAs around them."""
    for name, module in model.named_modules():
        layer = getattr(module, "base_layer", module)
        if isinstance(layer, nn.Linear) and not re.search(r"\.(base_layer|lora_\w+)(\.|$)", name):
            yield name, layer


def _split(key: str) -> tuple[str, str | None]:
    """A tensor's layer and which part of its LoRA it is."""
    at = key.find(".lora_")
    part = key[at + 1 :].replace(".default", "") if at >= 0 else ""
    return key[: max(at, 0)].removeprefix("base_model.model."), PARTS.get(part)


def _short(name: str) -> str:
    """A layer's name without the `model` parts, which came and went between versions of Transformers."""
    return ".".join(part for part in name.split(".") if part != "model")


def _place(module: str, layers: dict[str, Any], by_short: dict[str, list[str]]) -> str | None:
    """The layer of this model that an adapter's layer is, under an older name too."""
    if module in layers:
        return module
    short = _short(module)
    found = by_short.get(short) or by_short.get(f"language_model.{short}") or []
    return found[0] if len(found) == 1 else None


class LoraStack:
    """The LoRAs inside one model: loaded by name, one active at a time or none.

    on_pictures: called when what the vision tower gives has changed. Callers hold the backbone's lock.
    """

    def __init__(self, model: Any, on_pictures: Callable[[], None] = lambda: None) -> None:
        self.model, self._on_pictures = model, on_pictures
        self.peft: Any = None
        self.active: str | None = None
        self.loaded: dict[str, dict[str, Any]] = {}
        self._keys: dict[str, str] = {}
        self._sees: set[str | None] = set()
        self._made = 0

    def load(self, lora: Lora, name: str, settings: dict[str, Any]) -> None:
        """Put a LoRA into the model, inactive."""
        key = self._add(name, lora.config())
        try:
            for layer_name, parts in lora.tensors.items():
                layer = self.model.get_submodule(layer_name)
                layer.lora_A[key].weight.data.copy_(parts["A"])
                layer.lora_B[key].weight.data.copy_(parts["B"])
                if "bias" in parts:
                    layer.lora_B[key].bias.data.copy_(parts["bias"])
                if "magnitude" in parts:
                    layer.lora_magnitude_vector[key].weight.data.copy_(parts["magnitude"])
        except Exception:
            self.unload(name)
            raise
        self.peft.eval()
        self.loaded[name] = settings
        self.use(None)

    def create(self, name: str, *, rank: int, alpha: int, targets: str = TARGETS) -> None:
        """A fresh LoRA, trainable, active: what training starts from.

        Raises SettingsError when `targets` matches no layer.
        """
        from peft import LoraConfig

        try:
            hits = [layer for layer, _ in _linear(self.model) if re.fullmatch(targets, layer)]
        except re.error as error:
            raise SettingsError(f"targets {shown(targets)} is no pattern ({error}). Correct it.") from error
        if not hits:
            raise SettingsError(f"targets {shown(targets)} matches no linear layer. Usual is {TARGETS}.")
        self._add(name, LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets))
        self.use(name, trainable=True)

    def save(self, name: str, path: Path, repository: str) -> int:
        """Write the two files of PEFT into a folder; the rank."""
        key = self._keys[name]
        config = self.peft.peft_config[key]
        config.base_model_name_or_path = repository
        with tempfile.TemporaryDirectory(dir=path) as beside:
            self.peft.save_pretrained(beside, selected_adapters=[key], save_embedding_layers=False)
            for file in ADAPTER_FILES:
                (Path(beside) / key / file).replace(path / file)
        return int(config.r)

    def unload(self, name: str) -> None:
        """Take a LoRA out of the model and free its memory.

        Raises ModelError when there is none of that name.
        """
        self._check(name)
        self.use(None)
        del self.loaded[name]
        key = self._keys.pop(name)
        self._sees.discard(name)
        if self.loaded:
            self.peft.delete_adapter(key)
        else:
            self.peft.unload()
            self.peft = None

    def use(self, name: str | None, *, trainable: bool = False) -> None:
        """Make one LoRA active, or none. Raises ModelError when there is none of that name."""
        if name == self.active:
            return
        if name is not None:
            self._check(name)
        if name is None:
            self.peft.base_model.disable_adapter_layers()
        else:
            self.peft.base_model.enable_adapter_layers()
            self.peft.base_model.set_adapter(self._keys[name], inference_mode=not trainable)
        _keep_gradients(self.model, trainable)
        if {name, self.active} & self._sees:
            self._on_pictures()
        self.active = name

    def _add(self, name: str, config: Any) -> str:
        """Layers of a new LoRA, active; its key. The model stays as it was when PEFT fails."""
        from peft import get_peft_model

        if name in self.loaded:
            raise ModelError(
                f"An adapter named {shown(name)} is loaded already. Give this one another name, or unload "
                "that one first."
            )
        if not name.strip():
            raise ModelError("An adapter needs a name. Give it one.")
        self._made += 1
        key = KEY if self._made == 1 else f"{KEY}{self._made}"
        try:
            if self.peft is None:
                self.peft = get_peft_model(self.model, config, adapter_name=key)
            else:
                self.peft.add_adapter(key, config)
        except Exception as error:
            self._take_out()
            raise ModelError(
                f"The adapter {shown(name)} cannot be put into this model ({reason(error)}). Free some "
                "memory, or open its own base."
            ) from error
        self._keys[name], self.loaded[name], self.active = key, {}, ""
        layers = [n for n, m in self.model.named_modules() if key in getattr(m, "lora_A", ())]
        if not all("language_model" in layer or "text_model" in layer for layer in layers):
            self._sees.add(name)
            self._on_pictures()
        return key

    def _take_out(self) -> None:
        """Unwrap layers that a failed beginning left wrapped."""
        if self.peft is not None:
            return
        for module in list(self.model.modules()):
            for name, child in list(module.named_children()):
                if hasattr(child, "lora_A") and hasattr(child, "base_layer"):
                    setattr(module, name, child.base_layer)

    def _check(self, name: str) -> None:
        if name not in self.loaded:
            there = ", ".join(map(shown, self.loaded)) or "none"
            raise ModelError(f"No adapter named {shown(name)} is loaded; there are {there}. Load it first.")


def _keep_gradients(model: Any, kept: bool) -> None:
    """Let gradients pass through the 4-bit layers of a CPU with AVX-512 BF16, or give them up for speed.

    In evaluation mode bitsandbytes packs their weights there for a kernel without a backward pass, and a LoRA
    above would silently learn nothing. Training mode, which changes nothing else in these layers, prevents
    that; writing the state down undoes a packing that an earlier answer brought.
    """
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":
            module.train(kept)
            if kept:
                module.state_dict()
