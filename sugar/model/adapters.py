"""Adapters: a LoRA (PEFT) and an embedding head as one folder, for one base model.

    model.load_adapter("runs/my-sugar")                    # or a hub repository; several may be loaded
    model.embed(samples, adapter="my-sugar")               # switched per call, no reload; adapter=None: the bare base
    model.save_adapter("folder"); model.push_adapter("me/my-sugar")

The folder holds `adapter_config.json` + `adapter_model.safetensors` (plain PEFT), `head.safetensors`, `sugar.json` (which
base it belongs to) and a model card. An adapter of another base is refused: same family, sizes, and the same weights by
fingerprint or the same repository. LoRA goes on the language model only (the regex matters: a bare `q_proj` also hits the
vision tower), so kept vision features stay valid. Not covered: merging into the base, prompt tuning.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sugar.errors import ModelError
from sugar.model import checkpoint

__all__ = ["ADAPTER_FILE", "TARGETS", "Stack", "base_identity", "check_base", "model_card"]

ADAPTER_FILE = "adapter_model.safetensors"
TARGETS = r".*(language_model|text_model).*\.(q_proj|v_proj)"
"""Query and value projections of the language model, as the paper trains."""

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
    """The adapter's settings when it belongs to `base`. Raises ModelError when it is no adapter, or another base's."""
    if not (folder / "adapter_config.json").is_file() or not (folder / ADAPTER_FILE).is_file():
        raise ModelError(f"{folder} is no adapter: adapter_config.json or {ADAPTER_FILE} is missing. Name a folder made by save_adapter.")
    settings = checkpoint.read_settings(folder)
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    if config.get("peft_type") != "LORA":
        raise ModelError(f"{folder} is a {config.get('peft_type')} adapter; Sugar loads LoRA.")
    wanted = settings.get("base") or {"repository": config.get("base_model_name_or_path")}
    for key in SHAPES:
        if key in wanted and wanted[key] != base[key]:
            raise ModelError(
                f"The adapter {folder.name} was made for another base ({key} {wanted[key]}; this one has {base[key]}). "
                f"Open {wanted.get('repository') or 'its own base'} first."
            )
    same_weights = wanted.get("fingerprint") and wanted["fingerprint"] == base["fingerprint"]
    same_name = wanted.get("repository") and wanted["repository"] == base["repository"]
    if not (same_weights or same_name):
        raise ModelError(
            f"The adapter {folder.name} was made for {wanted.get('repository') or 'another base'}, not for {base['repository']}. "
            "Open its own base first, or train one for this base."
        )
    return settings


def model_card(name: str, base: dict[str, Any], rank: int, text: str = "") -> str:
    """README.md of an adapter, with the header that the hub reads."""
    return (
        f"---\nlibrary_name: peft\nbase_model: {base['repository']}\ntags: [sugar, multimodal, retrieval, lora]\n---\n\n# {name}\n\n"
        f"A Sugar adapter (LoRA rank {rank} and an embedding head) for `{base['repository']}` ({base['family']}). It makes the base "
        "embed interleaved images and texts; the base still chats, with the adapter or without.\n\n"
        "```python\nfrom sugar import Sample, Sugar\n\n"
        f'model = Sugar.from_pretrained("{base["repository"]}", adapter="{name}")\nmodel.embed([Sample([picture, "a red star"])])\n```\n'
        + (f"\n{text.strip()}\n" if text.strip() else "")
    )


class Stack:
    """The LoRAs inside one model: loaded by name, one active at a time or none. The core calls it under its lock."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.peft: Any = None
        self.active: str | None = None
        self.loaded: dict[str, dict[str, Any]] = {}

    def load(self, folder: Path, name: str, settings: dict[str, Any]) -> None:
        """Put the LoRA of a checked folder into the model, inactive."""
        from peft import PeftModel

        if name in self.loaded:
            raise ModelError(f"An adapter named {name!r} is loaded already. Give this one another name, or unload that one first.")
        try:
            if self.peft is None:
                self.peft = PeftModel.from_pretrained(self.model, folder, adapter_name=name, is_trainable=False)
            else:
                self.peft.load_adapter(folder, name, is_trainable=False)
        except (RuntimeError, ValueError, KeyError) as error:
            raise ModelError(
                f"The adapter {folder} does not fit this model ({str(error).splitlines()[0]}). Open its own base first."
            ) from error
        self.peft.eval()
        self.loaded[name] = {"folder": folder, **settings}
        self.active = name
        self.use(None)

    def create(self, name: str, *, rank: int, alpha: int, targets: str = TARGETS) -> None:
        """A fresh LoRA, trainable, active: what training starts from."""
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets)
        if self.peft is None:
            self.peft = get_peft_model(self.model, config, adapter_name=name)
        else:
            self.peft.add_adapter(name, config)
        self.loaded[name] = {}
        self.active = None
        self.use(name, trainable=True)

    def unload(self, name: str) -> None:
        """Take a LoRA out of the model and free its memory. Raises ModelError when there is none of that name."""
        if name not in self.loaded:
            raise ModelError(f"No adapter named {name!r} is loaded; there are {', '.join(self.loaded) or 'none'}.")
        del self.loaded[name]
        self.use(None)
        if self.loaded:
            self.peft.delete_adapter(name)
        else:
            self.peft.unload()
            self.peft = None

    def use(self, name: str | None, *, trainable: bool = False) -> None:
        """Make one LoRA active, or none. Raises ModelError when there is none of that name."""
        if name == self.active:
            return
        if name is not None and name not in self.loaded:
            raise ModelError(f"No adapter named {name!r} is loaded; there are {', '.join(self.loaded) or 'none'}. Load it first.")
        if name is None:
            self.peft.base_model.disable_adapter_layers()
        else:
            self.peft.base_model.enable_adapter_layers()
            self.peft.base_model.set_adapter(name, inference_mode=not trainable)
        self.active = name
