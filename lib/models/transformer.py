"""The Transformer of 2017: an encoder that reads, a decoder that writes, and attention as the only way between places.

Ids of tokens are (B, S) for what is read and (B, T) for what is written; both share one vocabulary, one table of
embeddings and one id for padding. There is no `from_pretrained`: no weights of 2017 were published in a form to load.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from lib.masks import causal_mask
from lib.models.contracts import check_share, check_sizes, check_tokens
from lib.models.generation import Beams, beam_search, evaluating
from lib.positional import sinusoidal_positions
from lib.reference.contracts import check_count, check_even
from lib.transformer import Connection, Decoder, DecoderCache, DecoderLayer, Encoder, EncoderLayer, PostNorm


@dataclass(frozen=True)
class TransformerConfig:
    """The sizes of a Transformer.

    Raises:
        ValueError: When a size is not an integer of at least 1, d_model is odd or not divisible by `num_heads`,
            `dropout` is not at least 0 and below 1, or a special token lies outside the vocabulary.

    Example:
        >>> TransformerConfig.base().d_ff
        2048
    """

    vocab_size: int = 37_000  # byte pairs shared by English and German, section 5.1
    d_model: int = 512
    num_heads: int = 8
    num_layers: int = 6  # of the encoder, and as many of the decoder
    d_ff: int = 2048
    dropout: float = 0.1
    max_length: int = 1024  # of a sequence; sinusoids know no limit, but a table of them needs one
    pad: int = 0  # fills up short sequences; nobody may attend to it
    begin: int = 1  # what the decoder reads before it has written anything
    end: int = 2

    def __post_init__(self) -> None:
        check_sizes(self, vocab_size=3, num_layers=1, d_ff=1, max_length=1)
        check_even("d_model", self.d_model)  # sines and cosines come in pairs
        check_share("dropout", self.dropout)
        for name in ("pad", "begin", "end"):
            if not 0 <= getattr(self, name) < self.vocab_size:
                raise ValueError(f"{name} has the id {getattr(self, name)} but vocab_size={self.vocab_size}")

    @classmethod
    def base(cls) -> "TransformerConfig":
        """The base model: 63,082,496 parameters with 37,000 tokens; the paper's table 3 prints 65 million."""
        return cls()

    @classmethod
    def big(cls) -> "TransformerConfig":
        """The big model: 214,245,376 parameters with 37,000 tokens; the paper's table 3 prints 213 million."""
        return cls(d_model=1024, num_heads=16, d_ff=4096, dropout=0.3)

    @classmethod
    def tiny(cls, vocab_size: int = 91) -> "TransformerConfig":
        """A model for a laptop, by default with the vocabulary of `lib.data.number_words`."""
        return cls(vocab_size, d_model=64, num_heads=4, num_layers=2, d_ff=128, dropout=0.0, max_length=64)


