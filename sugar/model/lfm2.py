"""LFM2-VL's pictures without torchvision: what Transformers' `Lfm2VlImageProcessor` makes of them, by Pillow.

    pictures = Lfm2VlImageProcessorPil.from_pretrained(folder)
    pictures([image], return_tensors="pt")      # pixel_values (tiles, patches, numbers), masks, shapes

A small picture is one tile of its own shape; a large one is cut into tiles of one size, in the grid whose
shape is nearest its own, with the whole in small behind them. Settings and names are those of the
checkpoint's `preprocessor_config.json`. Not covered: a Transformers that brings its own without torchvision.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_processing_backends import PilBackend
from transformers.image_transforms import resize
from transformers.processing_utils import ImagesKwargs


class Lfm2Settings(ImagesKwargs, total=False):
    downsample_factor: int
    do_image_splitting: bool
    min_tiles: int
    max_tiles: int
    use_thumbnail: bool
    min_image_tokens: int
    max_image_tokens: int
    encoder_patch_size: int
    tile_size: int
    max_pixels_tolerance: float
    return_row_col_info: bool


class Lfm2VlImageProcessorPil(PilBackend):
    """See the module docstring."""

    valid_kwargs = Lfm2Settings
    model_input_names = ["pixel_values", "pixel_attention_mask", "spatial_shapes"]
    downsample_factor = 2
    do_image_splitting = True
    min_tiles = 2
    max_tiles = 10
    use_thumbnail = True
    min_image_tokens = 64
    max_image_tokens = 256
    encoder_patch_size = 16
    tile_size = 512
    max_pixels_tolerance = 2.0
    do_resize = True
    size = {"height": 512, "width": 512}
    resample = 2
    do_rescale = True
    rescale_factor = 1 / 255
    do_normalize = True
    do_pad = True
    do_convert_rgb = True
    return_row_col_info = False
    image_mean = [0.5, 0.5, 0.5]
    image_std = [0.5, 0.5, 0.5]

    def _preprocess(  # type: ignore[override]
        self,
        images: list[np.ndarray],
        do_rescale: bool,
        rescale_factor: float,
        do_normalize: bool,
        image_mean: Any,
        image_std: Any,
        resample: Any,
        return_tensors: Any,
        **s: Any,
    ) -> BatchFeature:
        """images: (3, height, width) each."""
        patch, unit = s["encoder_patch_size"], s["encoder_patch_size"] * s["downsample_factor"]
        most = s["max_image_tokens"] * s["downsample_factor"] ** 2
        if s["do_image_splitting"]:
            most = max(most, (s["tile_size"] // patch) ** 2)
        values, masks, shapes, rows, columns, sizes = [], [], [], [], [], []
        for image in images:
            height, width = image.shape[1:]
            whole = _whole_size(height, width, unit, s["min_image_tokens"], s["max_image_tokens"])
            near = max(patch, round(height / unit) * unit) * max(patch, round(width / unit) * unit)
            large = near > s["max_image_tokens"] * unit**2 * s["max_pixels_tolerance"]
            across, down = 1, 1
            tiles = [resize(image, size=whole, resample=resample)]
            if large and s["do_image_splitting"] and s["max_tiles"] > 1:
                across, down = _grid(height, width, s["min_tiles"], s["max_tiles"], s["tile_size"])
                side = s["tile_size"]
                big = resize(image, size=(down * side, across * side), resample=resample)
                cut = [
                    big[:, y * side : (y + 1) * side, x * side : (x + 1) * side]
                    for y in range(down)
                    for x in range(across)
                ]
                tiles = [*cut, *(tiles if s["use_thumbnail"] and across * down > 1 else [])]
            for tile in tiles:
                if do_rescale:
                    tile = self.rescale(image=tile, scale=rescale_factor)
                if do_normalize:
                    tile = self.normalize(image=tile, mean=image_mean, std=image_std)
                high, wide = tile.shape[1] // patch, tile.shape[2] // patch
                cells = tile.reshape(3, high, patch, wide, patch).transpose(1, 3, 2, 4, 0)
                flat = cells.reshape(high * wide, -1).astype(np.float32)  # (patches, patch * patch * 3)
                values.append(np.pad(flat, ((0, most - len(flat)), (0, 0))))
                masks.append((np.arange(most) < len(flat)).astype(np.int32))
                shapes.append([high, wide])
            rows.append(down)
            columns.append(across)
            sizes.append(list(whole))
        data: dict[str, Any] = {"pixel_values": np.stack(values), "pixel_attention_mask": np.stack(masks)}
        data["spatial_shapes"] = np.array(shapes)
        if s["return_row_col_info"]:
            data |= {"image_rows": rows, "image_cols": columns, "image_sizes": sizes}
        return BatchFeature(data=data, tensor_type=return_tensors)


def _whole_size(height: int, width: int, unit: int, least: int, most: int) -> tuple[int, int]:
    """(height, width) in multiples of `unit`, of `least` to `most` squares of that side, as near the shape as
    they come.
    """
    high, wide = (max(unit, round(side / unit) * unit) for side in (height, width))
    if high * wide > most * unit**2:
        shrink = math.sqrt(height * width / (most * unit**2))
        high, wide = (max(unit, math.floor(side / shrink / unit) * unit) for side in (height, width))
    elif high * wide < least * unit**2:
        grow = math.sqrt(least * unit**2 / (height * width))
        high, wide = (math.ceil(side * grow / unit) * unit for side in (height, width))
    return high, wide


def _grid(height: int, width: int, least: int, most: int, side: int) -> tuple[int, int]:
    """(columns, rows) of the grid of `least` to `most` tiles whose shape is nearest the picture's; of equals
    the larger one that the picture more than half fills.
    """
    grids = {(x, y) for x in range(1, most + 1) for y in range(1, most + 1) if least <= x * y <= most}
    best, apart = (1, 1), math.inf
    for x, y in sorted(grids, key=lambda grid: (grid[0] * grid[1], grid)):
        gap = abs(width / height - x / y)
        if gap < apart or (gap == apart and width * height > 0.5 * side * side * x * y):
            best, apart = (x, y), min(gap, apart)
    return best
