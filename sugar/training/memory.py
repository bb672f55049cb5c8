"""How much memory a run will need, and where it goes: an estimate from sizes, before the first step.

    # memory: 9.8 GB = base 4.1 + trained 1.3 + activations 3.2 + output layer 1.2; free 22.0 GB
    print(memory_line(task))

Activations: about 16 numbers of the hidden width and 3 of the inner width for each token and layer; with
checkpointing one number of the hidden width, and one layer in full. Not covered: fragmentation, some 10 %.
"""

from __future__ import annotations

from typing import Any

import psutil
import torch

from sugar.training import parallel


def estimate(task: Any) -> dict[str, float]:
    """Gigabytes of a process by part."""
    module = task.module
    layers = parallel.language_layers(module) if parallel.shares_base() else []
    shared = {p for layer in layers for p in layer.parameters() if not p.requires_grad}
    base = trained = 0.0
    for p in module.parameters():
        size = p.numel() * p.element_size()
        base += size / parallel.world() if p in shared else size
        trained += 3 * size if p.requires_grad else 0  # gradient and two moments
    parts = {"weights": base, "gradients and moments": trained}
    rows = getattr(task.reader(0), "rows", None)
    if rows:
        model = task.sugar.model
        text = model.config.get_text_config()
        micro = min(task.config.micro_batch, len(rows))
        longest = max(len(row.layout) for row in rows)
        tokens, width = micro * longest, 2 if model.dtype in (torch.bfloat16, torch.float16) else 4
        layer = tokens * width * (16 * text.hidden_size + 3 * text.intermediate_size)
        depth = text.num_hidden_layers
        kept = (
            layer + depth * tokens * text.hidden_size * width if task.config.checkpointing else depth * layer
        )
        learnt = max((sum(b - a for a, b in row.layout.answers) for row in rows), default=0)
        parts["activations"] = kept
        parts["output layer"] = 3 * micro * learnt * text.vocab_size * 4
    return {name: size / 1e9 for name, size in parts.items()}


def memory_line(task: Any) -> str:
    """One line for people."""
    parts = estimate(task)
    if task.device.type == "cuda":
        free = torch.cuda.mem_get_info(task.device)[0] / 1e9
    else:
        free = psutil.virtual_memory().available / 1e9
    spent = " + ".join(f"{name} {size:.2f}" for name, size in parts.items())
    return f"memory: about {sum(parts.values()):.2f} GB = {spent}; {free:.1f} GB are free"
