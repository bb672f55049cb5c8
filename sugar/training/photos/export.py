"""The checkpoint folder: a plain LLaVA of Transformers in float16, with Sugar's head and settings beside it.

    export(network, tower, tokenizer, Path("assets/sugar-photo"), profile)

The scales before the projector fold into its first layer. Shards stay under 9 MB. Not covered: the model
card.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sugar.model.adapters import EmbeddingHead
from sugar.model.checkpoint import Profile, write_settings
from sugar.model.efficientnet import EfficientNetLite
from sugar.model.photo import build_llava, open_llava
from sugar.training.photos.network import Network

__all__ = ["assemble", "export", "parts", "restore"]

SHARD = "8MB"


@torch.no_grad()
def assemble(network: Network, tower: EfficientNetLite, tokenizer: Any) -> tuple[Any, Any]:
    """(LlavaForConditionalGeneration in float32, LlavaProcessor), which say and embed what the network
    does.
    """
    model, processor = build_llava(tower, network.decoder.config, tokenizer)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    model.model.language_model.load_state_dict(network.decoder.state_dict())
    projector = model.model.multi_modal_projector
    weight = network.first.weight.double() * network.scale
    projector.linear_1.weight.copy_(weight)
    projector.linear_1.bias.copy_(network.first.bias - weight @ network.shift.double())
    projector.linear_2.load_state_dict(network.second.state_dict())
    model.tie_weights()
    return model, processor


@torch.no_grad()
def restore(network: Network, folder: Path) -> None:
    """Load a checkpoint's decoder, projector and head, the reverse of `export`. The tower is not touched."""
    model, _ = open_llava(folder)
    network.decoder.load_state_dict(model.model.language_model.state_dict())
    projector = model.model.multi_modal_projector
    weight = projector.linear_1.weight.double()
    network.first.weight.copy_(weight / network.scale)
    network.first.bias.copy_(projector.linear_1.bias + weight @ network.shift.double())
    network.second.load_state_dict(projector.linear_2.state_dict())
    network.head.load_state_dict(EmbeddingHead.load(folder).state_dict())


def parts(folder: Path) -> tuple[EfficientNetLite, Any, torch.Tensor]:
    """What `Network` is built from, of a checkpoint: its tower, its tokenizer, its word embeddings."""
    model, tokenizer = open_llava(folder)
    return model.model.vision_tower, tokenizer, model.get_input_embeddings().weight


def export(network: Network, tower: EfficientNetLite, tokenizer: Any, folder: Path, profile: Profile) -> None:
    """Write the folder; older shards in it are removed."""
    model, processor = assemble(network, tower, tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    for shard in folder.glob("*.safetensors"):
        shard.unlink()
    model.half().save_pretrained(folder, max_shard_size=SHARD)
    processor.save_pretrained(folder)
    network.head.save(folder)
    write_settings(
        folder,
        name="sugar-photo",
        encoder="sugar",
        head=network.head.sizes,
        profile=profile.to_json(),
    )
