"""The embedding head: hidden state of the last decoder layer -> unit vector (Sugar, section 3; method.md A1).

    head = EmbeddingHead(4096, 4096, 768)
    r = head(d)                      # (..., 4096) -> (..., 768), unit rows
    head.save(folder); EmbeddingHead.load(folder)

The paper says only "MLP"; two layers with GELU are our choice. The head runs in float32 whatever the model
runs in. Not covered: pooling of tokens to slices, which is `sugar.model.processor.pool_slices`.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sugar.errors import ModelError
from sugar.model.files import read_tensors, reason

__all__ = ["EmbeddingHead", "HEAD_FILE"]

HEAD_FILE = "head.safetensors"


class EmbeddingHead(nn.Module):
    """Linear(hidden, head_hidden) -> GELU -> Linear(head_hidden, dimension) -> L2 normalisation."""

    def __init__(self, hidden: int, head_hidden: int, dimension: int) -> None:
        super().__init__()
        self.hidden, self.head_hidden, self.dimension = hidden, head_hidden, dimension
        self.first = nn.Linear(hidden, head_hidden)
        self.second = nn.Linear(head_hidden, dimension)

    def forward(self, d: Tensor) -> Tensor:
        """d: (..., hidden), any float type. Returns (..., dimension) float32, unit rows."""
        x = self.second(nn.functional.gelu(self.first(d.to(self.first.weight.dtype))))  # (..., dimension)
        return nn.functional.normalize(x.float(), dim=-1)

    @property
    def sizes(self) -> dict[str, int]:
        """What `sugar.json` records."""
        return {"hidden": self.hidden, "head_hidden": self.head_hidden, "dimension": self.dimension}

    def save(self, folder: str | Path) -> None:
        """Write `head.safetensors` (float32) into `folder`."""
        tensors = {
            name: value.detach().float().cpu().contiguous() for name, value in self.state_dict().items()
        }
        save_file(tensors, Path(folder) / HEAD_FILE)

    @classmethod
    def load(cls, folder: str | Path) -> EmbeddingHead:
        """Read `head.safetensors`; the sizes come from the tensors.

        Raises ModelError when missing or not a head.
        """
        path = Path(folder) / HEAD_FILE
        if not os.path.lexists(path):
            raise ModelError(
                f"{path} is missing, so this checkpoint has no embedding head. Use a Sugar checkpoint, or "
                "encoder='triple'."
            )
        tensors = read_tensors(path)
        try:
            (head_hidden, hidden), dimension = (
                tensors["first.weight"].shape,
                tensors["second.weight"].shape[0],
            )
            head = cls(hidden, head_hidden, dimension)
            head.load_state_dict({name: value.to(torch.float32) for name, value in tensors.items()})
        except (KeyError, ValueError, IndexError, RuntimeError) as error:
            raise ModelError(
                f"{path} is not an embedding head of Sugar ({reason(error)}). Save it "
                "again with save_pretrained."
            ) from error
        return head.eval()
