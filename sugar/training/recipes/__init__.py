"""Named settings, one file a recipe: `RECIPES["sugar"]["tiny"]` is what made the shipped checkpoint."""

from sugar.training.recipes import sugar

RECIPES = {"sugar": sugar.CONFIGS}