class Transformer(nn.Module):
    r"""Read a sequence all at once, and write another, token by token.

    $$p(y_t \mid y_{<t}, x) = \mathrm{softmax}(E\, h_t), \quad h = \mathrm{Decoder}(\sqrt{d_{model}}\, E[y_{<t}] + P,
    \mathrm{Encoder}(\sqrt{d_{model}}\, E[x] + P))$$

    Source: Vaswani et al. 2017, section 3, arXiv:1706.03762. One table E embeds both sequences and makes the logits
    (section 3.4), P are the sinusoids (section 3.5).
    Differs: the projections of the attention have biases, and their weights no dropout.

    Args:
        config: The sizes.
        connection: Where the normalisation stands: `PostNorm` as in the paper, or `PreNorm`, which then gets one more
            at the end of each stack.

    Example:
        >>> model = Transformer(TransformerConfig.tiny())
        >>> model(torch.tensor([[5, 6, 7]]), torch.tensor([[1, 74]])).shape
        torch.Size([1, 2, 91])
    """

    def __init__(self, config: TransformerConfig, *, connection: Connection = PostNorm) -> None:
        super().__init__()
        self.config = config
        sizes = (config.d_model, config.num_heads, config.d_ff)
        made = {"connection": connection, "dropout": config.dropout}
        last = nn.Identity if connection is PostNorm else partial(nn.LayerNorm, config.d_model)
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        nn.init.normal_(
            self.embedding.weight, std=config.d_model**-0.5
        )  # of length 1 on average, so logits start near 1
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = Encoder([EncoderLayer(*sizes, **made) for _ in range(config.num_layers)], last())
        self.decoder = Decoder([DecoderLayer(*sizes, **made) for _ in range(config.num_layers)], last())
        table = sinusoidal_positions(config.max_length, config.d_model)
        self.register_buffer("positions", table, persistent=False)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Say at each place of the target what comes next; all places at once, each seeing only what is before it.

        Args:
            source: (B, S) ids, filled up with `pad`.
            target: (B, T) ids, from `begin` on, filled up with `pad`.

        Returns:
            Logits (B, T, vocab_size).

        Raises:
            ValueError: When ids are no integers, outside the vocabulary, there are none or too many of them, or the
                batches differ.
        """
        return self.decode(target, self.encode(source), source)

    def encode(self, source: Tensor) -> Tensor:
        """Read (B, S) ids: the memory (B, S, d_model). Raises as `forward`."""
        return self.encoder(self._embedded("source", source), self._visible(source))

    def decode(
        self, target: Tensor, memory: Tensor, source: Tensor, *, cache: Sequence[DecoderCache] | None = None
    ) -> Tensor:
        """Say what comes next at each place of the target, given the memory of the source.

        Args:
            target: (B, T) ids; with a cache those behind the ones that it has seen.
            memory: (B, S, d_model), from `encode`.
            source: (B, S) ids, which tell where the memory is only padding.
            cache: One a layer, from `self.decoder.new_cache()`.

        Returns:
            Logits (B, T, vocab_size).

        Raises:
            ValueError: As `forward`.
        """
        if target.shape[0] != source.shape[0]:
            raise ValueError(f"source has {source.shape[0]} sequences but target has {target.shape[0]}")
        seen = 0 if cache is None else len(cache[0].self_attention)
        x = self._embedded("target", target, seen)
        T = target.shape[1]
        mask = causal_mask(T, seen + T, device=target.device)
        x = self.decoder(x, memory, mask, self._visible(source), cache=cache)
        return x @ self.embedding.weight.T  # (B, T, vocab_size)

    @evaluating
    def translate(self, source: Tensor, *, max_length: int = 50, use_cache: bool = True) -> Tensor:
        """Write the likeliest next token again and again, until all sequences have ended; dropout is off meanwhile.

        Args:
            source: (B, S) ids, filled up with `pad`.
            max_length: Longest number of new tokens.
            use_cache: Whether to keep keys and values; it changes no token, only the time.

        Returns:
            The new tokens (B, T), filled up with the end token behind it.

        Raises:
            ValueError: As `forward`, or when `max_length` is not an integer of at least 1.
        """
        check_count("max_length", max_length)
        memory, cache = self.encode(source), self.decoder.new_cache() if use_cache else None
        tokens = source.new_full((len(source), 1), self.config.begin)
        ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
        for _ in range(max_length):
            new = tokens[:, -1:] if use_cache else tokens
            chosen = self.decode(new, memory, source, cache=cache)[:, -1].argmax(-1)  # (B,)
            chosen = chosen.masked_fill(ended, self.config.end)
            tokens = torch.cat([tokens, chosen[:, None]], dim=1)
            ended |= chosen == self.config.end
            if ended.all():
                break
        return tokens[:, 1:]

    @evaluating
    def search(self, source: Tensor, *, beams: int = 4, max_length: int = 50, length_penalty: float = 0.6) -> Beams:
        """Keep several beginnings at a time and find a likelier translation than step by step (`beam_search`).

        Dropout is off meanwhile.

        Source: Vaswani et al. 2017, section 6.1: 4 beams and a length penalty of 0.6.
        Differs: our penalty is a power of the length (`beam_search`).

        Args:
            source: (B, S) ids, filled up with `pad`.
            beams: How many beginnings are kept.
            max_length: Longest number of new tokens.
            length_penalty: Larger values favour longer translations.

        Returns:
            The new tokens (B, beams, T), filled up with the end token, and their scores (B, beams).

        Raises:
            ValueError: As `forward` and `beam_search`.
        """
        check_count("beams", beams)
        memory = self.encode(source).repeat_interleave(beams, dim=0)  # (B * beams, S, d_model)
        repeated, cache = source.repeat_interleave(beams, dim=0), self.decoder.new_cache()

        def step(tokens: Tensor, rows: Tensor | None) -> Tensor:
            for kept in cache if rows is not None else ():
                kept.self_attention.select(rows)
                kept.cross_attention.select(rows)
            return self.decode(tokens[:, -1:], memory, repeated, cache=cache)[:, -1]

        start = source.new_full((len(source), 1), self.config.begin)
        limits = {"end": self.config.end, "beams": beams, "max_length": max_length}
        found = beam_search(step, start, **limits, length_penalty=length_penalty)
        return Beams(found.tokens[..., 1:], found.scores)

    def _embedded(self, name: str, tokens: Tensor, seen: int = 0) -> Tensor:
        """Embed ids (B, T) at the places `seen` and following: (B, T, d_model)."""
        check_tokens(tokens, self.config.vocab_size, name=name)
        if seen + tokens.shape[1] > self.config.max_length:
            length = seen + tokens.shape[1]
            raise ValueError(f"{name} is {length} long but there are {self.config.max_length} positions")
        places = self.positions[seen : seen + tokens.shape[1]]  # (T, d_model)
        return self.dropout(self.embedding(tokens) * math.sqrt(self.config.d_model) + places)

    def _visible(self, source: Tensor) -> Tensor:
        """Allow everybody to see the source where it is no padding: (B, 1, S)."""
        return (source != self.config.pad)[:, None]
