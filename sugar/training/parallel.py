"""Several processes as one: sums, gathered embeddings, summed gradients. With one process every function is
the identity.

    join()                                           # before a task is made: it reads its own share of rows
    everyone = gather(mine)                          # lists of all processes, in order
    # (P, D) of all processes, and the slice that is this process's
    rows, own = gather_rows(embeddings, counts)
    sum_gradients(parameters)

Each process computes the gradient of its own rows; sums are added up once a step, so that the result is that
of one process with the whole batch. No module is wrapped, so DDP's rules about unused weights do not apply.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sugar.errors import SettingsError

T = TypeVar("T")
BUCKET = 64 << 20
"""Bytes of gradients that are added up in one call."""


def join() -> None:
    """Meet the other processes of `accelerate launch`, each on a card of its own.

    Does nothing the second time. Raises SettingsError under DeepSpeed.
    """
    from accelerate import PartialState

    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() == "true":
        raise SettingsError(
            "DeepSpeed would share out gradients and moments, which are small for an adapter. Use "
            "sugar/training/launch/fsdp.yaml, which shares out the base."
        )
    PartialState(cpu=not torch.cuda.is_available())


def world() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if world() > 1 else 0


def barrier() -> None:
    if world() > 1:
        dist.barrier()


def total(value: float) -> float:
    """The sum of a number over all processes."""
    if world() == 1:
        return value
    found: list[float] = [0.0] * world()
    dist.all_gather_object(found, float(value))
    return sum(found)


def gather(value: T) -> list[T]:
    """Any picklable value of every process, in order."""
    if world() == 1:
        return [value]
    found: list[T] = [value] * world()
    dist.all_gather_object(found, value)
    return found


def gather_rows(rows: Tensor, counts: Sequence[int]) -> tuple[Tensor, slice]:
    """All processes' rows (sum of counts, D) without gradients, and where this process's stand.

    rows: (counts[rank], D).
    """
    start = sum(counts[: rank()])
    own = slice(start, start + len(rows))
    if world() == 1:
        return rows.detach(), own
    padded = rows.detach().new_zeros(max(counts), rows.shape[1])
    padded[: len(rows)] = rows.detach()
    found = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(found, padded.contiguous())
    return torch.cat([f[:n] for f, n in zip(found, counts, strict=True)]), own


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Add up the gradients of all processes.

    A weight that some process used counts as 0 in the others; one that no process used keeps no gradient, so
    that the optimiser leaves it and its state alone, as with one process.
    """
    if world() == 1:
        return
    trained = [p for p in parameters if p.requires_grad]
    used = torch.tensor([p.grad is not None for p in trained], dtype=torch.int32, device=trained[0].device)
    dist.all_reduce(used)
    bucket: list[Tensor] = []
    size = 0
    for p, count in zip(trained, used.tolist(), strict=True):
        if not count:
            continue
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        bucket.append(p.grad)
        size += p.grad.numel() * p.grad.element_size()
        if size > BUCKET:
            _reduce(bucket)
            bucket, size = [], 0
    _reduce(bucket)


def _reduce(bucket: list[Tensor]) -> None:
    for dtype in {g.dtype for g in bucket}:
        same = [g for g in bucket if g.dtype == dtype]
        flat = torch.cat([g.reshape(-1) for g in same])
        dist.all_reduce(flat)
        at = 0
        for g in same:
            g.copy_(flat[at : at + g.numel()].view_as(g))
            at += g.numel()


# --- a base shared out between processes --------------------------------------------------------------------
#
# A frozen layer's weights are gathered while it runs and let go after it (`fully_shard`, FSDP2). LoRA and
# head stay whole, with their gradients and moments, and so are checkpoints. Every process must run the layers
# equally often: `in_step` adds what is missing. Each process reads the whole base first; one in 4 bits is not
# shared out.


def shares_base() -> bool:
    """Whether the base's frozen layers are shared out (FSDP): accelerate says so, and there are several
    processes."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true" and world() > 1


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
    mesh = init_device_mesh(next(model.parameters()).device.type, (world(),))
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


def in_step(parts: list[list[Any]]) -> list[list[Any]]:
    """A process's micro-batches, and as many idle ones as the process with the most has more.

    An idle one is a row from which nothing is learnt.
    """
    wanted = max(gather(len(parts)))
    if wanted and not parts:
        raise SettingsError("A process has no rows in this step. Use a batch of at least as many examples.")
    idle = (
        [replace(row, layout=replace(row.layout, answers=()), spans=[], indices=[]) for row in parts[0][:1]]
        if parts
        else []
    )
    return parts + [idle] * (wanted - len(parts))
