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
        processor: the class that Sugar puts together for pictures only, where the family's own loading asks
            for torchvision, or for more, to read videos.
        marks: what the chat template, not the processor, writes around a picture.
        positions_3d: positions have three axes (time, height, width).
        stacked: the vision encoder returns one tensor (crops, tokens, D) instead of one per picture.
        type_ids: the argument by which a forward pass is told which tokens are pictures.
        two_way: attention inside a picture goes both ways, so every pass over pictures needs `type_ids`.
        local_layers: some layers look back over a sliding window only.
        recurrent: some layers keep a state of all that came before, which cannot be cut back or masked.
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
    recurrent: bool = False


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
        Family("smolvlm", IDEFICS_PARTS, "Idefics3Processor"),
        Family(
            "gemma3", LLAVA_PARTS, stacked=True, type_ids="token_type_ids", two_way=True, local_layers=True
        ),
        Family(
            "gemma4",
            ("model.vision_tower", "model.embed_vision", "model.audio_tower", "model.embed_audio", "lm_head"),
            "Gemma4Processor",
            type_ids="mm_token_type_ids",
            two_way=True,
            local_layers=True,
        ),
        Family("qwen2_vl", QWEN_PARTS, "Qwen2VLProcessor", QWEN_MARKS, True, type_ids="mm_token_type_ids"),
        Family(
            "qwen2_5_vl", QWEN_PARTS, "Qwen2_5_VLProcessor", QWEN_MARKS, True, type_ids="mm_token_type_ids"
        ),
        Family("qwen3_vl", QWEN_PARTS, "Qwen3VLProcessor", QWEN_MARKS, True, type_ids="mm_token_type_ids"),
        Family(
            "qwen3_5",
            QWEN_PARTS,
            "Qwen3VLProcessor",
            QWEN_MARKS,
            True,
            type_ids="mm_token_type_ids",
            recurrent=True,
        ),
        Family("internvl", LLAVA_PARTS, "InternVLProcessor", stacked=True),
        Family("lfm2_vl", LLAVA_PARTS, "Lfm2VlProcessor", recurrent=True),
    )
}
