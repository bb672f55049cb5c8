"""FSDP for adapters: a base's frozen layers are shared out between processes, what is trained stays whole.

    accelerate launch --config_file sugar/training/launch/fsdp.yaml -m sugar train --recipe sugar ...

A layer's weights are gathered while it runs and let go after it (`fully_shard`, FSDP2). LoRA and head are
small; they, their gradients and moments are those of plain processes, and so are checkpoints. Every process
must run the layers equally often: `in_step` adds what is missing. Not covered: loading (each process reads
the whole base first), 4-bit bases.
"""

from __future__ import annotations

import os
from dataclasses import replace

from torch import nn

from sugar.errors import SettingsError
from sugar.training import parallel
from sugar.training.sample_rows import TrainRow

__all__ = ["asked_for", "in_step", "language_layers", "shard"]


def asked_for() -> bool:
    """accelerate was given an FSDP configuration, and there are several processes."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true" and parallel.world() > 1


def shard(model: nn.Module) -> None:
    """Share out the frozen weights of the language model's layers, as accelerate's configuration says.

    Args:
        model: holds a Transformers model with its LoRA.
    Raises:
        SettingsError: FSDP 1 or offloading is asked for; the base has 4 bits, or no weight of it is frozen.
    """
    from accelerate import FullyShardedDataParallelPlugin
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import CPUOffloadPolicy, fully_shard

    plugin = FullyShardedDataParallelPlugin()  # reads what `accelerate launch` put into the environment
    if plugin.fsdp_version != 2 or isinstance(plugin.cpu_offload, CPUOffloadPolicy):
        raise SettingsError(
            "Set fsdp_version to 2 and fsdp_offload_params to false, as launch/fsdp.yaml does."
        )
    trained = {p for p in model.parameters() if p.requires_grad}
    mesh = init_device_mesh(next(model.parameters()).device.type, (parallel.world(),))
    for layer in language_layers(model):
        own = [p for p in layer.parameters() if p not in trained]
        if not own:
            raise SettingsError(
                "This recipe trains every weight, and FSDP shares out frozen ones. Use plain processes."
            )
        if any(not p.is_floating_point() for p in own):
            raise SettingsError(
                "FSDP does not share out a base in 4 bits. Use --base-precision bf16, or plain processes."
            )
        fully_shard(
            layer,
            mesh=mesh,
            reshard_after_forward=bool(plugin.reshard_after_forward),
            ignored_params=trained,
        )


def language_layers(model: nn.Module) -> list[nn.Module]:
    """The decoder layers of a model's language part, of any family."""
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and name.endswith(
            ("language_model.layers", "text_model.layers")
        ):
            return list(module)
    raise SettingsError("This model has no language layers that FSDP could share out. Use plain processes.")


def in_step(parts: list[list[TrainRow]]) -> list[list[TrainRow]]:
    """A process's micro-batches, and as many idle ones as the process with the most has more.

    An idle one is a row from which nothing is learnt.
    """
    wanted = max(parallel.gather(len(parts)))
    if wanted and not parts:
        raise SettingsError("A process has no rows in this step. Use a batch of at least as many examples.")
    idle = [TrainRow(replace(row.layout, answers=())) for part in parts[:1] for row in part[:1]]
    return parts + [idle] * (wanted - len(parts))
