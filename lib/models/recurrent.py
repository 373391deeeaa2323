"""What the Transformer is compared with: two recurrent networks, one that reads and one that writes.

`RecurrentTranslator` hands one vector from the reader to the writer. `BahdanauTranslator` lets the writer look back at
all places of the source before each token. Ids are (B, S) for what is read and (B, T) for what is written.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lib.attention import softmax
from lib.models.contracts import check_tokens
from lib.reference.contracts import check_count


@dataclass(frozen=True)
class RecurrentConfig:
    """The sizes of a recurrent translator.

    Raises:
        ValueError: When a size is not an integer of at least 1, or a special token lies outside the vocabulary.
    """

    vocab_size: int
    d_model: int = 64  # of an embedding; one table for both languages and for the logits, as in our Transformer
    hidden: int = 48  # of the reader in each direction; the writer's memory is twice as wide
    pad: int = 0
    begin: int = 1
    end: int = 2

    def __post_init__(self) -> None:
        for name, least in (("vocab_size", 3), ("d_model", 1), ("hidden", 1)):
            check_count(name, getattr(self, name), least)
        for name in ("pad", "begin", "end"):
            if not 0 <= getattr(self, name) < self.vocab_size:
                raise ValueError(f"{name} has the id {getattr(self, name)} but vocab_size={self.vocab_size}")


class AdditiveAttention(nn.Module):
    r"""Score each place by a small network, and gather what is written there by the weights.

    $$e_j = v^\top \tanh(W_q q + W_k k_j), \quad \alpha = \mathrm{softmax}(e), \quad c = \sum_j \alpha_j k_j$$

    Source: Bahdanau et al. 2014, appendix A.1.2, arXiv:1409.0473.

    Args:
        query_width: Width of the queries.
        key_width: Width of the keys, which are the values too.
        width: Width of the network's hidden layer.

    Example:
        >>> attention = AdditiveAttention(4, 6, 8)
        >>> keys = torch.ones(2, 5, 6)
        >>> attention(torch.ones(2, 4), keys, attention.w_key(keys), torch.ones(2, 5, dtype=torch.bool)).shape
        torch.Size([2, 6])
    """

    def __init__(self, query_width: int, key_width: int, width: int) -> None:
        super().__init__()
        self.w_query = nn.Linear(query_width, width, bias=False)
        self.w_key = nn.Linear(key_width, width, bias=False)
        self.v = nn.Parameter(torch.randn(width) / width**0.5)

    def forward(self, query: Tensor, keys: Tensor, projected: Tensor, mask: Tensor) -> Tensor:
        """Gather from the keys what the query asks for.

        Args:
            query: (B, query_width), one a sequence.
            keys: (B, S, key_width).
            projected: (B, S, width), `w_key(keys)`: the same for all queries, so it is made only once.
            mask: (B, S), True where there is a key.

        Returns:
            (B, key_width).
        """
        weights = self.attention_weights(query, keys, projected, mask)
        return (weights[:, None] @ keys)[:, 0]

    def attention_weights(self, query: Tensor, keys: Tensor, projected: Tensor, mask: Tensor) -> Tensor:
        """Share one query's attention among the keys: (B, S), for the arguments of `forward`."""
        scores = torch.tanh(self.w_query(query)[:, None] + projected) @ self.v  # (B, S)
        return softmax(scores, mask)


