"""Attention for training on a CPU in bfloat16.

    attend_in_float32(llava)            # then train under autocast

Not covered: which positions see which (sugar/training/rows.py), attention while generating, which is
Transformers' own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["attend_in_float32"]


def attend_in_float32(llava: Any) -> None:
    """Keep attention in float32: its backward pass in bfloat16 took 2.5 times as long, on a CPU 5 times as
    fast at bfloat16 products.
    """
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    def attend(
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: Any,
        **kwargs: Any,
    ) -> Any:
        with torch.autocast("cpu", enabled=False):
            return sdpa_attention_forward(module, query.float(), key.float(), value.float(), mask, **kwargs)

    AttentionInterface.register("sdpa_float32", attend)
    llava.set_attn_implementation("sdpa_float32")
