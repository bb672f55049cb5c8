"""What differs between the model families that Sugar serves: one `Family` each, one row of `FAMILIES`.

    FAMILIES["gemma3"].type_ids      # the argument that tells its forward pass which tokens are pictures

Every other file of the room reads it from here; a new family is a row here and a tiny checkpoint in the
tests. Which Transformers class opens a family is Transformers' own table.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """One model family, by the `model_type` of its configuration.

    Attributes:
        unquantised: modules that stay in 16 bits under NF4. Full paths: bare names match nothing, and a list
            drops lm_head's default exclusion.
        processor: the class whose own loading needs torchvision, for videos; Sugar uses it for pictures only.
        marks: what the chat template, not the processor, writes around a picture.
        positions_3d: positions have three axes (time, height, width).
        stacked: the vision encoder returns one tensor (crops, tokens, D) instead of one per picture.
        type_ids: the argument by which a forward pass is told which tokens are pictures.
        two_way: attention inside a picture goes both ways, so every pass over pictures needs `type_ids`.
        local_layers: some layers look back over a sliding window only.
    """

    name: str
    unquantised: tuple[str, ...]
    processor: str = ""
    marks: tuple[str, str] = ("", "")
    positions_3d: bool = False
    stacked: bool = False
    type_ids: str = ""
    two_way: bool = False
    local_layers: bool = False


LLAVA_PARTS = ("model.vision_tower", "model.multi_modal_projector", "lm_head")
IDEFICS_PARTS = ("model.vision_model", "model.connector", "lm_head")
QWEN_PARTS = ("model.visual", "lm_head")
QWEN_MARKS = ("<|vision_start|>", "<|vision_end|>")

FAMILIES = {
    family.name: family
    for family in (
        Family("llava", LLAVA_PARTS),
        Family("llava_next", LLAVA_PARTS),
        Family("idefics3", IDEFICS_PARTS),
        Family(
            "gemma3", LLAVA_PARTS, stacked=True, type_ids="token_type_ids", two_way=True, local_layers=True
        ),
        Family(
            "qwen2_5_vl", QWEN_PARTS, "Qwen2_5_VLProcessor", QWEN_MARKS, True, type_ids="mm_token_type_ids"
        ),
        Family("qwen3_vl", QWEN_PARTS, "Qwen3VLProcessor", QWEN_MARKS, True, type_ids="mm_token_type_ids"),
        Family("internvl", LLAVA_PARTS, "InternVLProcessor", stacked=True),
    )
}