class RecurrentTranslator(nn.Module):
    """Read a sequence into one vector, and write another from it.

    Source: Cho et al. 2014, section 2.2, arXiv:1406.1078: the vector c starts the writer and is read again with every
    token.
    Differs: read in both directions, since otherwise one end of the source is far from c; the output is a layer of
    tanh and the table of embeddings.

    Args:
        config: The sizes.

    Example:
        >>> model = RecurrentTranslator(RecurrentConfig(91))
        >>> model(torch.tensor([[5, 6, 7]]), torch.tensor([[1, 74]])).shape
        torch.Size([1, 2, 91])
    """

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config, state = config, 2 * config.hidden
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.reader = nn.GRU(config.d_model, config.hidden, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(state, state)
        self.writer = self._new_writer(config.d_model + state, state)
        self.narrow = nn.Linear(2 * state, config.d_model)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Say at each place of the target what comes next.

        Args:
            source: (B, S) ids, filled up with `pad` at the end.
            target: (B, T) ids, from `begin` on, filled up with `pad`.

        Returns:
            Logits (B, T, vocab_size).

        Raises:
            ValueError: When ids are no integers, outside the vocabulary, there are none, the batches differ, or a
                source is only padding.
        """
        if target.shape[0] != source.shape[0]:
            raise ValueError(f"source has {source.shape[0]} sequences but target has {target.shape[0]}")
        check_tokens(target, self.config.vocab_size, name="target")
        return self._write(self.embedding(target), *self._read(source))[0]

    @torch.no_grad()
    def translate(self, source: Tensor, *, max_length: int = 50) -> Tensor:
        """Write the likeliest next token again and again, until all sequences have ended.

        Args:
            source: (B, S) ids, filled up with `pad` at the end.
            max_length: Longest number of new tokens.

        Returns:
            The new tokens (B, T), filled up with the end token behind it.

        Raises:
            ValueError: As `forward`, or when `max_length` is not an integer of at least 1.
        """
        check_count("max_length", max_length)
        read, state = self._read(source)
        chosen = source.new_full((len(source),), self.config.begin)
        ended, written = torch.zeros(len(source), dtype=torch.bool, device=source.device), []
        for _ in range(max_length):
            logits, state = self._write(self.embedding(chosen[:, None]), read, state)
            chosen = logits[:, -1].argmax(-1).masked_fill(ended, self.config.end)  # (B,)
            written.append(chosen)
            ended |= chosen == self.config.end
            if ended.all():
                break
        return torch.stack(written, dim=1)

    def _states(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Read (B, S) ids: the states at each place (B, S, 2 hidden), and the writer's first one (B, 2 hidden)."""
        check_tokens(source, self.config.vocab_size, name="source")
        lengths = (source != self.config.pad).sum(dim=1)
        if not lengths.all():
            raise ValueError(f"source {int((lengths == 0).nonzero()[0])} of {len(source)} holds only padding")
        embedded = self.embedding(source)
        packed = pack_padded_sequence(embedded, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, last = self.reader(packed)  # last: (2, B, hidden)
        memory, _ = pad_packed_sequence(states, batch_first=True, total_length=source.shape[1])
        return memory, torch.tanh(self.bridge(last.transpose(0, 1).flatten(1)))

    def _logits(self, states: Tensor, contexts: Tensor) -> Tensor:
        hidden = torch.tanh(self.narrow(torch.cat([states, contexts], dim=-1)))  # (B, T, d_model)
        return hidden @ self.embedding.weight.T

    def _new_writer(self, width: int, state: int) -> nn.Module:
        return nn.GRU(width, state, batch_first=True)

    def _read(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Give what the writer has of the source, and its first state: here they are the same vector."""
        _, state = self._states(source)
        return state, state

    def _write(self, embedded: Tensor, read: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Go on writing behind (B, T, d_model): logits (B, T, vocab_size) and the last state (B, 2 hidden)."""
        contexts = read[:, None].expand(-1, embedded.shape[1], -1)  # (B, T, 2 hidden)
        states, last = self.writer(torch.cat([embedded, contexts], dim=-1), state[None])
        return self._logits(states, contexts), last[0]


class BahdanauTranslator(RecurrentTranslator):
    r"""Read a sequence, and look back at all of it before each token of another.

    $$c_t = \mathrm{attention}(s_{t-1}, h), \quad s_t = \mathrm{GRU}(s_{t-1}, [y_{t-1}; c_t])$$

    Source: Bahdanau et al. 2014, section 3, arXiv:1409.0473. The look depends on the state before it, so the writer
    goes step by step in training too.
    Differs: as `RecurrentTranslator`; the output sees the new state and the context, where the paper has a maxout
    layer.

    Args:
        config: The sizes.

    Example:
        >>> model = BahdanauTranslator(RecurrentConfig(91))
        >>> model.translate(torch.tensor([[5, 6, 7]]), max_length=4).shape[0]
        1
    """

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config)
        self.attention = AdditiveAttention(2 * config.hidden, 2 * config.hidden, config.d_model)

    def _new_writer(self, width: int, state: int) -> nn.Module:
        return nn.GRUCell(width, state)

    def _read(self, source: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """Give the states at each place, their projections and where there is no padding; and the first state."""
        memory, state = self._states(source)
        return (memory, self.attention.w_key(memory), source != self.config.pad), state

    def _write(self, embedded: Tensor, read: tuple[Tensor, Tensor, Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
        """As the parent; one step after the other."""
        states, contexts = [], []
        for step in embedded.unbind(dim=1):  # (B, d_model)
            contexts.append(self.attention(state, *read))
            state = self.writer(torch.cat([step, contexts[-1]], dim=-1), state)
            states.append(state)
        return self._logits(torch.stack(states, dim=1), torch.stack(contexts, dim=1)), state
