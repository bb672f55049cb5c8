"""A checkpoint in 4 bits as it is stored: the language layers in NF4, the embeddings in 8 bits.

    pack(model, processor, out, rows)        # rows of token ids: what the rounding may cost least on
    fill_embeddings(model, folder)           # after Transformers has read the rest
    bundle(packed, adapter, out, settings)   # with the LoRA, head and projector trained on it

The NF4 part is what bitsandbytes writes (blocks of 64 inputs, their sizes quantised again), so that
Transformers opens it. The rounding follows GPTQ (Frantar et al. 2022, algorithm 1): after each column, those
that are not yet rounded take up the error, weighted by what the layer reads. Not covered: training.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sugar.errors import ModelError
from sugar.model.adapters import HEAD_FILE
from sugar.model.checkpoint import LORA, read_settings, read_shards, read_tensors, reason, write_settings

BLOCK, NESTED_BLOCK = 64, 256
SHARD = "8MB"
EMBEDDINGS = "embeddings*.safetensors"
SHRINKS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)
"""Of a block's largest weight: the size that is tried for the block."""
DAMPING = 0.01
"""Share of the mean diagonal that is added to what a layer reads (GPTQ, section 3.3)."""
ROWS_AT_ONCE = 16

# -- the rounding ----------------------------------------------------------------------------------


