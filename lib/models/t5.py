r"""T5: one encoder-decoder that turns text into text, whatever the task.

Shapes: source (B, S) and target (B, T) token ids, memory (B, S, d_model), logits (B, T, vocab_size). Masks are boolean,
True = a real token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lib.attention import MultiHeadAttention
from lib.masks import causal_mask
from lib.models.checkpoint import load_weights, read_config, read_tensors, renamed, require
from lib.models.contracts import check_share, check_sizes, check_tokens
from lib.models.generation import beam_search, evaluating
from lib.positional import RelativeBias
from lib.reference.contracts import check_buckets, check_count, check_rank
from lib.transformer import Decoder, DecoderCache, DecoderLayer, Encoder, EncoderLayer, FeedForward, PreNorm

RMSNorm = partial(nn.RMSNorm, eps=1e-6)  # only scales: no mean is taken away and no bias added


@dataclass(frozen=True)
class T5Config:
    """The sizes of a T5; the presets have the parameter counts of the released checkpoints.

    Source: Raffel et al. 2019, sections 2.1 and 3.7, arXiv:1910.10683, which prints 60 million parameters for Small,
    220 million for Base and 770 million for Large.

    Raises:
        ValueError: When a size is not an integer of at least 1, d_model is not divisible by `num_heads`, `dropout` is
            not at least 0 and below 1, the buckets do not fit, or a special token is outside the vocabulary.

    Example:
        >>> T5Config.small()
        T5Config(vocab_size=32128, d_model=512, num_heads=8, d_ff=2048, num_layers=6, num_decoder_layers=6,
            num_buckets=32, max_distance=128, dropout=0.1, pad=0, end=1)
    """

    vocab_size: int
    d_model: int
    num_heads: int
    d_ff: int
    num_layers: int  # of the encoder
    num_decoder_layers: int  # the paper's models have as many as the encoder
    num_buckets: int = 32  # of distances, shared by the two directions in the encoder
    max_distance: int = 128  # beyond it all distances are alike, so no length is too long
    dropout: float = 0.1
    pad: int = 0  # fills up short sequences, and starts the decoder: T5 has no token of its own for that
    end: int = 1

    def __post_init__(self) -> None:
        check_sizes(self, vocab_size=2, d_ff=1, num_layers=1, num_decoder_layers=1)
        check_share("dropout", self.dropout)
        check_buckets(self.num_buckets, self.max_distance, bidirectional=True)
        for name, token in (("pad", self.pad), ("end", self.end)):
            if not 0 <= token < self.vocab_size:
                raise ValueError(f"{name}={token} is outside the vocabulary: vocab_size={self.vocab_size}")

    @classmethod
    def small(cls) -> "T5Config":
        """Give the sizes of `t5-small`: 60,506,624 parameters."""
        return cls(vocab_size=32128, d_model=512, num_heads=8, d_ff=2048, num_layers=6, num_decoder_layers=6)

    @classmethod
    def base(cls) -> "T5Config":
        """Give the sizes of `t5-base`: 222,903,552 parameters."""
        return cls(vocab_size=32128, d_model=768, num_heads=12, d_ff=3072, num_layers=12, num_decoder_layers=12)

    @classmethod
    def large(cls) -> "T5Config":
        """Give the sizes of `t5-large`: 737,668,096 parameters."""
        return cls(vocab_size=32128, d_model=1024, num_heads=16, d_ff=4096, num_layers=24, num_decoder_layers=24)

    @classmethod
    def tiny(cls, vocab_size: int) -> "T5Config":
        """Give sizes that a laptop trains in seconds, for texts of some thirty letters."""
        sizes = {"d_model": 64, "num_heads": 4, "d_ff": 256, "num_layers": 2, "num_decoder_layers": 2}
        return cls(vocab_size, **sizes, num_buckets=16, max_distance=32, dropout=0.0)


class T5(nn.Module):
    r"""Read a source text and write a target text, one token after the other.

    What differs from the Transformer of 2017: a relative bias of the distance on the scores, one for all layers of a
    stack, in place of positions; scores $q^\top k$ that are not scaled; pre-norm with $x / \mathrm{rms}(x)$; no
    biases in the linear maps; one table for embedding and output, whose input is scaled by $d_{model}^{-1/2}$.

    Source: Raffel et al. 2019, section 2.1, arXiv:1910.10683. Scale and starting values are those of the published
    code; the missing $1 / \sqrt{d_k}$ is made up for by queries that start smaller by as much.
    Differs: no dropout on the attention weights.

    Args:
        config: The sizes.

    Example:
        >>> model = T5(T5Config.tiny(vocab_size=9))
        >>> source, target = torch.tensor([[3, 4, 5, 1]]), torch.tensor([[5, 4, 3, 1]])
        >>> model(source, model.shifted(target)).shape
        torch.Size([1, 4, 9])
    """

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        width, buckets = config.d_model, {"num_buckets": config.num_buckets, "max_distance": config.max_distance}
        layer = {
            "connection": partial(PreNorm, norm=RMSNorm),
            "attention": partial(MultiHeadAttention, bias=False, scale=1.0),
            "feed_forward": partial(FeedForward, bias=False),
            "dropout": config.dropout,
        }
        sizes = width, config.num_heads, config.d_ff
        self.embedding = nn.Embedding(config.vocab_size, width)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Encoder((EncoderLayer(*sizes, **layer) for _ in range(config.num_layers)), RMSNorm(width))
        self.decoder = Decoder(
            (DecoderLayer(*sizes, **layer) for _ in range(config.num_decoder_layers)), RMSNorm(width)
        )
        self.encoder_bias = RelativeBias(config.num_heads, **buckets)
        self.decoder_bias = RelativeBias(config.num_heads, **buckets, bidirectional=False)
        self.apply(_start)

    def forward(
        self, source: Tensor, target: Tensor, source_mask: Tensor | None = None, target_mask: Tensor | None = None
    ) -> Tensor:
        """Give the logits of the token behind each place of the target, which sees the whole source.

        Args:
            source: (B, S) token ids.
            target: (B, T) token ids, what has been written so far: `shifted` of what is to be written.
            source_mask: (B, S) boolean, True = a real token; all are when left out.
            target_mask: (B, T) likewise.

        Returns:
            Logits (B, T, vocab_size).

        Raises:
            ValueError: When ids are no integers or outside the vocabulary, a text is empty, the two are of different
                batches, or a mask is not boolean or of another shape.
        """
        return self.decode(target, self.encode(source, source_mask), source_mask, target_mask)

    def encode(self, source: Tensor, source_mask: Tensor | None = None) -> Tensor:
        """Read the source: (B, S) token ids to a memory (B, S, d_model), with arguments as in `forward`."""
        check_tokens(source, self.config.vocab_size, name="source")
        mask = _key_mask("source", source, source_mask)
        x = self.dropout(self.embedding(source))  # (B, S, d_model)
        return self.dropout(self.encoder(x, mask, bias=self.encoder_bias(source.shape[1])))

    def decode(
        self,
        target: Tensor,
        memory: Tensor,
        source_mask: Tensor | None = None,
        target_mask: Tensor | None = None,
        *,
        cache: Sequence[DecoderCache] | None = None,
    ) -> Tensor:
        """Give the logits behind each place of the target, from the memory of a source.

        Args:
            target: (B, T) token ids; with a cache only those that it has not seen yet.
            memory: (B, S, d_model) of `encode`.
            source_mask: As for `forward`.
            target_mask: As for `forward`; with a cache of all places, (B, places seen + T).
            cache: One a layer, from `self.decoder.new_cache()`.

        Returns:
            Logits (B, T, vocab_size).

        Raises:
            ValueError: As `forward`.
        """
        check_tokens(target, self.config.vocab_size, name="target")
        check_rank(3, memory=memory)
        if len(target) != len(memory):
            raise ValueError(f"target is a batch of {len(target)} but source of {len(memory)}")
        T = target.shape[1]
        places = T + (len(cache[0].self_attention) if cache else 0)  # those seen before and those of this call
        mask = causal_mask(T, places, device=target.device)
        if target_mask is not None:
            mask = mask & _key_mask("target", target.new_empty(len(target), places), target_mask)
        memory_mask = _key_mask("source", memory[..., 0], source_mask)
        x = self.dropout(self.embedding(target))  # (B, T, d_model)
        x = self.decoder(x, memory, mask, memory_mask, bias=self.decoder_bias(T, places), cache=cache)
        x = self.dropout(x) * self.config.d_model**-0.5
        return x @ self.embedding.weight.T  # (B, T, vocab_size)

    def shifted(self, target: Tensor) -> Tensor:
        """Move what is to be written (B, T) one place to the right, behind the padding token that starts the decoder.

        Example:
            >>> T5(T5Config.tiny(vocab_size=9)).shifted(torch.tensor([[7, 8, 1]]))
            tensor([[0, 7, 8]])
        """
        return torch.cat([torch.full_like(target[:, :1], self.config.pad), target[:, :-1]], dim=1)

    @evaluating
    def generate(
        self,
        source: Tensor,
        source_mask: Tensor | None = None,
        *,
        max_length: int,
        beams: int = 1,
        length_penalty: float = 1.0,
        cached: bool = True,
    ) -> Tensor:
        """Write the likeliest text that is found for each source; dropout is off meanwhile.

        Args:
            source: (B, S) token ids.
            source_mask: (B, S) boolean, True = a real token.
            max_length: Longest number of tokens, the end token included.
            beams: How many beginnings are followed at a time; 1 takes the likeliest token each time (greedy).
            length_penalty: As for `beam_search`.
            cached: Whether keys and values are kept from step to step. It changes the time, not the tokens.

        Returns:
            Token ids (B, T), T at most `max_length`; behind the end token there is padding.

        Raises:
            ValueError: As `encode` and `beam_search`.
        """
        check_count("beams", beams)
        config, B = self.config, len(source)
        memory = self.encode(source, source_mask).repeat_interleave(beams, dim=0)  # (B * beams, S, d_model)
        mask = None if source_mask is None else source_mask.repeat_interleave(beams, dim=0)
        cache = self.decoder.new_cache() if cached else None

        def step(tokens: Tensor, rows: Tensor | None) -> Tensor:
            if cache is None:
                return self.decode(tokens, memory, mask)[:, -1]
            if rows is not None:  # the beams of a source change places, its memory stays
                for layer in cache:
                    layer.self_attention.select(rows)
            return self.decode(tokens[:, -1:], memory, mask, cache=cache)[:, -1]

        start = torch.full((B, 1), config.pad)
        best = beam_search(
            step, start, end=config.end, beams=beams, max_length=max_length, length_penalty=length_penalty
        )
        written = best.tokens[:, 0, 1:]  # (B, T)
        ended = (written == config.end).cumsum(dim=1) - (written == config.end).int() > 0
        return written.masked_fill(ended, config.pad)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "T5":
        """Build the model of a checkpoint folder: `t5-small`, `t5-base` or `t5-large`, or fine-tuned ones.

        Download a folder once, for instance with `hf download google-t5/t5-small --local-dir t5-small`, then
        `T5.from_pretrained("t5-small")`; the tokens are those of the tokenizer in the same folder.

        Raises:
            FileNotFoundError: When config.json or safetensors are missing.
            ValueError: When the checkpoint is no T5 of version 1.0, or its weights do not fit.
        """
        stored = read_config(folder, model_type="t5")
        require(stored, feed_forward_proj="relu", tie_word_embeddings=True, scale_decoder_outputs=True)
        require(stored, layer_norm_epsilon=1e-6)
        if stored.get("d_kv", 64) * stored["num_heads"] != stored["d_model"]:
            raise ValueError(
                f"this checkpoint has {stored['num_heads']} heads of width d_kv={stored.get('d_kv', 64)}, together "
                f"{stored.get('d_kv', 64) * stored['num_heads']}, but d_model={stored['d_model']}: only equal widths "
                "are implemented"
            )
        config = T5Config(
            num_decoder_layers=stored.get("num_decoder_layers") or stored["num_layers"],
            num_buckets=stored.get("relative_attention_num_buckets", 32),
            max_distance=stored.get("relative_attention_max_distance", 128),
            dropout=stored.get("dropout_rate", 0.1),
            pad=stored.get("pad_token_id", 0),
            end=stored.get("eos_token_id", 1),
            **{name: stored[name] for name in ("vocab_size", "d_model", "num_heads", "d_ff", "num_layers")},
        )
        require(stored, decoder_start_token_id=config.pad)
        model = cls(config)
        load_weights(model, renamed(read_tensors(folder), _NAMES), ignore=_COPIES)
        return model.eval()


class Corrupted(NamedTuple):
    """A text with holes, and what stood in them."""

    source: Tensor  # (S,) each hole is one sentinel
    target: Tensor  # (T,) each sentinel with what its hole hides, and one more sentinel at the end


def span_corruption(
    tokens: Tensor,
    *,
    sentinels: Sequence[int],
    share: float = 0.15,
    mean_length: float = 3.0,
    generator: torch.Generator | None = None,
) -> Corrupted:
    r"""Cut spans out of a text: the model is to say what is missing.

    Of $n$ tokens about $share \cdot n$ are hidden, in about $share \cdot n / mean\_length$ spans, which do not touch
    each other. How the hidden tokens divide into spans, and the kept ones into what stands between them, is drawn
    uniformly.

    Source: Raffel et al. 2019, section 3.1.4 and figure 2, spans as in 3.3.4, arXiv:1910.10683.
    Differs: their published code always hides the end of a text; here the first and the last token are hidden less
    often than the others. There is no end token yet; whoever makes batches appends it.

    Args:
        tokens: (n,) token ids, at least 2.
        sentinels: Ids that stand for the first, second, ... hole; one more than there are spans.
        share: Which share of the tokens is hidden; at least 1 and at most n - 1 are.
        mean_length: Mean length of a span.
        generator: Source of randomness; torch's own when left out.

    Returns:
        A `Corrupted` text.

    Raises:
        ValueError: When the text is not one row of at least 2 tokens, `share` is not between 0 and 1, `mean_length` is
            below 1, or there are too few sentinels.

    Example:
        >>> draw = torch.Generator().manual_seed(1)
        >>> span_corruption(torch.arange(10, 20), sentinels=[99, 98, 97], share=0.4, mean_length=2, generator=draw)
        Corrupted(source=tensor([10, 11, 12, 99, 15, 98, 18, 19]), target=tensor([99, 13, 14, 98, 16, 17, 97]))
    """
    check_rank(1, tokens=tokens)
    check_count("the number of tokens", len(tokens), 2)
    if not 0 < share < 1:
        raise ValueError(f"share must be above 0 and below 1 but is {share}")
    if not mean_length >= 1:
        raise ValueError(f"mean_length must be at least 1 but is {mean_length}")
    n = len(tokens)
    hidden = min(max(round(n * share), 1), n - 1)
    spans = min(max(round(hidden / mean_length), 1), n - hidden)
    if len(sentinels) < spans + 1:
        raise ValueError(f"{spans} spans need {spans + 1} sentinels but there are {len(sentinels)}")
    cut = _divided(hidden, spans, generator)
    kept = _divided(n - hidden + 2, spans + 1, generator)  # the first and the last stretch may be empty
    source, target, rest = [], [], tokens.tolist()
    for sentinel, before, inside in zip(sentinels, [kept[0] - 1, *kept[1:]], cut, strict=False):
        source += [*rest[:before], sentinel]
        target += [sentinel, *rest[before : before + inside]]
        rest = rest[before + inside :]
    return Corrupted(tokens.new_tensor(source + rest), tokens.new_tensor([*target, sentinels[spans]]))


def _divided(total: int, parts: int, generator: torch.Generator | None) -> list[int]:
    """Divide a whole number into so many of at least 1, each way equally likely."""
    cuts = torch.randperm(total - 1, generator=generator)[: parts - 1].sort().values + 1
    edges = [0, *cuts.tolist(), total]
    return [after - before for before, after in pairwise(edges)]


def _key_mask(name: str, tokens: Tensor, mask: Tensor | None) -> Tensor | None:
    """Turn a mask of real tokens (B, S) into one for all queries (B, 1, S)."""
    if mask is None:
        return None
    if mask.dtype != torch.bool or mask.shape != tokens.shape:
        raise ValueError(
            f"{name}_mask must be boolean and {tuple(tokens.shape)} but is {str(mask.dtype)[6:]} and "
            f"{tuple(mask.shape)}"
        )
    return mask[:, None, :]


def _start(module: nn.Module) -> None:
    """Draw starting values that keep the size of what passes through, as in the published code."""
    if isinstance(module, MultiHeadAttention):
        with torch.no_grad():
            module.w_query.weight *= (module.d_model // module.num_heads) ** -0.5
    elif isinstance(module, FeedForward):
        for linear in (module.widen, module.narrow):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=1.0)


# The published names and ours, in the order in which they are applied.
_NAMES = [
    (r"^shared\.", "embedding."),
    (r"^(encoder|decoder)\.block\.0\.layer\.0\.SelfAttention\.relative_attention_bias\.", r"\1_bias."),
    (r"\.block\.(\d+)\.layer\.", r".layers.\1."),
    (r"\.final_layer_norm\.", ".norm."),
    (r"^encoder(.*)\.0\.SelfAttention\.", r"encoder\1.attention."),
    (r"^encoder(.*)\.0\.layer_norm\.", r"encoder\1.around_attention.norm."),
    (r"^encoder(.*)\.1\.layer_norm\.", r"encoder\1.around_feed_forward.norm."),
    (r"^decoder(.*)\.0\.SelfAttention\.", r"decoder\1.self_attention."),
    (r"^decoder(.*)\.0\.layer_norm\.", r"decoder\1.around_self_attention.norm."),
    (r"^decoder(.*)\.1\.EncDecAttention\.(?=[qkvo]\.)", r"decoder\1.cross_attention."),
    (r"^decoder(.*)\.1\.layer_norm\.", r"decoder\1.around_cross_attention.norm."),
    (r"^decoder(.*)\.2\.layer_norm\.", r"decoder\1.around_feed_forward.norm."),
    (r"\.\d\.DenseReluDense\.wi\.", ".feed_forward.widen."),
    (r"\.\d\.DenseReluDense\.wo\.", ".feed_forward.narrow."),
    (r"attention\.q\.", "attention.w_query."),
    (r"attention\.k\.", "attention.w_key."),
    (r"attention\.v\.", "attention.w_value."),
    (r"attention\.o\.", "attention.w_output."),
]
# The one table under its other names, and a bias that older files hold though nothing ever used it.
_COPIES = [
    r"(encoder|decoder)\.embed_tokens\.weight",
    r"lm_head\.weight",
    r"decoder\.layers\.0\.1\.EncDecAttention\.relative_attention_bias",
]
