"""Soft prompts: learnt vectors in place of a hand prompt's token embeddings (VladVA).

    prompts = SoftPrompts.of(model, ids_with_picture, ids_without)  # start from the hand prompts' embeddings
    prompts.attach(model, active=lambda: True)  # wherever the ids stand in a row, the vectors are read
    prompts.save(folder); SoftPrompts.load(folder)

The rows of a batch go through the model as they always do; only the embedding layer's output changes. Not
covered: which prompts (model/encoders.py writes them).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sugar.errors import ModelError
from sugar.model.files import read_tensors, reason

__all__ = ["PROMPTS_FILE", "SoftPrompts"]

PROMPTS_FILE = "soft_prompts.safetensors"


NAMES = ("image", "text")


class SoftPrompts(nn.Module):
    """Of rows with a picture ("image") and without ("text"): a hand prompt's ids (n,) and the vectors (n, D)
    in their place.

    image_token: the id that marks a picture in a row.
    """

    def __init__(self, prompts: dict[str, tuple[Tensor, Tensor]], image_token: int) -> None:
        super().__init__()
        self.image_token = image_token
        self.vectors = nn.ParameterDict({name: nn.Parameter(v.float()) for name, (_, v) in prompts.items()})
        self.ids = {name: ids.long() for name, (ids, _) in prompts.items()}
        self._hook: Any = None

    @classmethod
    def of(cls, model: Any, image: Sequence[int], text: Sequence[int]) -> SoftPrompts:
        """Vectors that start as the model's own embeddings of the hand prompts."""
        table = model.get_input_embeddings().weight.detach()
        ids = {name: torch.tensor(list(tokens)) for name, tokens in zip(NAMES, (image, text), strict=True)}
        vectors = {name: (t, table[t.to(table.device)].float().clone()) for name, t in ids.items()}
        return cls(vectors, int(model.config.image_token_id))

    @property
    def width(self) -> int:
        return int(self.vectors[NAMES[0]].shape[1])

    def attach(self, model: Any, *, active: Callable[[], bool]) -> None:
        """Read the vectors whenever `active()`. Detach with `detach()`."""

        def replaced(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return self(inputs[0], output) if active() else output

        self._hook = model.get_input_embeddings().register_forward_hook(replaced)

    def detach(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def forward(self, ids: Tensor, embeddings: Tensor) -> Tensor:
        """embeddings (B, T, D) with the vectors wherever a prompt's ids stand in `ids` (B, T)."""
        pictured = (ids == self.image_token).any(-1)  # (B,)
        for name, pattern in self.ids.items():
            n = len(pattern)
            if ids.shape[1] < n:
                continue
            stands = (ids.unfold(1, n, 1) == pattern.to(ids.device)).all(-1)  # (B, T - n + 1)
            starts = (stands & (pictured == (name == "image"))[:, None]).nonzero()  # (found, 2): row, column
            if len(starts):
                rows = starts[:, :1].expand(-1, n)
                columns = starts[:, 1:] + torch.arange(n, device=ids.device)
                vectors = self.vectors[name].to(embeddings).expand(len(starts), -1, -1)
                embeddings = embeddings.index_put((rows, columns), vectors)
        return embeddings

    def save(self, folder: str | Path) -> None:
        """Write `soft_prompts.safetensors`."""
        tensors = {f"{name}.ids": ids.cpu().contiguous() for name, ids in self.ids.items()}
        tensors |= {f"{n}.vectors": v.detach().float().cpu().contiguous() for n, v in self.vectors.items()}
        tensors["image_token"] = torch.tensor([self.image_token])
        save_file(tensors, Path(folder) / PROMPTS_FILE)

    @classmethod
    def load(cls, folder: str | Path) -> SoftPrompts:
        """Read `soft_prompts.safetensors`. Raises ModelError when it is not one."""
        path = Path(folder) / PROMPTS_FILE
        tensors = read_tensors(path)
        try:
            prompts = {n: (tensors[f"{n}.ids"], tensors[f"{n}.vectors"]) for n in NAMES}
            widths = {v.shape[1] for ids, v in prompts.values() if ids.shape == v.shape[:1] and len(ids)}
            if len(widths) != 1 or any(v.dim() != 2 for _, v in prompts.values()):
                raise ValueError(f"of sizes {[tuple(v.shape) for _, v in prompts.values()]}")
            made = cls(prompts, int(tensors["image_token"]))
        except (KeyError, ValueError, IndexError, RuntimeError) as error:
            raise ModelError(
                f"{path} is not a file of soft prompts ({reason(error)}). Save the adapter again."
            ) from error
        return made.requires_grad_(False)
