"""Adapters: LoRA, embedding head and soft prompts, as one folder for one base model.

    name = adapters.load(folder, "mine", base)                # several may be loaded
    with backbone.using(name): ...                            # switched per call, no reload
    adapters.save("folder", name, base)

A folder holds `adapter_config.json` and `adapter_model.safetensors` (plain PEFT), `head.safetensors`,
`sugar.json` (the base it belongs to), a model card, and soft prompts where it was trained with them. An
adapter of another base is refused: family, sizes, and either the weights' fingerprint or the repository must
agree. README.md says what of a stranger's configuration is read.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sugar.errors import ModelError, SettingsError
from sugar.model import checkpoint
from sugar.model.checkpoint import Profile, read_json, read_shards, read_tensors, reason
from sugar.paths import existing, output_folder, shown

# -- the embedding head ----------------------------------------------------------------------------

HEAD_FILE = "head.safetensors"


class EmbeddingHead(nn.Module):
    """Linear(hidden, head_hidden) -> GELU -> Linear(head_hidden, dimension) -> L2 normalisation.

    With `reading` numbers more a head also reads what the vision tower itself says of a picture
    (`with_readings`), through both layers and through a linear map beside them.
    """

    def __init__(self, hidden: int, head_hidden: int, dimension: int, reading: int = 0) -> None:
        super().__init__()
        self.hidden, self.head_hidden, self.dimension, self.reading = hidden, head_hidden, dimension, reading
        self.first = nn.Linear(hidden + reading, head_hidden)
        self.second = nn.Linear(head_hidden, dimension)
        self.beside = nn.Linear(reading, dimension, bias=False) if reading else None

    def forward(self, d: Tensor) -> Tensor:
        """d: (..., hidden + reading), any float type. Returns (..., dimension) float32, unit rows."""
        d = d.to(self.first.weight.dtype)
        x = self.second(nn.functional.gelu(self.first(d)))  # (..., dimension)
        if self.beside is not None:
            x = x + self.beside(d[..., self.hidden :])
        return nn.functional.normalize(x.float(), dim=-1)

    @property
    def sizes(self) -> dict[str, int]:
        """What `sugar.json` records."""
        sizes = {"hidden": self.hidden, "head_hidden": self.head_hidden, "dimension": self.dimension}
        return sizes | ({"reading": self.reading} if self.reading else {})

    def copy(self) -> EmbeddingHead:
        """The same head in tensors of its own, trainable."""
        head = EmbeddingHead(self.hidden, self.head_hidden, self.dimension, self.reading)
        head.load_state_dict(self.state_dict())
        return head

    def save(self, folder: str | Path) -> None:
        """Write `head.safetensors` (float32) into `folder`."""
        tensors = {
            name: value.detach().float().cpu().contiguous() for name, value in self.state_dict().items()
        }
        save_file(tensors, Path(folder) / HEAD_FILE)

    @classmethod
    def load(cls, folder: str | Path) -> EmbeddingHead:
        """Read `head.safetensors`; the sizes come from the tensors.

        Raises ModelError when missing or not a head.
        """
        path = Path(folder) / HEAD_FILE
        if not os.path.lexists(path):
            raise ModelError(
                f"{path} is missing, so this checkpoint has no embedding head. Use a Sugar checkpoint, or "
                "encoder='triple'."
            )
        tensors = read_tensors(path)
        try:
            (head_hidden, read), dimension = tensors["first.weight"].shape, tensors["second.weight"].shape[0]
            reading = tensors["beside.weight"].shape[1] if "beside.weight" in tensors else 0
            head = cls(read - reading, head_hidden, dimension, reading)
            head.load_state_dict({name: value.to(torch.float32) for name, value in tensors.items()})
        except (KeyError, ValueError, IndexError, RuntimeError) as error:
            raise ModelError(
                f"{path} is not an embedding head of Sugar ({reason(error)}). Save it "
                "again with save_pretrained."
            ) from error
        return head.eval()


# -- soft prompts ----------------------------------------------------------------------------------

PROMPTS_FILE = "soft_prompts.safetensors"


NAMES = ("image", "text")


class SoftPrompts(nn.Module):
    """Of rows with a picture ("image") and without ("text"): a hand prompt's ids (n,) and the vectors (n, D)
    in their place.

    image_token: the id that marks a picture in a row.
    """

    def __init__(self, prompts: dict[str, tuple[Tensor, Tensor]], image_token: int) -> None:
        super().__init__()
        self.image_token = image_token
        self.vectors = nn.ParameterDict({name: nn.Parameter(v.float()) for name, (_, v) in prompts.items()})
        self.ids = {name: ids.long() for name, (ids, _) in prompts.items()}
        self._hook: Any = None

    @classmethod
    def of(cls, model: Any, image: Sequence[int], text: Sequence[int]) -> SoftPrompts:
        """Vectors that start as the model's own embeddings of the hand prompts."""
        table = model.get_input_embeddings().weight.detach()
        ids = {name: torch.tensor(list(tokens)) for name, tokens in zip(NAMES, (image, text), strict=True)}
        vectors = {name: (t, table[t.to(table.device)].float().clone()) for name, t in ids.items()}
        return cls(vectors, int(model.config.image_token_id))

    @property
    def width(self) -> int:
        return int(self.vectors[NAMES[0]].shape[1])

    def attach(self, model: Any, *, active: Callable[[], bool]) -> None:
        """Read the vectors whenever `active()`. Detach with `detach()`."""

        def replaced(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return self(inputs[0], output) if active() else output

        self._hook = model.get_input_embeddings().register_forward_hook(replaced)

    def detach(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def forward(self, ids: Tensor, embeddings: Tensor) -> Tensor:
        """embeddings (B, T, D) with the vectors wherever a prompt's ids stand in `ids` (B, T)."""
        pictured = (ids == self.image_token).any(-1)  # (B,)
        for name, pattern in self.ids.items():
            n = len(pattern)
            if ids.shape[1] < n:
                continue
            stands = (ids.unfold(1, n, 1) == pattern.to(ids.device)).all(-1)  # (B, T - n + 1)
            starts = (stands & (pictured == (name == "image"))[:, None]).nonzero()  # (found, 2): row, column
            if len(starts):
                rows = starts[:, :1].expand(-1, n)
                columns = starts[:, 1:] + torch.arange(n, device=ids.device)
                vectors = self.vectors[name].to(embeddings).expand(len(starts), -1, -1)
                embeddings = embeddings.index_put((rows, columns), vectors)
        return embeddings

    def save(self, folder: str | Path) -> None:
        """Write `soft_prompts.safetensors`."""
        tensors = {f"{name}.ids": ids.cpu().contiguous() for name, ids in self.ids.items()}
        tensors |= {f"{n}.vectors": v.detach().float().cpu().contiguous() for n, v in self.vectors.items()}
        tensors["image_token"] = torch.tensor([self.image_token])
        save_file(tensors, Path(folder) / PROMPTS_FILE)

    @classmethod
    def load(cls, folder: str | Path) -> SoftPrompts:
        """Read `soft_prompts.safetensors`. Raises ModelError when it is not one."""
        path = Path(folder) / PROMPTS_FILE
        tensors = read_tensors(path)
        try:
            prompts = {n: (tensors[f"{n}.ids"], tensors[f"{n}.vectors"]) for n in NAMES}
            widths = {v.shape[1] for ids, v in prompts.values() if ids.shape == v.shape[:1] and len(ids)}
            if len(widths) != 1 or any(v.dim() != 2 for _, v in prompts.values()):
                raise ValueError(f"of sizes {[tuple(v.shape) for _, v in prompts.values()]}")
            made = cls(prompts, int(tensors["image_token"]))
        except (KeyError, ValueError, IndexError, RuntimeError) as error:
            raise ModelError(
                f"{path} is not a file of soft prompts ({reason(error)}). Save the adapter again."
            ) from error
        return made.requires_grad_(False)


# -- LoRAs inside one model ------------------------------------------------------------------------

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
WRAPPED = re.compile(r"\.(base_layer|original_module|modules_to_save|lora_\w+)(\.|$)")
"""Parts of the names of what PEFT puts around and beside a layer."""


@dataclass(frozen=True, eq=False)
class Lora:
    """A LoRA that fits a model: per layer (its full name) the tensors A (r, in), B (out, r) and for some
    kinds bias and magnitude (out,), and the alpha.

    whole: per module that was trained as a whole (`modules_to_save`) its weight, and its bias where it has
    one.
    """

    tensors: dict[str, dict[str, Tensor]]
    alphas: dict[str, float]
    flags: dict[str, bool]
    whole: dict[str, dict[str, Tensor]]

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
            modules_to_save=list(self.whole) or None,
            inference_mode=True,
            **self.flags,  # type: ignore[arg-type]
        )


def read_lora(folder: Path, model: Any) -> Lora:
    """The LoRA of a folder, checked against a model.

    Raises ModelError: damaged, of another kind, or with a tensor that has no place in this model.
    """
    config = read_json(folder / CONFIG)
    rank, alpha, flags = _numbers(folder, config)
    modules = dict(_modules(model))
    by_short: dict[str, list[str]] = {}
    for name in modules:
        by_short.setdefault(_short(name), []).append(name)
    tensors: dict[str, dict[str, Tensor]] = {}
    whole: dict[str, dict[str, Tensor]] = {}
    theirs: dict[str, str] = {}
    for key, tensor in read_shards(folder, Path(WEIGHTS).stem).items():
        at, part = _split(key)
        placed = _place(at, modules, by_short)
        found = whole if part in ("weight", "bias") else tensors
        fits = isinstance(modules.get(placed or ""), nn.Linear) or found is whole
        if part is None or placed is None or not fits or part in found.get(placed, {}):
            what = "is no part of a LoRA that Sugar reads" if part is None else "has no layer here of its own"
            raise ModelError(
                f"The adapter {folder} does not fit this model ({shown(key)} {what}). Open its own base "
                "first, or merge it into its base and open that."
            )
        theirs[placed] = at
        found.setdefault(placed, {})[part] = tensor
    for name, parts in whole.items():
        here = {part: tuple(p.shape) for part, p in modules[name].named_parameters(recurse=False)}
        if name in tensors or {part: tuple(t.shape) for part, t in parts.items()} != here:
            raise ModelError(
                f"The adapter {folder} does not fit this model ({shown(theirs[name])} is another one here). "
                "Open its own base first."
            )
    wanted = {"A", "B"} | ({"bias"} if flags["lora_bias"] else set())
    wanted |= {"magnitude"} if flags["use_dora"] else set()
    for name, parts in tensors.items():
        n_in, n_out = modules[name].in_features, modules[name].out_features
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
    every = [t for parts in (*tensors.values(), *whole.values()) for t in parts.values()]
    if not all(t.is_floating_point() and bool(t.isfinite().all()) for t in every):
        raise ModelError(f"The adapter {folder} holds numbers that are not finite. Train it again.")
    if not tensors:
        raise ModelError(f"{folder / WEIGHTS} holds no tensors. Save the adapter again.")
    pattern = _alphas(folder, config)
    alphas = {
        name: next((a for end, a in pattern if any(f".{n}".endswith(f".{end}") for n in names)), alpha)
        for name, names in ((name, (name, theirs[name])) for name in tensors)
    }
    return Lora(tensors, alphas, flags, whole)


def merge(lora: Lora, model: Any) -> None:
    """Make a LoRA part of a model for good: added to plain weights, kept beside 4-bit ones, where the sum
    would be rounded again. Raises ModelError for DoRA and the like.
    """
    if lora.flags["use_dora"] or lora.flags["lora_bias"]:
        raise ModelError("Only a plain LoRA can be part of a checkpoint. Load this one as an adapter.")
    for name, parts in lora.tensors.items():
        layer, rank = model.get_submodule(name), len(parts["A"])
        scale = lora.alphas[name] / (rank**0.5 if lora.flags["use_rslora"] else rank)
        down, up = parts["A"].float(), parts["B"].float() * scale  # (r, in), (out, r)
        if type(layer).__name__ == "Linear4bit":
            kind = {"device": layer.weight.device, "dtype": layer.compute_dtype}
            layer.register_forward_hook(partial(_add_product, down.to(**kind), up.to(**kind)))
        else:
            layer.weight.data = (layer.weight.float() + (up @ down).to(layer.weight.device)).to(
                layer.weight.dtype
            )
    for name, parts in lora.whole.items():
        for part, tensor in parts.items():
            getattr(model.get_submodule(name), part).data.copy_(tensor)


def _add_product(down: Tensor, up: Tensor, _: nn.Module, read: tuple[Tensor, ...], given: Tensor) -> Tensor:
    return given + (read[0].to(down.dtype) @ down.T @ up.T).to(given.dtype)


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


def _modules(model: Any) -> Iterator[tuple[str, Any]]:
    """The modules of a model by name, with or without adapters around them."""
    for name, module in model.named_modules():
        if not WRAPPED.search(f".{name}"):
            yield name, getattr(module, "base_layer", getattr(module, "original_module", module))


def _split(key: str) -> tuple[str, str | None]:
    """A tensor's module, and which part of its LoRA, or of the module itself, it is."""
    key = key.removeprefix("base_model.model.").replace(".modules_to_save", "").replace(".default", "")
    at = key.find(".lora_")
    if at >= 0:
        return key[:at], PARTS.get(key[at + 1 :])
    module, _, part = key.rpartition(".")
    return module, part if part in ("weight", "bias") else None


def _short(name: str) -> str:
    """A layer's name without the `model` parts, which came and went between versions of Transformers."""
    return ".".join(part for part in name.split(".") if part != "model")


def _place(module: str, modules: dict[str, Any], by_short: dict[str, list[str]]) -> str | None:
    """The module of this model that an adapter's module is, under an older name too."""
    if module in modules:
        return module
    short = _short(module)
    found = by_short.get(short) or by_short.get(f"language_model.{short}") or []
    return found[0] if len(found) == 1 else None


# -- the folder of an adapter ----------------------------------------------------------------------

SHAPES = ("family", "hidden", "layers", "vocabulary")


def base_identity(model: Any, family: str, repository: str, fingerprint: str) -> dict[str, Any]:
    """What an adapter must agree with."""
    text = model.config.get_text_config()
    return {
        "repository": repository,
        "fingerprint": fingerprint,
        "family": family,
        "hidden": text.hidden_size,
        "layers": text.num_hidden_layers,
        "vocabulary": text.vocab_size,
    }


def check_base(folder: Path, base: dict[str, Any], *, listed: bool = False) -> dict[str, Any]:
    """The adapter's settings when it belongs to `base`; `listed`: the table of presets says so.

    Raises ModelError when it is no adapter, or another base's.
    """
    lacking = next((name for name in ADAPTER_FILES if not os.path.lexists(folder / name)), None)
    if lacking == ADAPTER_FILES[0]:
        raise ModelError(
            f"{folder} is no adapter: {lacking} is missing. Name a folder made by save_adapter, or by PEFT."
        )
    for path in folder.iterdir():  # the hub's cache links to its own `blobs`; nothing else leads out
        target = Path(os.path.realpath(path))
        inside = target.parent.name == "blobs" or target.is_relative_to(os.path.realpath(folder))
        if path.is_symlink() and existing(path) is not None and not inside:
            raise ModelError(
                f"{path} is a link out of the adapter's folder. Put the file itself in its place."
            )
    settings = checkpoint.read_settings(folder)
    config = read_json(folder / ADAPTER_FILES[0])
    stated = settings.get("base") or {"repository": config.get("base_model_name_or_path")}
    wanted = stated if isinstance(stated, dict) else {}
    theirs = shown(str(wanted.get("repository") or "another base"))
    for key in SHAPES:
        if key in wanted and wanted[key] != base[key]:
            raise ModelError(
                f"The adapter {folder.name} was made for another base ({key} {str(wanted[key])[:60]}; this "
                f"one has {base[key]}). Open {theirs} first."
            )
    same_weights = wanted.get("fingerprint") and wanted["fingerprint"] == base["fingerprint"]
    same_name = wanted.get("repository") and wanted["repository"] == base["repository"]
    if not (same_weights or same_name or listed):
        raise ModelError(
            f"The adapter {folder.name} was made for {theirs}, not for {base['repository']}. "
            "Open its own base first, or train one for this base."
        )
    return settings


def model_card(name: str, base: dict[str, Any], parts: str, text: str = "") -> str:
    """README.md of an adapter, with the header that the hub reads. parts: what it consists of."""
    opened = f'model = Sugar.from_pretrained("{base["repository"]}", adapter="{name}")'
    lines = [
        "---",
        "library_name: peft",
        f"base_model: {base['repository']}",
        "tags: [sugar, multimodal, retrieval, lora]",
        "---",
        "",
        f"# {name}",
        "",
        f"A Sugar adapter ({parts}) for `{base['repository']}` ({base['family']}). It makes the base "
        "embed interleaved",
        "images and texts; the base still chats, with the adapter or without.",
        "",
        "```python",
        "from sugar import Sample, Sugar",
        "",
        opened,
        'model.embed([Sample([picture, "a red star"])])',
        "```",
    ]
    return "\n".join([*lines, *(["", text.strip()] if text.strip() else [])]) + "\n"


# -- the adapters of one model ---------------------------------------------------------------------


class Adapters:
    """The adapters of one model by name, each with its LoRA, head and soft prompts; one active, or none.

    The name None stands for the bare base and its head.

    lock: the model's. on_pictures: called when what the vision tower gives has changed. probe: logits of a
    few words, with a picture where it is given True.
    """

    def __init__(
        self,
        model: Any,
        lock: AbstractContextManager[Any],
        on_pictures: Callable[[], None],
        probe: Callable[[bool], Tensor],
    ) -> None:
        self.model, self.lock, self._on_pictures, self._probe = model, lock, on_pictures, probe
        self.peft: Any = None
        self.active: str | None = None
        self.settings: dict[str, dict[str, Any]] = {}
        """Per loaded adapter what its `sugar.json` says, and its folder where it came from one."""
        self.heads: dict[str | None, EmbeddingHead] = {}
        self._prompts: dict[str, SoftPrompts] = {}
        self._keys: dict[str, str] = {}
        self._sees: set[str | None] = set()
        self._made = 0

    @property
    def width(self) -> int:
        """Of the language model's states."""
        return int(self.model.config.get_text_config().hidden_size)

    def free_name(self, name: str, folder: Path) -> str:
        """The name for the adapter of a folder: with a number where another folder's has it already."""
        plain = "".join(c for c in name if c.isprintable()).strip() or "adapter"
        taken, number = plain, 2
        while (other := self.settings.get(taken)) and not other.get("folder", folder).samefile(folder):
            taken, number = f"{plain} ({number})", number + 1
        return taken

    def load(self, folder: Path, name: str, base: dict[str, Any], *, listed: bool = False) -> None:
        """Put the adapter of a folder beside the others, inactive. Raises ModelError when it is another
        base's; `listed`: the table of presets says that it is this one's.

        All of it is read before the model is touched.
        """
        settings = check_base(folder, base, listed=listed)
        Profile.from_settings(settings)
        lora = read_lora(folder, self.model)
        head = EmbeddingHead.load(folder) if settings.get("head") else None
        prompts = SoftPrompts.load(folder) if os.path.lexists(folder / PROMPTS_FILE) else None
        for part, width in ((head, head and head.hidden), (prompts, prompts and prompts.width)):
            if part is not None and width != self.width:
                raise ModelError(
                    f"The {type(part).__name__} in {folder} reads {width} numbers; this model's states have "
                    f"{self.width}. Open its own base first."
                )
        with self.lock:
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
                for module_name, parts in lora.whole.items():
                    module = self.model.get_submodule(module_name).modules_to_save[key]
                    for leaf, tensor in parts.items():
                        getattr(module, leaf).data.copy_(tensor)
            except Exception:
                self.unload(name)
                raise
            self.peft.eval()
            self.settings[name] = {**settings, "folder": folder}
            self.use(None)
            if prompts is not None:
                self._prompts[name] = prompts.to(self.model.device)
                prompts.attach(self.model, active=lambda: self.active == name)
            if head is not None:
                self.heads[name] = head.to(self.model.device)
            if head is None and prompts is None and not self._changes(name):
                self.unload(name)
                raise ModelError(
                    f"The adapter {folder} changes nothing that this model says: it was never trained, or "
                    "was emptied. Train it, or name another one."
                )

    def _changes(self, name: str) -> bool:
        """Does any logit differ with the adapter?"""
        for seeing in (False, True) if name in self._sees else (False,):
            self.use(None)
            off = self._probe(seeing)
            self.use(name)
            on = self._probe(seeing)
            self.use(None)
            if not torch.equal(on, off):
                return True
        return False

    def create(
        self,
        name: str,
        head: EmbeddingHead | None,
        *,
        rank: int,
        alpha: int,
        targets: str = TARGETS,
        whole: Sequence[str] = (),
    ) -> None:
        """A fresh, trainable, active LoRA and its head: what training starts from.

        whole: modules that are trained as a whole, beside their first selves. Raises SettingsError when
        `targets` matches no layer.
        """
        from peft import LoraConfig

        try:
            linear = [name for name, m in _modules(self.model) if isinstance(m, nn.Linear)]
            hits = [name for name in linear if re.fullmatch(targets, name)]
        except re.error as error:
            raise SettingsError(f"targets {shown(targets)} is no pattern ({error}). Correct it.") from error
        if not hits:
            raise SettingsError(f"targets {shown(targets)} matches no linear layer. Usual is {TARGETS}.")
        with self.lock:
            modules = list(whole) or None
            self._add(
                name, LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, modules_to_save=modules)
            )
            self.use(name, trainable=True)
            if head is not None:
                self.heads[name] = head.to(self.model.device)

    def folder(self, name: str) -> Path:
        """Where an adapter was loaded from. Raises ModelError for one that has not been saved."""
        folder = self.settings[name].get("folder")
        if folder is None:
            raise ModelError(
                f"The adapter {name!r} has not been saved and has no fingerprint. Use save_adapter and "
                "load it."
            )
        return folder

    def save(self, path: Path, name: str | None, base: dict[str, Any], *, card: str = "") -> Path:
        """Write an adapter as one folder: LoRA, head, soft prompts, base, model card.

        Raises ModelError when there is none of that name.
        """
        name = self._known(name)
        path = output_folder(path, "The adapter's folder")
        with self.lock:
            key = self._keys[name]
            config = self.peft.peft_config[key]
            config.base_model_name_or_path = base["repository"]
            with tempfile.TemporaryDirectory(dir=path) as beside:
                self.peft.save_pretrained(beside, selected_adapters=[key], save_embedding_layers=False)
                for file in ADAPTER_FILES:
                    (Path(beside) / key / file).replace(path / file)
            parts, head = [f"LoRA rank {config.r}"], self.heads.get(name)
            if head is not None:
                head.save(path)
                parts.append("an embedding head")
            if name in self._prompts:
                self._prompts[name].save(path)
                parts.append("soft prompts")
            stated = {k: v for k, v in self.settings[name].items() if k == "profile"}
            sizes = head.sizes if head is not None else None
            checkpoint.write_settings(path, kind="adapter", name=name, base=base, head=sizes, **stated)
            (path / "README.md").write_text(model_card(name, base, " and ".join(parts), card), "utf-8")
        return path

    def unload(self, name: str) -> None:
        """Take an adapter out of the model and free its memory.

        Raises ModelError when there is none of that name.
        """
        with self.lock:
            self._known(name)
            self.use(None)
            del self.settings[name]
            key = self._keys.pop(name)
            self._sees.discard(name)
            if self.settings:
                self.peft.delete_adapter(key)
            else:
                self.peft.unload()
                self.peft = None
            self.heads.pop(name, None)
            if name in self._prompts:
                self._prompts.pop(name).detach()

    def use(self, name: str | None, *, trainable: bool = False) -> None:
        """Make one LoRA active, or none; hold the lock. Raises ModelError when there is none of that name."""
        if name == self.active:
            return
        if name is None:
            self.peft.base_model.disable_adapter_layers()
        else:
            key = self._keys[self._known(name)]
            self.peft.base_model.enable_adapter_layers()
            self.peft.base_model.set_adapter(key, inference_mode=not trainable)
        _keep_gradients(self.model, trainable)
        if {name, self.active} & self._sees:
            self._on_pictures()
        self.active = name

    def _add(self, name: str, config: Any) -> str:
        """Layers of a new LoRA, active; its key. The model stays as it was when PEFT fails."""
        from peft import get_peft_model

        if name in self.settings:
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
        self._keys[name], self.settings[name], self.active = key, {}, ""
        layers = [
            n
            for n, m in self.model.named_modules()
            if key in getattr(m, "lora_A", ()) or key in (getattr(m, "modules_to_save", None) or ())
        ]
        if not all(re.search(r"language_model|text_model|lm_head", layer) for layer in layers):
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

    def _known(self, name: str | None) -> str:
        """The name itself. Raises ModelError when no adapter has it."""
        if name is None or name not in self.settings:
            there = ", ".join(map(shown, self.settings)) or "none"
            raise ModelError(
                f"No adapter named {shown(str(name))} is loaded; there are {there}. Load it first."
            )
        return name


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
