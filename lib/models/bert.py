"""BERT: an encoder that sees both sides, trained to fill in hidden tokens.

Shapes: tokens (B, T) integers, hidden states (B, T, d_model), logits (B, T, vocab_size). Masks are boolean, True means
*may attend*.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.masks import padding_mask
from lib.models.checkpoint import load_weights, read_config, read_tensors, renamed, require
from lib.models.contracts import check_epsilon, check_share, check_sizes, check_tokens
from lib.positional import LearnedPositions
from lib.transformer import Encoder, EncoderLayer, PostNorm

SPREAD = 0.02  # standard deviation of the weights at the start
# From the published names to ours, in this order.
RULES = [
    (r"^bert\.", ""),
    (r"\.gamma$", ".weight"),  # as TensorFlow called them; the oldest checkpoints still do
    (r"\.beta$", ".bias"),
    (r"^embeddings\.word_embeddings", "embeddings.tokens"),
    (r"^embeddings\.position_embeddings", "embeddings.positions"),
    (r"^embeddings\.token_type_embeddings", "embeddings.segments"),
    (r"^embeddings\.LayerNorm", "embeddings.norm"),
    (r"^encoder\.layer\.", "encoder.layers."),
    (r"\.attention\.self\.(query|key|value)", r".attention.w_\1"),
    (r"\.attention\.output\.dense", ".attention.w_output"),
    (r"\.attention\.output\.LayerNorm", ".around_attention.norm"),
    (r"\.intermediate\.dense", ".feed_forward.widen"),
    (r"(layers\.\d+)\.output\.dense", r"\1.feed_forward.narrow"),
    (r"(layers\.\d+)\.output\.LayerNorm", r"\1.around_feed_forward.norm"),
    (r"^cls\.predictions\.transform\.LayerNorm", "head.norm"),
    (r"^cls\.predictions\.transform", "head"),
    (r"^cls\.predictions\.(decoder\.)?bias", "head.bias"),  # stored once or twice
]
HARMLESS = (
    r"embeddings\.position_ids",  # 0, 1, 2 ...
    r"cls\.seq_relationship\.",  # the head that guessed whether two segments belong together
    r"cls\.predictions\.decoder\.",  # the token embeddings once more
)


@dataclass(frozen=True)
class BERTConfig:
    """The sizes of a BERT.

    Raises:
        ValueError: When a size is not an integer of at least 1, d_model is not divisible by `num_heads`, or `dropout`
            is not at least 0 and below 1.
    """

    vocab_size: int = 30522
    d_model: int = 768
    num_heads: int = 12
    num_layers: int = 12
    d_ff: int = 3072
    max_length: int = 512  # a longer text has no position embeddings
    num_segments: int = 2  # a question and its answer, a sentence and the next; 1 where there are no pairs
    dropout: float = 0.1  # of embeddings and sublayers
    norm_eps: float = 1e-12  # of the published code; larger ones are felt where a vector's variance is small

    def __post_init__(self) -> None:
        check_sizes(self, vocab_size=1, num_layers=1, d_ff=1, max_length=1, num_segments=1)
        check_share("dropout", self.dropout)
        check_epsilon("norm_eps", self.norm_eps)

    @classmethod
    def base(cls, **changes) -> "BERTConfig":
        """Give the sizes of bert-base-uncased: 109,482,240 parameters with the pooler; the paper says 110M."""
        return cls(**changes)

    @classmethod
    def large(cls, **changes) -> "BERTConfig":
        """Give the sizes of bert-large-uncased: 335,141,888 parameters with the pooler; the paper says 340M."""
        return cls(**{"d_model": 1024, "num_heads": 16, "num_layers": 24, "d_ff": 4096} | changes)

    @classmethod
    def tiny(cls, **changes) -> "BERTConfig":
        """Give sizes that train in seconds: 2 layers, 64 wide, one segment, no dropout."""
        sizes = {"vocab_size": 1000, "d_model": 64, "num_heads": 2, "num_layers": 2, "d_ff": 256, "max_length": 64}
        return cls(**sizes | {"num_segments": 1, "dropout": 0.0} | changes)


class Embeddings(nn.Module):
    """Turn tokens into vectors that also say at which place and in which segment the token stands.

    Source: Devlin et al. 2018, figure 2, arXiv:1810.04805; the normalisation and dropout are the published code's.
    """

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.positions = LearnedPositions(config.max_length, config.d_model)
        self.segments = nn.Embedding(config.num_segments, config.d_model)
        self.norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, segments: Tensor) -> Tensor:
        """Embed tokens (B, T) of segments (B, T)."""
        summed = self.positions(self.tokens(tokens) + self.segments(segments))  # (B, T, d_model)
        return self.dropout(self.norm(summed))


class Pooler(nn.Module):
    r"""Make one vector of a sequence from its first place, where [CLS] stands: $\tanh(W h_0 + b)$.

    Source: the published code of Devlin et al. 2018; trained with the guess whether two segments belong together.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.dense = nn.Linear(d_model, d_model)

    def forward(self, hidden: Tensor) -> Tensor:
        """Pool hidden states (B, T, d_model) to (B, d_model)."""
        return torch.tanh(self.dense(hidden[:, 0]))


