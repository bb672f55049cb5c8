"""What differs between the model families that Sugar serves.

Every other file of the room reads it from here.
"""

from __future__ import annotations

__all__ = ["FAMILIES", "ROPE_3D", "STACKED", "TYPE_IDS", "UNQUANTISED", "VIDEO_PROCESSORS"]

FAMILIES = ("llava", "llava_next", "idefics3", "gemma3", "qwen2_5_vl", "qwen3_vl", "internvl")

ROPE_3D = {"qwen2_5_vl", "qwen3_vl"}
"""Families whose positions have three axes (time, height, width), and whose templates write markers around a
picture.
"""

TYPE_IDS = {"gemma3": "token_type_ids", "qwen2_5_vl": "mm_token_type_ids", "qwen3_vl": "mm_token_type_ids"}
"""The argument by which a family is told which tokens are pictures."""

STACKED = {"gemma3", "internvl"}
"""Families whose vision encoder returns one tensor (crops, tokens, D) instead of one tensor per picture."""

LLAVA_PARTS = ["model.vision_tower", "model.multi_modal_projector", "lm_head"]
QWEN_PARTS = ["model.visual", "lm_head"]
UNQUANTISED = {
    "llava": LLAVA_PARTS,
    "llava_next": LLAVA_PARTS,
    "gemma3": LLAVA_PARTS,
    "internvl": LLAVA_PARTS,
    "idefics3": ["model.vision_model", "model.connector", "lm_head"],
    "qwen2_5_vl": QWEN_PARTS,
    "qwen3_vl": QWEN_PARTS,
}
"""Modules that stay in 16 bits under NF4.

Full paths: bare names match nothing, and a list drops lm_head's default exclusion.
"""

VIDEO_PROCESSORS = {
    "qwen2_5_vl": "Qwen2_5_VLProcessor",
    "qwen3_vl": "Qwen3VLProcessor",
    "internvl": "InternVLProcessor",
}
"""Families whose own processor needs torchvision, for videos; Sugar uses the same class for pictures only."""
