"""LoRAs (PEFT) inside one model: several loaded, one active at a time or none.

    stack = LoraStack(model)
    stack.load(folder, "mine"); stack.use("mine"); stack.use(None)

LoRA goes on the language model only, so kept vision features stay valid. The pattern matters: a bare `q_proj`
would also match the vision tower. Not covered: heads, folders and cards (adapters.py), merging into the base.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sugar.errors import ModelError

__all__ = ["TARGETS", "LoraStack"]

TARGETS = r".*(language_model|text_model).*\.(q_proj|v_proj)"
"""Query and value projections of the language model, as the paper trains."""


class LoraStack:
    """The LoRAs inside one model: loaded by name, one active at a time or none.

    Callers hold the backbone's lock.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.peft: Any = None
        self.active: str | None = None
        self.loaded: dict[str, dict[str, Any]] = {}

    def load(self, folder: Path, name: str, settings: dict[str, Any]) -> None:
        """Put the LoRA of a checked folder into the model, inactive."""
        from peft import PeftModel

        if name in self.loaded:
            raise ModelError(
                f"An adapter named {name!r} is loaded already. Give this one another name, or unload that "
                "one first."
            )
        try:
            if self.peft is None:
                self.peft = PeftModel.from_pretrained(
                    self.model, folder, adapter_name=name, is_trainable=False
                )
            else:
                self.peft.load_adapter(folder, name, is_trainable=False)
        except (RuntimeError, ValueError, KeyError) as error:
            raise ModelError(
                f"The adapter {folder} does not fit this model ({str(error).splitlines()[0]}). Open its own "
                "base first."
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
        """Take a LoRA out of the model and free its memory.

        Raises ModelError when there is none of that name.
        """
        if name not in self.loaded:
            raise ModelError(
                f"No adapter named {name!r} is loaded; there are {', '.join(self.loaded) or 'none'}."
            )
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
            raise ModelError(
                f"No adapter named {name!r} is loaded; there are {', '.join(self.loaded) or 'none'}. Load "
                "it first."
            )
        if name is None:
            self.peft.base_model.disable_adapter_layers()
        else:
            self.peft.base_model.enable_adapter_layers()
            self.peft.base_model.set_adapter(name, inference_mode=not trainable)
        _keep_gradients(self.model, trainable)
        self.active = name


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
