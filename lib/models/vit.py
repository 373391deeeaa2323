"""The Vision Transformer: an image is cut into patches, and the patches are read like the words of a sentence.

Shapes: images (B, channels, height, width), patches (B, N, channels * patch_size ** 2), hidden states
(B, 1 + N, d_model), the class token first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import MultiHeadAttention
from lib.models.checkpoint import load_weights, read_config, read_tensors, renamed, require
from lib.models.contracts import check_epsilon, check_share, check_sizes
from lib.positional import LearnedPositions, sinusoidal_positions
from lib.reference.contracts import check_count, check_floats, check_rank
from lib.transformer import Encoder, EncoderLayer, FeedForward, PreNorm

# From the names of published files, old and new, to ours. The patterns are tried in this order.
RENAME = (
    (r"^vit\.", ""),
    (r"^embeddings\.cls_token$", "class_token"),
    (r"^embeddings\.position_embeddings$", "positions.weight"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patches."),
    (r"^(encoder\.layer|layers)\.", "encoder.layers."),
    (r"attention\.(attention\.query|q_proj)\.", "attention.w_query."),
    (r"attention\.(attention\.key|k_proj)\.", "attention.w_key."),
    (r"attention\.(attention\.value|v_proj)\.", "attention.w_value."),
    (r"attention\.(output\.dense|o_proj)\.", "attention.w_output."),
    (r"\.(intermediate\.dense|mlp\.fc1)\.", ".feed_forward.widen."),
    (r"\.(output\.dense|mlp\.fc2)\.", ".feed_forward.narrow."),
    (r"layernorm_before\.", "around_attention.norm."),
    (r"layernorm_after\.", "around_feed_forward.norm."),
    (r"^layernorm\.", "encoder.norm."),
    (r"^pooler\.dense\.", "pooler."),
    (r"^classifier\.", "head."),
)


@dataclass(frozen=True)
class ViTConfig:
    """The sizes of a Vision Transformer.

    Source: Dosovitskiy et al. 2020, table 1, arXiv:2010.11929, which prints 86M parameters for Base and 307M for Large.
    The released checkpoints for ImageNet's 1,000 classes have 86,567,656 (B/16) and 304,326,632 (L/16).

    Raises:
        ValueError: When a size is not an integer of at least 1 (`num_classes`: 0), d_model is not divisible by
            `num_heads`, the patches do not cover the image exactly, or `dropout` is not at least 0 and below 1.

    Example:
        >>> config = ViTConfig.b16()
        >>> config.num_patches
        196
    """

    image_size: int = 224  # height and width, in pixels
    patch_size: int = 16
    stride: int = 16  # from one patch to the next; below patch_size they overlap
    channels: int = 3
    num_classes: int = 1000  # 0: no head, the model gives the class token's vector
    d_model: int = 768
    num_heads: int = 12
    num_layers: int = 12
    d_ff: int = 3072
    pooler: bool = False  # the hidden layer that the paper's head has in pre-training only (section 3.1)
    bias: bool = True  # of queries, keys and values; their output has one always
    dropout: float = 0.0
    norm_epsilon: float = 1e-12  # of the released checkpoints' configs; the paper's own code has 1e-6

    def __post_init__(self) -> None:
        check_sizes(self, image_size=1, patch_size=1, stride=1, channels=1, num_classes=0, num_layers=1, d_ff=1)
        check_share("dropout", self.dropout)
        check_epsilon("norm_epsilon", self.norm_epsilon)
        if self.patch_size > self.image_size:
            raise ValueError(f"patch_size={self.patch_size} is larger than image_size={self.image_size}")
        if self.stride > self.patch_size:
            raise ValueError(f"stride={self.stride} leaves gaps between patches of patch_size={self.patch_size}")
        rest = (self.image_size - self.patch_size) % self.stride
        if rest:
            raise ValueError(
                f"patches of patch_size={self.patch_size} every stride={self.stride} pixels leave {rest} pixels "
                f"of image_size={self.image_size} uncovered"
            )

    @property
    def num_patches(self) -> int:
        """Number of patches: the square of how many stand side by side."""
        return ((self.image_size - self.patch_size) // self.stride + 1) ** 2

    @classmethod
    def b16(cls, **changes: Any) -> "ViTConfig":
        """ViT-B/16 for images of 224 by 224 pixels; `changes` replace single fields."""
        return cls(**changes)

    @classmethod
    def l16(cls, **changes: Any) -> "ViTConfig":
        """ViT-L/16 for images of 224 by 224 pixels."""
        return cls(**{"d_model": 1024, "num_heads": 16, "num_layers": 24, "d_ff": 4096, **changes})

    @classmethod
    def tiny(cls, **changes: Any) -> "ViTConfig":
        """A few layers for grey images of 8 by 8 pixels and ten classes: trains in seconds."""
        small = {"image_size": 8, "patch_size": 2, "stride": 2, "channels": 1, "num_classes": 10}
        return cls(**{**small, "d_model": 64, "num_heads": 4, "num_layers": 3, "d_ff": 128, **changes})


def to_patches(images: Tensor, patch_size: int, stride: int | None = None) -> Tensor:
    r"""Cut images into square patches and lay the pixels of each in a row.

    The patches stand in reading order. Inside one, the pixels of the first channel come first, row by row.

    Source: Dosovitskiy et al. 2020, section 3.1, arXiv:2010.11929.
    Differs: patches may overlap; the pixels of a patch are ordered as a convolution's kernel is.

    Args:
        images: (B, C, height, width).
        patch_size: Height and width P of a patch.
        stride: From one patch to the next; P when left out, so that every pixel is in one patch.

    Returns:
        (B, N, C P^2).

    Raises:
        ValueError: When the images are not floating point or of another rank, a size is not an integer of at least 1,
            or a patch is larger than the image.

    Example:
        >>> to_patches(torch.arange(16.0).reshape(1, 1, 4, 4), 2)[0, :2]
        tensor([[0., 1., 4., 5.],
                [2., 3., 6., 7.]])
    """
    check_floats(images=images)
    check_rank(4, images=images)
    stride = patch_size if stride is None else stride
    check_count("patch_size", patch_size)
    check_count("stride", stride)
    if patch_size > min(images.shape[2:]):
        raise ValueError(f"patch_size={patch_size} is larger than the images of {images.shape[2]} x {images.shape[3]}")
    return F.unfold(images, patch_size, stride=stride).transpose(1, 2)  # (B, N, C P^2)


def sinusoidal_start(length: int, d_model: int, *, scale: float = 0.1) -> LearnedPositions:
    """Make learned positions that start as small sinusoids instead of noise: neighbours begin alike.

    Args:
        length: Number of places.
        d_model: Width; even.
        scale: Factor of the sinusoids.

    Returns:
        The positions, to be trained on.

    Raises:
        ValueError: As `sinusoidal_positions`.

    Example:
        >>> sinusoidal_start(2, 4).weight.detach()
        tensor([[0.0000, 0.1000, 0.0000, 0.1000],
                [0.0841, 0.0540, 0.0010, 0.1000]])
    """
    start = scale * sinusoidal_positions(length, d_model)
    positions = LearnedPositions(length, d_model)
    with torch.no_grad():
        positions.weight.copy_(start)
    return positions


class ViT(nn.Module):
    r"""Classify an image by an encoder that reads its patches, through a token that stands in front of them.

    $$z_0 = [x_{class};\; x_1 E;\; \ldots;\; x_N E] + P, \qquad y = \mathrm{norm}(\mathrm{Encoder}(z_0))_{class}\, W$$

    Source: Dosovitskiy et al. 2020, section 3.1, equations 1 to 4, arXiv:2010.11929.
    Differs: patches may overlap (`stride`); other positions can be injected; no dropout on the attention weights.

    Args:
        config: The sizes.
        positions: Makes, for 1 + N places and a width, what tells the places: `LearnedPositions` as in the paper,
            `sinusoidal_start`, or `nn.Identity` for none.

    Example:
        >>> ViT(ViTConfig.tiny())(torch.rand(3, 1, 8, 8)).shape
        torch.Size([3, 10])
    """

    def __init__(self, config: ViTConfig, *, positions: Callable[[int, int], nn.Module] = LearnedPositions) -> None:
        super().__init__()
        self.config = config
        norm = partial(nn.LayerNorm, eps=config.norm_epsilon)
        self.patches = nn.Conv2d(config.channels, config.d_model, config.patch_size, config.stride)
        self.class_token = nn.Parameter(torch.empty(config.d_model))
        nn.init.normal_(self.class_token, std=0.02)
        self.positions = positions(1 + config.num_patches, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        layers = (
            EncoderLayer(
                config.d_model,
                config.num_heads,
                config.d_ff,
                connection=partial(PreNorm, norm=norm),
                activation=F.gelu,
                dropout=config.dropout,
                attention=partial(_attention, bias=config.bias),
                feed_forward=FeedForward,
            )
            for _ in range(config.num_layers)
        )
        self.encoder = Encoder(layers, norm(config.d_model))
        self.pooler = nn.Linear(config.d_model, config.d_model) if config.pooler else None
        self.head = nn.Linear(config.d_model, config.num_classes) if config.num_classes else nn.Identity()

    def embed(self, images: Tensor) -> Tensor:
        """Turn images (B, channels, height, width) into what the encoder reads: (B, 1 + N, d_model).

        Raises:
            ValueError: When the images are not floating point, of another rank, size or number of channels, or empty.
        """
        check_floats(images=images)
        check_rank(4, images=images)
        B, channels, height, width = images.shape
        side = self.config.image_size
        if B == 0:
            raise ValueError(f"images is empty: shape {tuple(images.shape)}")
        if channels != self.config.channels:
            raise ValueError(f"images have {channels} channels but the model reads {self.config.channels}")
        if (height, width) != (side, side):
            raise ValueError(f"images are {height} x {width} but the model reads {side} x {side}")
        patches = self.patches(images).flatten(2).transpose(1, 2)  # (B, N, d_model)
        tokens = torch.cat([self.class_token.expand(B, 1, -1), patches], dim=1)  # (B, 1 + N, d_model)
        return self.dropout(self.positions(tokens))

    def encode(self, images: Tensor) -> Tensor:
        """Turn images (B, channels, height, width) into hidden states (B, 1 + N, d_model), normalised at the end."""
        return self.encoder(self.embed(images))

    def answer(self, hidden: Tensor) -> Tensor:
        """Answer from the hidden states (B, 1 + N, d_model): the class token says it, (B, num_classes)."""
        token = hidden[:, 0]  # (B, d_model)
        return self.head(token if self.pooler is None else self.pooler(token).tanh())

    def forward(self, images: Tensor) -> Tensor:
        """Classify images.

        Args:
            images: (B, channels, height, width), scaled as in training; the released models want -1 to 1.

        Returns:
            Logits (B, num_classes). Without classes the class token's vector (B, d_model), pooled if there is a pooler.

        Raises:
            ValueError: As `embed`.
        """
        return self.answer(self.encode(images))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "ViT":
        r"""Read a checkpoint folder of a Hugging Face `ViTForImageClassification` or `ViTModel`.

        For instance, once `hf download google/vit-base-patch16-224 --local-dir vit` has fetched one,
        `ViT.from_pretrained("vit")` classifies images (B, 3, 224, 224) with values from -1 to 1.

        Args:
            folder: Holds config.json and the weights as safetensors.

        Returns:
            The model, ready to classify (`eval`). Without a classifier in the checkpoint it has no head.

        Raises:
            FileNotFoundError: When a file is missing.
            ValueError: When it is no ViT, asks for what we do not implement, or its weights do not fit.
        """
        published = read_config(folder, model_type="vit")
        require(published, hidden_act="gelu", pooler_act="tanh")
        require(published, pooler_output_size=published["hidden_size"])
        tensors = renamed(read_tensors(folder), RENAME)
        config = _config(published, tensors)
        model = cls(config)
        for name in ("class_token", "positions.weight"):  # published with an axis of 1 for the batch
            if name in tensors:
                tensors[name] = tensors[name].squeeze(0).squeeze(0)
        unused = [r"embeddings\.mask_token$"] + ([] if config.pooler else [r"pooler\."])
        load_weights(model, tensors, ignore=unused)
        return model.eval()


def _attention(d_model: int, num_heads: int, *, bias: bool) -> MultiHeadAttention:
    """Make attention whose output has a bias in any case."""
    attention = MultiHeadAttention(d_model, num_heads, bias=bias)
    if not bias:
        attention.w_output.bias = nn.Parameter(torch.zeros(d_model))
    return attention


def _config(published: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> ViTConfig:
    """Turn a published config into ours; whether there are a head and a pooler only the weights say."""
    has_head = "head.weight" in tensors
    return ViTConfig(
        image_size=_side(published, "image_size", 224),
        patch_size=_side(published, "patch_size", 16),
        stride=_side(published, "patch_size", 16),
        channels=published.get("num_channels", 3),
        num_classes=tensors["head.weight"].shape[0] if has_head else 0,
        d_model=published["hidden_size"],
        num_heads=published["num_attention_heads"],
        num_layers=published["num_hidden_layers"],
        d_ff=published["intermediate_size"],
        pooler="pooler.weight" in tensors and not has_head,
        bias=published.get("qkv_bias", True),
        dropout=published.get("hidden_dropout_prob", 0.0),
        norm_epsilon=published.get("layer_norm_eps", 1e-12),
    )


def _side(published: Mapping[str, Any], name: str, default: int) -> int:
    """Read the side of a square, given as one number or as two equal ones."""
    value = published.get(name, default)
    sides = [value] if isinstance(value, int) else list(value)
    if len(set(sides)) != 1:
        raise ValueError(f"this checkpoint has {name}={value!r} but only squares are implemented")
    return sides[0]
