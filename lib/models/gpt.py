"""GPT: a stack of causal layers that predicts the next token at every place; GPT-1, GPT-2 and the shape of GPT-3."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.cache import KeyValueCache
from lib.masks import causal_mask
from lib.models.checkpoint import load_weights, read_config, read_tensors, renamed, require
from lib.models.contracts import check_share, check_sizes, check_tokens
from lib.models.generation import choose, evaluating
from lib.positional import LearnedPositions
from lib.reference.contracts import check_count, check_mask
from lib.transformer import Encoder, EncoderLayer, PostNorm, PreNorm


@dataclass(frozen=True)
class GPTConfig:
    """What a GPT is made of.

    Source: Radford et al. 2018 (GPT-1); Radford et al. 2019 (GPT-2), section 2.3; Brown et al. 2020, section 2.1 and
    table 2.1, arXiv:2005.14165 (GPT-3).

    Raises:
        ValueError: When a size is not an integer of at least 1, d_model is not divisible by `num_heads`, or `dropout`
            is not between 0 and 1.

    Example:
        >>> GPTConfig.gpt2_small().d_ff
        3072
    """

    vocab_size: int
    max_length: int  # places that have a learned position: nothing can be read or written beyond
    d_model: int
    num_heads: int
    num_layers: int
    d_ff: int | None = None  # 4 * d_model when left out, as in all published sizes
    pre_norm: bool = True  # since GPT-2; GPT-1 normalises behind each sum, as the Transformer of 2017
    dropout: float = 0.0  # the published GPT-1 and GPT-2 were trained with 0.1

    def __post_init__(self) -> None:
        """Fill in d_ff and refuse what cannot be built."""
        if self.d_ff is None and isinstance(self.d_model, int):
            object.__setattr__(self, "d_ff", 4 * self.d_model)
        check_sizes(self, vocab_size=1, max_length=1, num_layers=1, d_ff=1)
        check_share("dropout", self.dropout)

    @classmethod
    def tiny(cls) -> Self:
        """Small enough for tests: 29,600 parameters."""
        return cls(vocab_size=65, max_length=64, d_model=32, num_heads=4, num_layers=2)

    @classmethod
    def gpt1(cls) -> Self:
        """GPT-1: 116,534,784 parameters as released; the paper gives the sizes and no total, others write 117M."""
        return cls(40478, 512, d_model=768, num_heads=12, num_layers=12, pre_norm=False)

    @classmethod
    def gpt2_small(cls) -> Self:
        """GPT-2 small: 124,439,808 parameters as released; 117M in the paper's table 2."""
        return cls(50257, 1024, d_model=768, num_heads=12, num_layers=12)

    @classmethod
    def gpt2_medium(cls) -> Self:
        """GPT-2 medium: 354,823,168 parameters as released; 345M in the paper's table 2."""
        return cls(50257, 1024, d_model=1024, num_heads=16, num_layers=24)

    @classmethod
    def gpt2_large(cls) -> Self:
        """GPT-2 large: 774,030,080 parameters as released; 762M in the paper's table 2."""
        return cls(50257, 1024, d_model=1280, num_heads=20, num_layers=36)

    @classmethod
    def gpt2_xl(cls) -> Self:
        """GPT-2 XL, the paper's GPT-2: 1,557,611,200 parameters as released; 1542M in the paper's table 2."""
        return cls(50257, 1024, d_model=1600, num_heads=25, num_layers=48)

    @classmethod
    def gpt3_175b(cls) -> Self:
        """GPT-3 by the paper's table 2.1: 174,604,259,328 parameters; 175.0B there. Its weights were never released.

        Differs: every layer sees all earlier places, where GPT-3 alternates with locally banded layers. That changes
        masks, not parameters.
        """
        return cls(50257, 2048, d_model=12288, num_heads=96, num_layers=96)


