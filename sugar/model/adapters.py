"""Adapters: a LoRA and an embedding head as one folder, for one base model.

    adapters = Adapters(backbone, base_head)
    name = adapters.load(folder, None, base)                  # several may be loaded
    with backbone.using(name): ...                            # switched per call, no reload
    adapters.save("folder", name, base)

A folder holds `adapter_config.json` and `adapter_model.safetensors` (plain PEFT), `head.safetensors`,
`sugar.json` (the base it belongs to), a model card, and soft prompts where it was trained with them. An
adapter of another base is refused: family, sizes, and either the weights' fingerprint or the repository must
agree. Not covered: merging into the base, prompt tuning.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sugar.errors import ModelError
from sugar.model import checkpoint
from sugar.model.backbone import Backbone
from sugar.model.files import read_json
from sugar.model.head import EmbeddingHead
from sugar.model.lora import ADAPTER_FILES, TARGETS, read_lora
from sugar.model.profile import Profile
from sugar.model.soft_prompts import PROMPTS_FILE, SoftPrompts
from sugar.paths import output_folder, shown

__all__ = ["Adapters", "base_identity", "check_base", "model_card"]

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


def check_base(folder: Path, base: dict[str, Any]) -> dict[str, Any]:
    """The adapter's settings when it belongs to `base`.

    Raises ModelError when it is no adapter, or another base's.
    """
    lacking = next((name for name in ADAPTER_FILES if not os.path.lexists(folder / name)), None)
    if lacking == ADAPTER_FILES[0]:
        raise ModelError(
            f"{folder} is no adapter: {lacking} is missing. Name a folder made by save_adapter, or by PEFT."
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
    if not (same_weights or same_name):
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


class Adapters:
    """The adapters of one model by name, each with its head.

    The name None stands for the bare base and its head.
    """

    def __init__(self, backbone: Backbone, base_head: EmbeddingHead | None) -> None:
        self.backbone = backbone
        self._heads: dict[str | None, EmbeddingHead] = {} if base_head is None else {None: base_head}
        self._prompts: dict[str, SoftPrompts] = {}

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """Per loaded adapter what its `sugar.json` says, and its folder where it came from one."""
        return self.backbone.lora.loaded

    @property
    def names(self) -> list[str]:
        return list(self.settings)

    def head(self, name: str | None) -> EmbeddingHead | None:
        """The head of an adapter, or of the base; None where it brings none."""
        return self._heads.get(name)

    def free_name(self, name: str, folder: Path) -> str:
        """The name for the adapter of a folder: with a number where another folder's has it already."""
        plain = "".join(c for c in name if c.isprintable()).strip() or "adapter"
        taken, number = plain, 2
        while (other := self.settings.get(taken)) and not other.get("folder", folder).samefile(folder):
            taken, number = f"{plain} ({number})", number + 1
        return taken

    def load(self, folder: Path, name: str, base: dict[str, Any]) -> None:
        """Put the adapter of a folder beside the others. Raises ModelError when it is another base's.

        All of it is read before the model is touched.
        """
        settings = check_base(folder, base)
        Profile.from_settings(settings)
        lora = read_lora(folder, self.backbone.model)
        head = EmbeddingHead.load(folder) if settings.get("head") else None
        prompts = SoftPrompts.load(folder) if os.path.lexists(folder / PROMPTS_FILE) else None
        for part, width in ((head, head and head.hidden), (prompts, prompts and prompts.width)):
            if part is not None and width != self.backbone.hidden_size:
                raise ModelError(
                    f"The {type(part).__name__} in {folder} reads {width} numbers; this model's states have "
                    f"{self.backbone.hidden_size}. Open its own base first."
                )
        with self.backbone.lock:
            self.backbone.lora.load(lora, name, {**settings, "folder": folder})
            if prompts is not None:
                self._prompts[name] = prompts.to(self.backbone.device)
                prompts.attach(self.backbone.model, active=lambda: self.backbone.lora.active == name)
            if head is not None:
                self._heads[name] = head.to(self.backbone.device)

    def create(
        self, name: str, head: EmbeddingHead | None, *, rank: int, alpha: int, targets: str = TARGETS
    ) -> None:
        """A fresh, trainable LoRA and its head: what training starts from."""
        with self.backbone.lock:
            self.backbone.lora.create(name, rank=rank, alpha=alpha, targets=targets)
            if head is not None:
                self._heads[name] = head.to(self.backbone.device)

    def unload(self, name: str) -> None:
        """Free an adapter's memory. Raises ModelError when there is none of that name."""
        with self.backbone.lock:
            self.backbone.lora.unload(name)
            self._heads.pop(name, None)
            if name in self._prompts:
                self._prompts.pop(name).detach()

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
        """Write an adapter as one folder: LoRA, head, base, model card.

        Raises ModelError when there is none of that name.
        """
        if name is None or name not in self.settings:
            raise ModelError(
                f"No adapter named {name!r} is loaded; there are {', '.join(self.names) or 'none'}."
            )
        path = output_folder(path, "The adapter's folder")
        with self.backbone.lock:
            rank = self.backbone.lora.save(name, path, base["repository"])
            head = self.head(name)
            if head is not None:
                head.save(path)
            if name in self._prompts:
                self._prompts[name].save(path)
            sizes = head.sizes if head is not None else None
            stated = {k: v for k, v in self.settings[name].items() if k == "profile"}
            checkpoint.write_settings(path, kind="adapter", name=name, base=base, head=sizes, **stated)
            parts = [f"LoRA rank {rank}"]
            parts += ["an embedding head"] if head is not None else []
            parts += ["soft prompts"] if name in self._prompts else []
            (path / "README.md").write_text(model_card(name, base, " and ".join(parts), card), "utf-8")
        return path
