"""Opening what is to be measured: a checkpoint, a preset, or a training run under way.

model = open_model("assets/sugar-tiny")
model = open_model("runs/tiny")            # a folder with state.pt: the weights as they stand, in float32
"""

from __future__ import annotations

from pathlib import Path

from sugar.core import Sugar
from sugar.errors import ModelError
from sugar.training.loop import STATE, SugarConfig, build_model


def open_model(path: str | Path, *, device: str = "auto") -> Sugar:
    """A `Sugar`. Raises ModelError for a state of a LoRA run, which is measured from its export instead."""
    state_file = Path(path) / STATE
    if not state_file.is_file():
        return Sugar.from_pretrained(str(path), device=device)
    import torch

    from sugar.model.load import pick_device

    state = torch.load(state_file, map_location="cpu", weights_only=True)
    if state["config"]["lora"]:
        raise ModelError(f"{state_file} belongs to a LoRA run. Measure its export, {Path(path) / 'model'}.")
    llava, head, processor = build_model(SugarConfig(base=state["config"]["base"]))
    for part, name in ((llava, "llava."), (head, "head.")):
        part.load_state_dict({k.removeprefix(name): v for k, v in state["model"].items() if k.startswith(name)})
    chosen = pick_device(device)
    return Sugar.wrap(llava.to(chosen).eval(), processor, head.eval(), name=f"{Path(path).name} at step {state['step']}", device=chosen)