class GPT(nn.Module):
    r"""Read tokens and give at each place the logits of the next one, from what stands there and before.

    $$h^0 = E_{tokens} + P, \quad h^l = \mathrm{layer}_l(h^{l - 1}) \text{ under a causal mask}, \quad
    p(\text{next}) = \mathrm{softmax}(\mathrm{norm}(h^L) E^\top)$$

    The matrix $E$ of the embeddings is also that of the answers (tied). The final norm belongs to pre-norm models only.

    Source: Radford et al. 2018, section 3.1, equation 2; Radford et al. 2019, section 2.3.
    Differs: dropout stands inside the feed-forward network too and not on the attention weights.

    Args:
        config: The sizes.

    Example:
        >>> model = GPT(GPTConfig.tiny())
        >>> model(torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 3, 65])
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.positions = LearnedPositions(config.max_length, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        layers = [
            EncoderLayer(
                config.d_model,
                config.num_heads,
                config.d_ff,
                connection=PreNorm if config.pre_norm else PostNorm,
                activation=partial(F.gelu, approximate="tanh"),
                dropout=config.dropout,
            )
            for _ in range(config.num_layers)
        ]
        self.encoder = Encoder(layers, nn.LayerNorm(config.d_model) if config.pre_norm else None)
        self._start()

    def _start(self) -> None:
        """Draw the weights as GPT-2's paper says: small, those that write to the residual stream smaller still."""
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                writes = name.endswith(("w_output.weight", "narrow.weight"))
                nn.init.normal_(weight, std=0.02 * (2 * self.config.num_layers) ** -0.5 if writes else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(
        self, tokens: Tensor, mask: Tensor | None = None, *, cache: Sequence[KeyValueCache] | None = None
    ) -> Tensor:
        """Give the logits of the token behind each place.

        Args:
            tokens: (B, T) integers from 0 to vocab_size - 1.
            mask: Boolean, True = may attend, in addition to the causal mask: (T, S) or (B, T, S), any axis may be 1.
                `padding_mask(lengths, T)` hides the padding behind the end. Without a cache S = T.
            cache: One a layer, from `model.encoder.new_cache()`: the keys and values of earlier places. The tokens are
                then those that follow, and S counts both.

        Returns:
            Logits (B, T, vocab_size).

        Raises:
            ValueError: When tokens are no integers, empty, outside the vocabulary or beyond the last position, or the
                mask is not boolean or does not broadcast.
        """
        return self._logits(self.hidden(tokens, mask, cache=cache))

    def hidden(
        self, tokens: Tensor, mask: Tensor | None = None, *, cache: Sequence[KeyValueCache] | None = None
    ) -> Tensor:
        """Give what the last layer has written at each place, (B, T, d_model); arguments and errors as `forward`."""
        check_tokens(tokens, self.config.vocab_size, longest=self.config.max_length)
        T, past = tokens.shape[1], len(cache[0]) if cache else 0
        x = self.dropout(self.positions(self.tokens(tokens), offset=past))  # (B, T, D)
        check_mask(mask, (len(tokens), T, past + T))
        if T > 1:  # a single new place may see all that is there
            causal = causal_mask(T, past + T, device=tokens.device)
            mask = causal if mask is None else causal & mask
        return self.encoder(x, mask, cache=cache)

    def _logits(self, hidden: Tensor) -> Tensor:
        return hidden @ self.tokens.weight.T  # (B, T, V)

    @evaluating
    def generate(
        self,
        prompt: Tensor,
        max_new_tokens: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generator: torch.Generator | None = None,
        cache: bool = True,
    ) -> Tensor:
        """Go on behind a prompt, one token at a time; dropout is off meanwhile.

        Args:
            prompt: (B, T) integers, at least one token each; all of a batch have the same length.
            max_new_tokens: How many tokens to write.
            temperature: 0 takes the likeliest token each time (greedy); above 0 as for `filter_logits`.
            top_k: As for `filter_logits`.
            top_p: As for `filter_logits`.
            generator: Draws the tokens; torch's own generator when left out.
            cache: Whether keys and values of earlier places are kept. It changes the time, not the tokens.

        Returns:
            Prompt and new tokens, (B, T + max_new_tokens).

        Raises:
            ValueError: When the prompt is empty, holds an id outside the vocabulary, does not fit into the positions
                together with the new tokens, or an option is out of range.

        Example:
            >>> GPT(GPTConfig.tiny()).generate(torch.tensor([[1, 2, 3]]), 5).shape
            torch.Size([1, 8])
        """
        check_tokens(prompt, self.config.vocab_size, name="prompt")
        check_count("max_new_tokens", max_new_tokens)
        length, limit = prompt.shape[1] + max_new_tokens, self.config.max_length
        if length > limit:
            raise ValueError(
                f"a prompt of {prompt.shape[1]} and max_new_tokens={max_new_tokens} make {length} places"
                f" but there are {limit} positions"
            )
        kept, tokens = self.encoder.new_cache() if cache else None, prompt
        for _ in range(max_new_tokens):
            unread = tokens[:, len(kept[0]) :] if cache else tokens
            logits = self._logits(self.hidden(unread, cache=kept)[:, -1])  # (B, V)
            token = choose(logits, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
            tokens = torch.cat([tokens, token[:, None]], dim=1)  # (B, T + 1)
        return tokens

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load published weights of GPT-1 or GPT-2 from a checkpoint folder.

        Such a folder, with `config.json` and `model.safetensors`, is what `git clone
        https://huggingface.co/openai-community/gpt2` (with git-lfs) or transformers' `save_pretrained` leaves. Then

            model = GPT.from_pretrained("gpt2")
            model.generate(tokens, 20, temperature=0)

        with tokens (B, T) from the tokenizer that belongs to the checkpoint.

        Args:
            folder: The folder.

        Returns:
            The model, in evaluation mode.

        Raises:
            FileNotFoundError: When config or weights are missing; pickled weights are never opened.
            ValueError: When the checkpoint is of another type, its config asks for something that is not implemented,
                or weights are missing, unexpected or of the wrong shape.
        """
        published = read_config(folder, model_type=("gpt2", "openai-gpt"))
        model = cls(_config(published))
        load_weights(model, _own_weights(read_tensors(folder)), ignore=HARMLESS)
        return model.eval()


RULES = [
    (r"^transformer\.", ""),
    (r"^(wte|tokens_embed)\.", "tokens."),
    (r"^(wpe|positions_embed)\.", "positions."),
    (r"^ln_f\.", "encoder.norm."),
    (r"^h\.", "encoder.layers."),
    (r"\.ln_1\.", ".around_attention.norm."),
    (r"\.ln_2\.", ".around_feed_forward.norm."),
    (r"\.attn\.c_proj\.", ".attention.w_output."),
    (r"\.attn\.c_attn\.", ".attention.fused."),
    (r"\.mlp\.c_fc\.", ".feed_forward.widen."),
    (r"\.mlp\.c_proj\.", ".feed_forward.narrow."),
]
# Causal masks and counted positions that older files carry along, and the tied head, stored a second time.
HARMLESS = [r"encoder\.layers\.\d+\.attn\.(bias|masked_bias)$", r"position_ids$", r"lm_head\.weight$"]
TRANSPOSED = ("attention.fused.weight", "w_output.weight", "widen.weight", "narrow.weight")


def _config(published: dict[str, Any]) -> GPTConfig:
    """Translate a published config; refuse what our model does not do."""
    first = published["model_type"] == "openai-gpt"
    if first:
        require(published, afn="gelu")  # which in this model is the tanh approximation
    else:
        if published.get("activation_function") != "gelu_pytorch_tanh":  # the same formula under its newer name
            require(published, activation_function="gelu_new")
        require(published, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    require(published, layer_norm_epsilon=1e-5, tie_word_embeddings=True)
    return GPTConfig(
        vocab_size=published["vocab_size"],
        max_length=published["n_positions"],
        d_model=published["n_embd"],
        num_heads=published["n_head"],
        num_layers=published["n_layer"],
        d_ff=published.get("n_inner"),
        pre_norm=not first,
        dropout=published.get("resid_pdrop", 0.0),
    )


def _own_weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename published tensors, turn their (in, out) matrices, and take the fused query, key and value apart."""
    own = {}
    for name, tensor in renamed(tensors, RULES).items():
        tensor = tensor.T if name.endswith(TRANSPOSED) else tensor
        if ".fused." in name and tensor.dim():
            for part, third in zip(("w_query", "w_key", "w_value"), tensor.tensor_split(3), strict=True):
                own[name.replace("fused", part)] = third
        else:
            own[name] = tensor
    if "lm_head.weight" in own:  # tied: a file may hold it under either name
        own.setdefault("tokens.weight", own["lm_head.weight"])
    return own
