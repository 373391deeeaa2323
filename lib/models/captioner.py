"""Writing what an image shows, word by word, with a look at its regions before each word.

An encoder turns the image into regions (B, S, D); a recurrent writer scores them before each word. How scores become
weights is an argument, `choose`: `soft_look`, or one of the hard ways of `lib.hard`. `MeanCaptioner` and
`FlatCaptioner` are the same writer without attention.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.attention import scaled_dot_score, softmax
from lib.hard import SampledAttention, argmax_attention, gumbel_noise, sample_attention, straight_through_gumbel
from lib.models.contracts import check_tokens
from lib.reference.contracts import check_count, check_shape

Choose = Callable[[Tensor], Tensor | SampledAttention]


@dataclass(frozen=True)
class CaptionerConfig:
    """The sizes of a captioner.

    Raises:
        ValueError: When a size is not an integer of at least 1, or the image cannot be cut into whole cells of 8.
    """

    vocab_size: int
    image_size: int = 24  # pixels along a side; a region belongs to each 8 by 8 of them
    d_cell: int = 128  # of the first layer that reads a cell
    d_model: int = 64  # of a region
    d_word: int = 32
    hidden: int = 64  # the writer's memory
    end: int = 1

    def __post_init__(self) -> None:
        for name in ("vocab_size", "image_size", "d_cell", "d_model", "d_word", "hidden"):
            check_count(name, getattr(self, name))
        if self.image_size % 8:
            raise ValueError(f"image_size={self.image_size} is not divisible by 8")

    @property
    def regions(self) -> int:
        """How many regions an image has."""
        return (self.image_size // 8) ** 2


class Caption(NamedTuple):
    """What a captioner says at each place, and where it looked before.

    Attributes:
        logits: (B, T, vocab_size).
        weights: (B, T, S), the shares of the regions; uniform where nothing attends.
        log_probability: (B, T), of the places drawn; 0 where nothing was drawn.
    """

    logits: Tensor
    weights: Tensor
    log_probability: Tensor


def soft_look(scores: Tensor) -> Tensor:
    """Take some of each region: the softmax of the scores (B, T, S)."""
    return softmax(scores)


def greedy_look(scores: Tensor) -> Tensor:
    """Take the region with the highest of the scores (B, T, S), and nothing of the others."""
    return argmax_attention(scores)


def drawn_look(scores: Tensor) -> SampledAttention:
    """Draw one region by the softmax of the scores (B, T, S), for REINFORCE."""
    return sample_attention(scores, gumbel_noise(tuple(scores.shape)))


def straight_through_look(scores: Tensor) -> Tensor:
    """Draw one region by the softmax of the scores (B, T, S), with the gradient of the soft choice."""
    return straight_through_gumbel(scores, gumbel_noise(tuple(scores.shape)))


def mixed_look(soft: Tensor) -> Choose:
    """Look softly at some images and draw for the others, the same way at every word of a caption.

    Source: Xu et al. 2015, section 4.1, arXiv:1502.03044: for half of the images the drawn place is replaced by its
    expectation.

    Args:
        soft: (B,) Boolean, True where the look is soft.

    Returns:
        A function of the scores (B, T, S), for the argument `choose`.

    Example:
        >>> look = mixed_look(torch.tensor([True, False]))(torch.zeros(2, 1, 4))
        >>> look.weights[0, 0], look.weights[1, 0].max(), look.log_probability[0, 0]
        (tensor([0.2500, 0.2500, 0.2500, 0.2500]), tensor(1.), tensor(0.))
    """

    def choose(scores: Tensor) -> SampledAttention:
        drawn = drawn_look(scores)
        weights = torch.where(soft[:, None, None], softmax(scores), drawn.weights)
        return SampledAttention(drawn.index, weights, drawn.log_probability.masked_fill(soft[:, None], 0.0))

    return choose


class RegionEncoder(nn.Module):
    r"""Turn an image into one vector for each of its cells of 8 by 8 pixels, which knows its place.

    The same small network reads every cell, and no region sees beyond its own; a learned vector says where it is. It
    starts as a linear function of row and column, and is added before the last layer and behind it.

    Source: Xu et al. 2015, section 3.1.1, arXiv:1502.03044: vectors of a convolutional layer, so that each belongs to a
    part of the image. Differs: tiny, and it must be told its places, which a convolutional net's edges betray.

    Args:
        config: The sizes.

    Example:
        >>> RegionEncoder(CaptionerConfig(10))(torch.zeros(2, 1, 24, 24)).shape
        torch.Size([2, 9, 64])
    """

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.config = config
        self.read = nn.Sequential(nn.Linear(64, config.d_cell), nn.ReLU(), nn.Linear(config.d_cell, config.d_model))
        side = torch.arange(config.image_size // 8) - (config.image_size // 8 - 1) / 2
        rows, columns = (way.flatten() for way in torch.meshgrid(side, side, indexing="ij"))  # (S,) each
        self.place = nn.Parameter(torch.stack([rows, columns], dim=-1) @ torch.randn(2, config.d_model) / 2)
        self.join = nn.Sequential(nn.ReLU(), nn.Linear(config.d_model, config.d_model), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        """Encode images.

        Args:
            images: (B, 1, image_size, image_size).

        Returns:
            Regions (B, S, d_model), row by row.

        Raises:
            ValueError: When the images have another shape.
        """
        check_shape("images", images, (len(images), 1, self.config.image_size, self.config.image_size))
        B, side = len(images), self.config.image_size // 8
        cells = images.reshape(B, side, 8, side, 8).transpose(2, 3).reshape(B, side * side, 64)  # row by row
        return self.join(self.read(cells) + self.place) + self.place  # (B, S, D)


class Captioner(nn.Module):
    r"""Write a caption word by word, and look at the image's regions before each word.

    $$s_{tj} = \frac{q_t^\top k_j}{\sqrt{d}}, \quad z_t = \sum_j w_{tj} a_j, \quad
    h_t = \mathrm{GRU}(h_{t-1}, [q_t; z_t])$$

    A first GRU reads the words so far and asks, $q_t$; a second one remembers what was seen, and speaks.

    Source: Xu et al. 2015, sections 3 and 4, arXiv:1502.03044, with one LSTM for both tasks and additive scores;
    Anderson et al. 2017, arXiv:1707.07998, with an LSTM for each. Differs: GRUs; the first does not hear of the second,
    so that all looks of a given caption are made at once; and no mean of the image starts the memory, so that the
    writer knows of the image only what its looks have shown.

    Args:
        config: The sizes.

    Example:
        >>> model = Captioner(CaptionerConfig(10))
        >>> said = model(torch.zeros(2, 1, 24, 24), torch.tensor([[2, 4, 5], [3, 6, 7]]))
        >>> said.logits.shape, said.weights.shape
        (torch.Size([2, 3, 10]), torch.Size([2, 3, 9]))
    """

    def __init__(self, config: CaptionerConfig) -> None:
        super().__init__()
        self.config, wide = config, config.hidden + config.d_model
        self.encoder = RegionEncoder(config)
        self.embedding = nn.Embedding(config.vocab_size, config.d_word)
        self.reader = nn.GRU(config.d_word, config.hidden, batch_first=True)
        self.speaker = nn.GRU(wide, config.hidden, batch_first=True)
        self.answer = nn.Linear(wide, config.vocab_size)
        self._build_look()

    def forward(self, images: Tensor, words: Tensor, choose: Choose = soft_look) -> Caption:
        """Say at each place of given captions which word comes next.

        Args:
            images: (B, 1, image_size, image_size).
            words: (B, T) ids, from the one that names the language on.
            choose: Turns scores (B, T, S) into weights, or into a `SampledAttention`.

        Returns:
            Logits, weights and log-probabilities, a `Caption`.

        Raises:
            ValueError: When the images have another shape, the batches differ, or an id lies outside the vocabulary.
        """
        if len(words) != len(images):
            raise ValueError(f"{len(images)} images but {len(words)} captions")
        check_tokens(words, self.config.vocab_size, name="words")
        return self._say(self.encoder(images), words, choose)

    @torch.no_grad()
    def write(
        self, images: Tensor, begin: Tensor, choose: Choose = soft_look, *, max_length: int = 16
    ) -> tuple[Tensor, Tensor]:
        """Write the likeliest next word again and again, until every caption has ended.

        Args:
            images: (B, 1, image_size, image_size).
            begin: (B,) ids, which language to write.
            choose: As in `forward`; it is asked about all places again before each word.
            max_length: Longest number of words.

        Returns:
            The words (B, T), filled up with `end`, and where it looked before each, (B, T, S).

        Raises:
            ValueError: As `forward`, or when `max_length` is not an integer of at least 1.
        """
        check_count("max_length", max_length)
        check_tokens(begin[:, None], self.config.vocab_size, name="begin")
        regions, words = self.encoder(images), begin[:, None]
        ended = torch.zeros(len(begin), dtype=torch.bool)
        for _ in range(max_length):
            said = self._say(regions, words, choose)
            word = said.logits[:, -1].argmax(-1).masked_fill(ended, self.config.end)  # (B,)
            words = torch.cat([words, word[:, None]], dim=1)
            ended = ended | (word == self.config.end)
            if ended.all():
                break
        return words[:, 1:], said.weights

    def _say(self, regions: Tensor, words: Tensor, choose: Choose) -> Caption:
        asked, _ = self.reader(self.embedding(words))  # (B, T, hidden)
        seen, weights, log_probability = self._look(asked, regions, choose)
        spoken, _ = self.speaker(torch.cat([asked, seen], dim=-1))
        return Caption(self.answer(torch.cat([spoken, seen], dim=-1)), weights, log_probability)

    def _build_look(self) -> None:
        self.w_query = nn.Linear(self.config.hidden, self.config.d_model)
        self.w_key = nn.Linear(self.config.d_model, self.config.d_model, bias=False)

    def _look(self, asked: Tensor, regions: Tensor, choose: Choose) -> tuple[Tensor, Tensor, Tensor]:
        """Give what is seen (B, T, D), the weights (B, T, S) and the log-probabilities of draws (B, T)."""
        scores = scaled_dot_score(self.w_query(asked), self.w_key(regions))  # (B, T, S)
        chosen = choose(scores)
        if isinstance(chosen, SampledAttention):
            weights, log_probability = chosen.weights, chosen.log_probability
        else:
            weights, log_probability = chosen, scores.new_zeros(scores.shape[:2])
        return weights @ regions, weights, log_probability


class MeanCaptioner(Captioner):
    """Write from the mean of the regions, the same at every word: the place of everything is blurred.

    Source: the writer of Vinyals et al. 2014, arXiv:1411.4555, has one vector of the image. Differs: it is given
    again at every word.

    Args:
        config: The sizes.

    Example:
        >>> MeanCaptioner(CaptionerConfig(10))(torch.zeros(1, 1, 24, 24), torch.tensor([[2]])).weights[0, 0, 0]
        tensor(0.1111)
    """

    def _build_look(self) -> None:
        pass

    def _look(self, asked: Tensor, regions: Tensor, choose: Choose) -> tuple[Tensor, Tensor, Tensor]:
        (B, T, _), S = asked.shape, regions.shape[1]
        seen = self._gather(regions)[:, None].expand(-1, T, -1)  # (B, T, D)
        return seen, regions.new_full((B, T, S), 1 / S), regions.new_zeros(B, T)

    def _gather(self, regions: Tensor) -> Tensor:
        return regions.mean(dim=1)


class FlatCaptioner(MeanCaptioner):
    """Write from all regions side by side, squeezed into one vector: no attention, but every place is kept apart.

    Args:
        config: The sizes.

    Example:
        >>> FlatCaptioner(CaptionerConfig(10))(torch.zeros(1, 1, 24, 24), torch.tensor([[2]])).logits.shape
        torch.Size([1, 1, 10])
    """

    def _build_look(self) -> None:
        config = self.config
        self.squeeze = nn.Linear(config.regions * config.d_model, config.d_model)

    def _gather(self, regions: Tensor) -> Tensor:
        return F.relu(self.squeeze(regions.flatten(1)))