class Rounded:
    """A matrix on the NF4 grid: codes (out, in) uint8 and block sizes (out, in / 64) float32."""

    def __init__(self, codes: Tensor, sizes: Tensor) -> None:
        from bitsandbytes import functional

        self.offset = sizes.mean()
        flat = (sizes - self.offset).flatten()
        self.codes, (self.nested, self.state) = (
            codes,
            functional.quantize_blockwise(flat, blocksize=NESTED_BLOCK),
        )

    def tensors(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """What bitsandbytes stores of the layer, by the end of the name."""
        from bitsandbytes.functional import QuantState

        state = QuantState(
            absmax=self.nested,
            shape=self.codes.shape,
            code=grid(),
            blocksize=BLOCK,
            quant_type="nf4",
            dtype=dtype,
            offset=self.offset,
            state2=self.state,
        )
        flat = self.codes.flatten()
        halves = ((flat[::2] << 4) | flat[1::2]).reshape(-1, 1)  # (out * in / 2, 1): two weights a byte
        return {"": halves, **{f".{key}": value for key, value in state.as_dict(packed=True).items()}}

    def widened(self) -> Tensor:
        """(out, in) float32: what a layer computes with."""
        from bitsandbytes import functional

        sizes = functional.dequantize_blockwise(self.nested, self.state) + self.offset
        blocks = grid()[self.codes.long()].view(len(self.codes), -1, BLOCK)
        return (blocks * sizes.view(len(self.codes), -1, 1)).flatten(1)


def grid() -> Tensor:
    """The 16 values of NF4, ascending."""
    from bitsandbytes.functional import get_4bit_type

    return get_4bit_type("nf4", device="cpu")


def round_matrix(weight: Tensor, reads: Tensor) -> Rounded:
    """weight (out, in) onto the grid; reads (in, in): the sum of x x^T over what the layer reads.

    A block's size is the one of `SHRINKS` that costs least.
    """
    values = grid()
    borders = (values[1:] + values[:-1]) / 2
    left = weight.float().clone()
    out, width = left.shape
    damped = reads + torch.eye(width) * reads.diagonal().mean() * DAMPING
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    upper = torch.linalg.cholesky(inverse, upper=True)  # (in, in)
    codes = torch.zeros(out, width, dtype=torch.uint8)
    sizes = torch.zeros(out, width // BLOCK)
    for start in range(0, width, BLOCK):
        end = start + BLOCK
        block, matters = left[:, start:end], upper.diagonal()[start:end] ** -2
        tried = block.abs().amax(1) * torch.tensor(SHRINKS)[:, None]  # (shrinks, out)
        costs = torch.stack(
            [
                ((values[torch.bucketize(block / t, borders)] * t - block) ** 2 * matters).sum(1)
                for t in tried[..., None]
            ]
        )
        size = tried.gather(0, costs.argmin(0)[None])[0].clamp_min(1e-12)  # (out,)
        sizes[:, start // BLOCK] = size
        errors = torch.zeros(out, BLOCK)
        for n, column in enumerate(range(start, end)):
            code = torch.bucketize(left[:, column] / size, borders)
            codes[:, column] = code
            errors[:, n] = (left[:, column] - values[code] * size) / upper[column, column]
            left[:, column + 1 : end] -= errors[:, n, None] * upper[column, column + 1 : end]
        left[:, end:] -= errors @ upper[start:end, end:]
    return Rounded(codes, sizes)


class _Caught(Exception):
    """Ends a forward pass before its first layer."""


def _add_reads(reads: dict[nn.Module, Tensor], layer: nn.Module, arguments: tuple[Any, ...]) -> None:
    x = arguments[0].flatten(0, -2).float()  # (tokens, in)
    reads[layer] += x.T @ x


def round_layers(model: Any, rows: Tensor) -> dict[str, Rounded]:
    """Every linear layer of the language model onto the grid, in place; the results by full name.

    Layers come one after the other, each reading what the rounded ones before it give. rows (N, T): token
    ids.
    """
    layers = model.get_decoder().layers
    names = {module: name for name, module in model.named_modules()}
    caught: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def catch(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        caught.append((arguments, {**named, "past_key_values": None, "use_cache": False}))
        raise _Caught

    hook = layers[0].register_forward_pre_hook(catch, with_kwargs=True)
    for part in rows.split(ROWS_AT_ONCE):
        with contextlib.suppress(_Caught):
            model(input_ids=part, use_cache=False)
    hook.remove()
    found: dict[str, Rounded] = {}
    states = [arguments[0] for arguments, _ in caught]
    for layer in layers:
        linears = [m for m in layer.modules() if isinstance(m, nn.Linear) and m.in_features % BLOCK == 0]
        todo = linears
        while todo:  # those that read the same are rounded at once, before those that read what they give
            reads: dict[nn.Module, Tensor] = {
                linear: torch.zeros(linear.in_features, linear.in_features) for linear in todo
            }
            hooks = [linear.register_forward_pre_hook(partial(_add_reads, reads)) for linear in todo]
            for x, (arguments, named) in zip(states, caught, strict=True):
                layer(x, *arguments[1:], **named)
            for h in hooks:
                h.remove()
            same = [m for m in todo if torch.equal(reads[m], reads[todo[0]])]
            for linear in same:
                done = found[f"{names[linear]}.weight"] = round_matrix(linear.weight.data, reads[linear])
                linear.weight.data.copy_(done.widened())
            todo = [m for m in todo if m not in same]
        given = [layer(x, *a[1:], **named) for x, (a, named) in zip(states, caught, strict=True)]
        states = [g[0] if isinstance(g, tuple) else g for g in given]
    return found


# -- embeddings in 8 bits --------------------------------------------------------------------------


def round_embeddings(table: Tensor) -> tuple[Tensor, Tensor]:
    """(V, D) -> rows int8 and a scale for each, (V, 1) float16."""
    scale = (table.float().abs().amax(1, keepdim=True) / 127).clamp_min(1e-6).half()
    return (table.float() / scale.float()).round().clamp(-127, 127).to(torch.int8), scale


def read_embeddings(folder: Path) -> Tensor | None:
    """The table (V, D) float32 of a folder that stores it in 8 bits, or None.

    Raises ModelError for a damaged one.
    """
    tensors = {
        key: value for path in sorted(folder.glob(EMBEDDINGS)) for key, value in read_tensors(path).items()
    }
    if not tensors:
        return None
    try:
        parts = [tensors[f"rows.{n}"].float() for n in range(len(tensors) - 1)]
        return torch.cat(parts) * tensors["scale"].float()
    except (KeyError, RuntimeError) as error:
        raise ModelError(
            f"The embeddings in {folder} are damaged ({reason(error)}). Download them again."
        ) from error


# -- back into memory ------------------------------------------------------------------------------


def fill_embeddings(model: Any, folder: Path) -> None:
    """Put a folder's 8-bit embeddings into a model that was read without them, for both ends of it."""
    if (table := read_embeddings(folder)) is not None:
        weight = model.get_input_embeddings().weight
        weight.data = table.to(weight.dtype).to(weight.device)
        model.tie_weights()


# -- folders ---------------------------------------------------------------------------------------


def pack(model: Any, processor: Any, out: Path, rows: Tensor) -> None:
    """Write a checkpoint in 4 bits. The model computes with the rounded weights afterwards.

    model: of Transformers, on a CPU, in float32. rows (N, T): token ids to round by, some ten thousand.
    """
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        eight, scale = round_embeddings(table)
        table.copy_(eight.float() * scale.float())
        write(model, processor, out, round_layers(model, rows), eight, scale)


def write(
    model: Any, processor: Any, out: Path, layers: dict[str, Rounded], eight: Tensor, scale: Tensor
) -> None:
    """Write the folder of a packed checkpoint. layers: the matrices by the full names of their weights."""
    from huggingface_hub import save_torch_state_dict
    from transformers import BitsAndBytesConfig

    out.mkdir(parents=True, exist_ok=True)
    table = model.get_input_embeddings().weight.data_ptr()
    weights: dict[str, Tensor] = {}
    for key, value in model.state_dict().items():
        if key in layers:
            weights |= {f"{key}{end}": tensor for end, tensor in layers[key].tensors(torch.bfloat16).items()}
        elif value.data_ptr() != table:
            weights[key] = value.bfloat16() if value.is_floating_point() else value
    save_torch_state_dict(weights, out, max_shard_size=SHARD)
    parts = {f"rows.{n}": part.clone() for n, part in enumerate(eight.split((8 << 20) // eight.shape[1]))}
    save_torch_state_dict(
        {**parts, "scale": scale},
        out,
        max_shard_size=SHARD,
        filename_pattern="embeddings{suffix}.safetensors",
    )
    (out / "embeddings.safetensors.index.json").unlink(missing_ok=True)  # the tensors' names are enough
    config = model.config.to_dict()
    rounded = {key.removesuffix(".weight") for key in layers}
    config["dtype"] = "bfloat16"
    config["quantization_config"] = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=[
            n for n, m in model.named_modules() if isinstance(m, nn.Linear) and n not in rounded
        ],
    ).to_dict()
    (out / "config.json").write_text(json.dumps(config, indent=1, default=str) + "\n", "utf-8")
    model.generation_config.save_pretrained(out)
    processor.save_pretrained(out)


def bundle(packed: Path, adapter: Path, out: Path, settings: dict[str, Any]) -> None:
    """Write a checkpoint of a packed base and an adapter trained on it, beside it and in 16 bits.

    settings: of `sugar.json`, beside the head's sizes.
    """
    from huggingface_hub import save_torch_state_dict
    from safetensors.torch import save_file

    head = read_settings(adapter).get("head")
    shutil.copytree(packed, out, dirs_exist_ok=True)
    (out / LORA).mkdir(exist_ok=True)

    def half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {key: tensor.half() for key, tensor in tensors.items()}

    tensors = half(read_shards(adapter, "adapter_model"))
    save_torch_state_dict(
        tensors, out / LORA, max_shard_size=SHARD, filename_pattern="adapter_model{suffix}.safetensors"
    )
    shutil.copy(adapter / "adapter_config.json", out / LORA)
    save_file(half(read_tensors(adapter / HEAD_FILE)), out / HEAD_FILE)
    write_settings(out, **settings, head=head)
