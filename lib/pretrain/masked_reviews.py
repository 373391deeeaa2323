"""What is learned: to guess hidden characters of Chinese reviews."""

import hashlib
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.data.reviews import CLS, MASK, PAD, SEP, UNK, Vocabulary, reviews
from lib.masks import padding_mask
from lib.models.bert import BERTForMaskedLM, mask_tokens
from lib.positional import sinusoidal_positions
from lib.pretrain.recipes import Recipe

POOL = 8  # batches whose texts are drawn together and sorted by length, so that little is padded


class Batch(NamedTuple):
    """Texts with hidden characters: what is seen, the places that are asked, what stood there, the lengths."""

    seen: Tensor  # (B, T)
    chosen: Tensor  # (B, T)
    tokens: Tensor  # (B, T)
    lengths: Tensor  # (B,)


class MaskedReviews:
    """The data, the model and its errors.

    Args:
        recipe: Says how; the model starts from its seed.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.parts = recipe, reviews()
        self.vocabulary = Vocabulary.of(self.parts.train.texts)
        torch.manual_seed(recipe.seed)
        self.model = BERTForMaskedLM(replace(recipe.model, vocab_size=len(self.vocabulary)))
        if recipe.waves:
            places = self.model.bert.embeddings.positions.weight.data
            waves = sinusoidal_positions(*places.shape)
            places.copy_(recipe.waves * waves / waves.std())
        self.room = recipe.model.max_length - 2  # characters between [CLS] and [SEP]
        lengths = torch.tensor([len(text) for text in self.parts.train.texts])
        # A text longer than the room is drawn more often, each time from another place.
        self.pieces = torch.repeat_interleave(torch.arange(len(lengths)), -(-lengths // self.room))

    def batch(self, step: int) -> Batch:
        """Draw the batch of a step; it depends on nothing but the seed and the step."""
        pool, place = divmod(step, POOL)
        chance = generator("pool", self.recipe.seed, pool)
        drawn = self.pieces[torch.randperm(len(self.pieces), generator=chance)[: POOL * self.recipe.batch]].tolist()
        shares = torch.rand(len(drawn), generator=chance, dtype=torch.float64).tolist()
        texts = []
        for number, share in zip(drawn, shares, strict=True):
            text = self.parts.train.texts[number]
            start = int(share * max(len(text) - self.room + 1, 1))
            texts.append(text[start : start + self.room])
        texts.sort(key=len)
        first = self.recipe.batch * int(torch.randperm(POOL, generator=chance)[place])
        return self.hidden(texts[first : first + self.recipe.batch], generator("step", self.recipe.seed, step))

    def hidden(self, texts: list[str], chance: torch.Generator) -> Batch:
        """Hide characters of these texts, as BERT did; an unknown one is never asked."""
        tokens = self.vocabulary.batch(texts, max_length=self.recipe.model.max_length)
        special = (PAD, UNK, CLS, SEP, MASK)
        size = len(self.vocabulary)
        seen, chosen = mask_tokens(tokens, mask_id=MASK, vocab_size=size, special=special, generator=chance)
        return Batch(seen, chosen, tokens, (tokens != PAD).sum(dim=1))

    def guesses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute logits (N, vocab_size) for the hidden characters of a batch, and what these are (N,)."""
        mask = padding_mask(batch.lengths, batch.tokens.shape[1])
        return self.model(batch.seen, mask=mask, where=batch.chosen), batch.tokens[batch.chosen]

    @torch.no_grad()
    def evaluate(self, part: str, most: int | None = None) -> dict[str, float]:
        """Measure the guesses on the beginnings of a part's texts, or of the first so many; the same places each time.

        Returns:
            The mean `loss`, the `accuracy` (share of right guesses), that of always guessing the commonest character,
            and the number of characters `asked`.
        """
        texts = sorted((text[: self.room] for text in getattr(self.parts, part).texts[:most]), key=len)
        self.model.eval()
        loss = right = commonest = asked = 0
        for start in range(0, len(texts), 128):
            logits, wanted = self.guesses(self.hidden(texts[start : start + 128], generator(part, start)))
            loss += F.cross_entropy(logits, wanted, reduction="sum").item()
            right += (logits.argmax(dim=-1) == wanted).sum().item()
            commonest += (wanted == self.vocabulary.ids[self.vocabulary.characters[0]]).sum().item()
            asked += len(wanted)
        self.model.train()
        return {"loss": loss / asked, "accuracy": right / asked, "commonest": commonest / asked, "asked": asked}


def generator(*names: object) -> torch.Generator:
    """Give a source of randomness that depends on what it is for, on every machine the same."""
    digest = hashlib.sha256(" ".join(map(str, names)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