class BERT(nn.Module):
    """Turn tokens into vectors, each of which has seen the tokens on both of its sides.

    Source: Devlin et al. 2018, section 3, arXiv:1810.04805.
    Differs: in training, dropout also inside the feed-forward network and none on the attention weights.

    Args:
        config: The sizes.
        pooler: Whether there is a `pooler`, to be called on the hidden states.

    Example:
        >>> model = BERT(BERTConfig.tiny())
        >>> hidden = model(torch.tensor([[1, 5, 7]]))
        >>> hidden.shape, model.pooler(hidden).shape
        (torch.Size([1, 3, 64]), torch.Size([1, 64]))
    """

    def __init__(self, config: BERTConfig, *, pooler: bool = True) -> None:
        super().__init__()
        self.config = config
        connection = partial(PostNorm, norm=partial(nn.LayerNorm, eps=config.norm_eps))
        sizes = (config.d_model, config.num_heads, config.d_ff)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(
            EncoderLayer(*sizes, connection=connection, activation=F.gelu, dropout=config.dropout)
            for _ in range(config.num_layers)
        )
        self.pooler = Pooler(config.d_model) if pooler else None
        self.apply(_start)

    def forward(self, tokens: Tensor, segments: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Compute the hidden states of the last layer.

        Args:
            tokens: (B, T) integers.
            segments: (B, T) integers, to which segment each token belongs; all to segment 0 when left out.
            mask: Boolean, True = may attend: (T, T), (B, T, T) for all heads, or (B, H, T, T); any axis may be 1. For
                padded batches `padding_mask(lengths, T)`. Every place sees every other when left out.

        Returns:
            (B, T, d_model).

        Raises:
            ValueError: When ids are outside their vocabulary, tokens are more than there are positions, segments are
                not of the tokens' shape, or the mask is not boolean or does not broadcast.
        """
        check_tokens(tokens, self.config.vocab_size, longest=self.config.max_length)
        segments = torch.zeros_like(tokens) if segments is None else segments
        check_tokens(segments, self.config.num_segments, name="segments")
        if segments.shape != tokens.shape:
            raise ValueError(f"segments has shape {tuple(segments.shape)} but tokens {tuple(tokens.shape)}")
        return self.encoder(self.embeddings(tokens, segments), mask)  # (B, T, d_model)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "BERT":
        """Load a published checkpoint, with a pooler when it has one; heads that stand on top are left out.

        Any folder will do that holds the `config.json` and `model.safetensors` of a BERT with absolute positions, for
        instance one from https://huggingface.co/google-bert/bert-base-chinese: `BERT.from_pretrained("that-folder")`.

        Raises:
            FileNotFoundError: When the folder holds no config or no safetensors.
            ValueError: When the config asks for what we do not implement, or the weights do not fit.
        """
        config, tensors = _read(folder)
        model = cls(config, pooler="pooler.dense.weight" in tensors)
        load_weights(model, tensors, ignore=(*HARMLESS, r"cls\.", r"head\.", r"classifier\.", r"qa_outputs\."))
        return model.eval()


class MaskedTokenHead(nn.Module):
    r"""Turn hidden states into logits: transform, normalise, compare with each token's embedding.

    $$\mathrm{logits} = \mathrm{norm}(\mathrm{GELU}(h W + b))\, E^\top + c$$

    Source: the published code of Devlin et al. 2018. $E$ are the model's token embeddings, given at the call.
    """

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.d_model, config.d_model)
        self.norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.apply(_start)

    def forward(self, hidden: Tensor, embeddings: Tensor) -> Tensor:
        """Compare hidden states (..., d_model) with embeddings (vocab_size, d_model)."""
        return F.linear(self.norm(F.gelu(self.dense(hidden))), embeddings, self.bias)  # (..., vocab_size)


class BERTForMaskedLM(nn.Module):
    """Guess the tokens that were hidden.

    Source: Devlin et al. 2018, section 3.1, arXiv:1810.04805.

    Args:
        config: The sizes.

    Example:
        >>> model = BERTForMaskedLM(BERTConfig.tiny())
        >>> tokens = torch.tensor([[1, 5, 7]])
        >>> model(tokens).shape, model(tokens, where=torch.tensor([[False, True, False]])).shape
        (torch.Size([1, 3, 1000]), torch.Size([1, 1000]))
    """

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = BERT(config, pooler=False)
        self.head = MaskedTokenHead(config)

    def forward(
        self,
        tokens: Tensor,
        segments: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        where: Tensor | None = None,
    ) -> Tensor:
        """Compute logits for every token of the vocabulary.

        Args:
            tokens: As for `BERT.forward`.
            segments: As for `BERT.forward`.
            mask: As for `BERT.forward`.
            where: Boolean (B, T): compute logits only for the N places that are True, row after row. In training these
                are the 15 %, and the head is a large part of a small model's work.

        Returns:
            (B, T, vocab_size), or (N, vocab_size) with `where`.

        Raises:
            ValueError: As `BERT.forward`, and when `where` is not boolean or not of the tokens' shape.
        """
        hidden = self.bert(tokens, segments, mask)
        if where is not None:
            _check_where("where", where, tokens)
            hidden = hidden[where]  # (N, d_model)
        return self.head(hidden, self.bert.embeddings.tokens.weight)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "BERTForMaskedLM":
        """Load a published checkpoint that has a masked-token head; a pooler is left out. As `BERT.from_pretrained`."""
        config, tensors = _read(folder)
        inside = re.compile(r"(embeddings|encoder)\.")
        names = {name: f"bert.{name}" if inside.match(name) else name for name in tensors}
        model = cls(config)
        tensors = {names[name]: tensor for name, tensor in tensors.items()}
        load_weights(model, tensors, ignore=(*HARMLESS, r"bert\.embeddings\.position_ids", r"pooler\."))
        return model.eval()


class MaskedTokens(NamedTuple):
    """What a model gets to see, and where it is asked."""

    tokens: Tensor  # (B, T), some replaced
    chosen: Tensor  # (B, T) boolean: the places to predict, replaced or not


def mask_tokens(
    tokens: Tensor,
    *,
    mask_id: int,
    vocab_size: int,
    special: Iterable[int] = (),
    share: float = 0.15,
    split: tuple[float, float, float] = (0.8, 0.1, 0.1),
    generator: torch.Generator | None = None,
) -> MaskedTokens:
    """Choose tokens at random for prediction, and hide most of them.

    Source: Devlin et al. 2018, section 3.1 and appendix A.1, arXiv:1810.04805.
    Differs: each token is chosen with probability `share`, where the published code takes that share of each sequence.

    Args:
        tokens: (B, T) integers.
        mask_id: The token that says "hidden".
        vocab_size: Tokens are 0 ... vocab_size - 1.
        special: Tokens that are never chosen and never drawn, such as [PAD], [CLS], [SEP] and the mask itself.
        share: Probability of each other token to be chosen.
        split: Of the chosen ones, the shares that become `mask_id`, become a random token, and stay as they are.
        generator: Draws the random numbers.

    Returns:
        The tokens with some replaced, and where they were chosen; the argument stays as it is.

    Raises:
        ValueError: When `share` or a part of `split` is not between 0 and 1, the split does not sum to 1, or token ids
            are outside the vocabulary, or all of them are special.

    Example:
        >>> tokens = torch.full((1, 10_000), 7)
        >>> seen, chosen = mask_tokens(tokens, mask_id=3, vocab_size=9, special=[0, 3], generator=torch.manual_seed(0))
        >>> round(chosen.float().mean().item(), 2), round((seen[chosen] == 3).float().mean().item(), 1)
        (0.15, 0.8)
    """
    check_tokens(tokens, vocab_size)
    check_tokens(torch.tensor([[mask_id]]), vocab_size, name="mask_id")
    if not all(0 <= part <= 1 for part in (share, *split)) or abs(sum(split) - 1) > 1e-6:
        raise ValueError(f"share={share} and split={split} must lie between 0 and 1, and the split must sum to 1")
    special = torch.tensor(sorted(set(special)), dtype=tokens.dtype, device=tokens.device)
    everything = torch.arange(vocab_size, dtype=tokens.dtype, device=tokens.device)
    ordinary = everything[~torch.isin(everything, special)]  # what a random token is drawn from
    if len(ordinary) == 0:
        raise ValueError(f"special holds all ids below vocab_size={vocab_size}: no random token can be drawn")
    draw = partial(torch.rand, tokens.shape, generator=generator, device=tokens.device)
    chosen = (draw() < share) & ~torch.isin(tokens, special)
    fate = draw()
    random = ordinary[torch.randint(len(ordinary), tokens.shape, generator=generator, device=tokens.device)]
    seen = torch.where(chosen & (fate < split[0]), mask_id, tokens)
    seen = torch.where(chosen & (fate >= split[0]) & (fate < split[0] + split[1]), random, seen)
    return MaskedTokens(seen, chosen)


def mean_pooled(hidden: Tensor, lengths: Tensor) -> Tensor:
    r"""Make one vector of length 1 of each text: the mean over its real tokens, normalised.

    Source: Reimers and Gurevych 2019, section 3, arXiv:1908.10084 (the mean); the normalisation is all-MiniLM-L6-v2's.

    Args:
        hidden: (B, T, d_model).
        lengths: (B,) integers of at least 1: how many of the T places are real.

    Returns:
        (B, d_model); the dot product of two of them is their cosine.

    Raises:
        ValueError: When a length is not between 1 and T.

    Example:
        >>> mean_pooled(torch.tensor([[[3.0, 0.0], [3.0, 8.0], [9.0, 9.0]]]), torch.tensor([2]))
        tensor([[0.6000, 0.8000]])
    """
    if not (int(lengths.min()) >= 1 and int(lengths.max()) <= hidden.shape[1]):
        raise ValueError(f"lengths {lengths.tolist()} must lie between 1 and T={hidden.shape[1]}")
    real = padding_mask(lengths, hidden.shape[1]).transpose(1, 2)  # (B, T, 1)
    return F.normalize((hidden * real).sum(dim=1) / lengths[:, None], dim=-1)  # (B, d_model)


def _start(module: nn.Module) -> None:
    """Start as BERT does: weights normal with a spread of 0.02, cut off at two of these, biases at 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.trunc_normal_(module.weight, std=SPREAD, a=-2 * SPREAD, b=2 * SPREAD)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def _read(folder: str | Path) -> tuple[BERTConfig, dict[str, Tensor]]:
    """Read a checkpoint's sizes, and its tensors under our names."""
    published = read_config(folder, model_type="bert")
    require(
        published,
        hidden_act="gelu",
        position_embedding_type="absolute",
        is_decoder=False,
        add_cross_attention=False,
        tie_word_embeddings=True,
        pruned_heads={},
    )
    config = BERTConfig(
        vocab_size=published["vocab_size"],
        d_model=published["hidden_size"],
        num_heads=published["num_attention_heads"],
        num_layers=published["num_hidden_layers"],
        d_ff=published["intermediate_size"],
        max_length=published["max_position_embeddings"],
        num_segments=published.get("type_vocab_size", 2),
        dropout=published.get("hidden_dropout_prob", 0.1),
        norm_eps=published.get("layer_norm_eps", 1e-12),
    )
    return config, renamed(read_tensors(folder), RULES)


def _check_where(name: str, where: Tensor, tokens: Tensor) -> None:
    if where.dtype != torch.bool or where.shape != tokens.shape:
        raise ValueError(
            f"{name} must be boolean of shape {tuple(tokens.shape)} but is {str(where.dtype)[6:]} of shape "
            f"{tuple(where.shape)}"
        )
