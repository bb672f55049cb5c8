"""Opening what is to be measured: a checkpoint, a preset, or a training run under way.

    model = open_model("assets/sugar-tiny")
    model = open_model("runs/tiny")            # a folder with state.pt: the weights as they stand, in float32

A run of the ablation's `pooling="last"` is read as it was trained; its export would not be, for checkpoints
pool by the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sugar.core import Sugar
from sugar.errors import ModelError
from sugar.model.processor import Batch, Layout, Processor
from sugar.paths import existing
from sugar.training.from_nothing import SugarConfig, build_model
from sugar.training.loop import STATE

TIED = {"lm_head.weight"}
"""Weights that a state holds under another name."""


class LastToken(Processor):
    """Pictures are read at their last token, as texts are: the ablation without average pooling."""

    def collate(self, layouts: Sequence[Layout], side: str = "right") -> Batch:
        plain = [
            Layout(layout.ids, layout.images, [(positions, False) for positions, _ in layout.slices])
            for layout in layouts
        ]
        return super().collate(plain, side)


def open_model(path: str | Path, *, device: str = "auto") -> Sugar:
    """A `Sugar`. Raises ModelError for a state of a LoRA run, which is measured from its export instead."""
    folder = existing(path)
    if folder is None or not (state_file := folder / STATE).is_file():
        return Sugar.from_pretrained(str(path), device=device)
    from sugar.model.checkpoint import read_state
    from sugar.model.load import pick_device

    state = read_state(state_file, "step", "config", "model")
    config = state["config"]
    if "terms" not in config or "mix" not in config:
        raise ModelError(
            f"{state_file} belongs to a run that trains an adapter. Measure its export, "
            f"{Path(path) / 'model'}."
        )
    llava, head, processor = build_model(SugarConfig(base=config["base"]))
    for part, name in ((llava, "llava."), (head, "head.")):
        weights = {k.removeprefix(name): v for k, v in state["model"].items() if k.startswith(name)}
        try:
            missing, unexpected = part.load_state_dict(weights, strict=False)
        except RuntimeError as error:  # another shape: the vocabulary has grown since
            raise ModelError(
                f"{state_file} was made by another Sugar ({error}). Measure an export of it, or train again."
            ) from error
        if unexpected or set(missing) - TIED:
            raise ModelError(
                f"{state_file} lacks {missing} or holds {unexpected}: it was made by another Sugar. "
                "Train again."
            )
    chosen = pick_device(device)
    model = Sugar.wrap(
        llava.to(chosen).eval(),
        processor,
        head.eval(),
        name=f"{Path(path).name} at step {state['step']}",
        device=chosen,
    )
    if config["terms"]["pooling"] == "last":
        model.backbone.processor = LastToken(processor, model.processor.image_token_id, model.family)
    return model
