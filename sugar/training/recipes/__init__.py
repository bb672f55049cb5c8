"""Named settings, one file a recipe. `python -m sugar train --recipe NAME --config CONFIG`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sugar.training.recipes import lora, sugar, vladva

__all__ = ["RECIPES", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """configs: settings by name, the first the default. task: what they train."""

    configs: dict[str, Any]
    task: Any


RECIPES = {
    "sugar": Recipe(sugar.CONFIGS, sugar.TASK),
    "lora": Recipe(lora.CONFIGS, lora.TASK),
    "vladva": Recipe(vladva.CONFIGS, vladva.TASK),
}
