"""What learners write for chapter 06: wrong, with the words that the check must find, and right in other ways."""

import numpy as np
import torch
import torch.nn.functional as F

# my_hide_tokens(tokens, special, choice, fate, drawn)


def hides_special(tokens, special, choice, fate, drawn):
    seen = tokens.copy()
    chosen = choice < 0.15
    seen[chosen & (fate < 0.8)] = 103
    random = chosen & (fate >= 0.8) & (fate < 0.9)
    seen[random] = drawn[random]
    return seen


def hides_all_chosen(tokens, special, choice, fate, drawn):
    return np.where((choice < 0.15) & ~special, 103, tokens)


def never_replaces(tokens, special, choice, fate, drawn):
    return np.where((choice < 0.15) & ~special & (fate < 0.8), 103, tokens)


def never_keeps(tokens, special, choice, fate, drawn):
    chosen = (choice < 0.15) & ~special
    return np.where(chosen, np.where(fate < 0.8, 103, drawn), tokens)


def chooses_the_others(tokens, special, choice, fate, drawn):
    chosen = (choice > 0.15) & ~special
    replaced = np.where(fate < 0.8, 103, np.where(fate < 0.9, drawn, tokens))
    return np.where(chosen, replaced, tokens)


def chooses_everything(tokens, special, choice, fate, drawn):
    return np.where(special | (fate >= 0.9), tokens, np.where(fate < 0.8, 103, drawn))


def drawn_in_order(tokens, special, choice, fate, drawn):
    seen = tokens.copy()
    queue = list(drawn)
    for place in np.flatnonzero((choice < 0.15) & ~special):
        if fate[place] < 0.8:
            seen[place] = 103
        elif fate[place] < 0.9:
            seen[place] = queue.pop(0)
    return seen


def hides_with_zero(tokens, special, choice, fate, drawn):
    chosen = (choice < 0.15) & ~special
    return np.where(chosen & (fate < 0.8), 0, np.where(chosen & (fate < 0.9), drawn, tokens))


def one_draw_for_both(tokens, special, choice, fate, drawn):
    chosen = (choice < 0.15) & ~special
    return np.where(chosen & (choice < 0.8), 103, tokens)


def shares_of_everything(tokens, special, choice, fate, drawn):
    chosen = (choice < 0.15) & ~special
    return np.where(chosen & (fate < 0.15), 103, tokens)


def upside_down(tokens, special, choice, fate, drawn):
    chosen = (choice < 0.15) & ~special
    return np.where(chosen & (fate > 0.2), 103, np.where(chosen & (fate > 0.1), drawn, tokens))


def returns_the_choice(tokens, special, choice, fate, drawn):
    return (choice < 0.15) & ~special


def chooses_the_border(tokens, special, choice, fate, drawn):
    chosen = (choice <= 0.15) & ~special
    return np.where(chosen & (fate < 0.8), 103, np.where(chosen & (fate < 0.9), drawn, tokens))


def hides_the_border(tokens, special, choice, fate, drawn):
    chosen = (choice < 0.15) & ~special
    return np.where(chosen & (fate <= 0.8), 103, np.where(chosen & (fate < 0.9), drawn, tokens))


def replaces_the_border(tokens, special, choice, fate, drawn):
    chosen = (choice < 0.15) & ~special
    return np.where(chosen & (fate < 0.8), 103, np.where(chosen & (fate <= 0.9), drawn, tokens))


def replaces_special(tokens, special, choice, fate, drawn):
    """Spares the special tokens when hiding and forgets them when replacing."""
    chosen = choice < 0.15
    seen = np.where(chosen & (fate >= 0.8) & (fate < 0.9), drawn, tokens)
    return np.where(chosen & (fate < 0.8) & ~special, 103, seen)


def changes_tokens(tokens, special, choice, fate, drawn):
    chosen = (choice < 0.15) & ~special
    random = chosen & (fate >= 0.8) & (fate < 0.9)
    tokens[random] = drawn[random]
    tokens[chosen & (fate < 0.8)] = 103
    return tokens


def hide_in_loops(tokens, special, choice, fate, drawn):
    seen = []
    for token, is_special, one, two, other in zip(tokens, special, choice, fate, drawn, strict=True):
        if is_special or one >= 0.15 or two >= 0.9:
            seen.append(token)
        else:
            seen.append(103 if two < 0.8 else other)
    return np.array(seen)


def hide_in_place(tokens, special, choice, fate, drawn):
    return hides_special(tokens, special, np.where(special, 1.0, choice), fate, drawn)


def hide_with_select(tokens, special, choice, fate, drawn):
    untouched = special | (choice >= 0.15) | (fate >= 0.9)
    return np.select([untouched, fate < 0.8], [tokens, np.full_like(tokens, 103)], drawn)


# my_mean_pooled(hidden, lengths)


def real(hidden, lengths):
    return np.arange(hidden.shape[1])[None, :, None] < lengths[:, None, None]


def mean(hidden, lengths):
    return np.stack([text[:length].mean(axis=0) for text, length in zip(hidden, lengths, strict=True)])


def unit(x):
    return x / np.sqrt((x**2).sum(axis=-1, keepdims=True))


def not_normalised(hidden, lengths):
    return mean(hidden, lengths)


def with_padding(hidden, lengths):
    return unit(hidden.mean(axis=1))


def padding_as_zeros(hidden, lengths):
    return (hidden * real(hidden, lengths)).mean(axis=1)


def first_token(hidden, lengths):
    return unit(hidden[:, 0])


def last_token(hidden, lengths):
    return unit(np.stack([text[length - 1] for text, length in zip(hidden, lengths, strict=True)]))


def last_place(hidden, lengths):
    return unit(hidden[:, -1])


def maximum(hidden, lengths):
    return unit(np.stack([text[:length].max(axis=0) for text, length in zip(hidden, lengths, strict=True)]))


def tokens_normalised(hidden, lengths):
    return unit(mean(unit(hidden), lengths))


def by_absolute_values(hidden, lengths):
    x = mean(hidden, lengths)
    return x / np.abs(x).sum(axis=-1, keepdims=True)


def norm_over_texts(hidden, lengths):
    x = mean(hidden, lengths)
    return x / np.linalg.norm(x, axis=0)


def norm_of_all(hidden, lengths):
    x = mean(hidden, lengths)
    return x / np.linalg.norm(x)


def by_square(hidden, lengths):
    x = mean(hidden, lengths)
    return x / (x * x).sum(axis=-1, keepdims=True)


def without_the_last(hidden, lengths):
    return unit(mean(hidden, np.maximum(lengths - 1, 1)))


def over_texts(hidden, lengths):
    return unit(hidden.mean(axis=0))


def norm_without_axis_kept(hidden, lengths):
    x = mean(hidden, lengths)
    return x / np.linalg.norm(x, axis=-1)


def pool_with_mask(hidden, lengths):
    return unit((hidden * real(hidden, lengths)).sum(axis=1))  # the length cancels


def pool_with_einsum(hidden, lengths):
    weights = (np.arange(hidden.shape[1]) < lengths[:, None]) / lengths[:, None]
    return unit(np.einsum("btd,bt->bd", hidden, weights))


def pool_with_torch(hidden, lengths):
    x = torch.tensor(hidden).masked_fill(~torch.tensor(real(hidden, lengths)), 0).sum(dim=1)
    return F.normalize(x / torch.tensor(lengths)[:, None], dim=-1).numpy()


WRONG = {
    "check_hide_tokens": {
        hides_special: "special tokens are hidden",
        hides_all_chosen: "every chosen token becomes 103",
        never_replaces: "no chosen token is replaced",
        never_keeps: "no chosen token stays",
        chooses_the_others: "choice >= 0.15",
        chooses_everything: "every token is chosen",
        drawn_in_order: "replaced by drawn",
        hides_with_zero: "become 0",
        one_draw_for_both: "every chosen token becomes 103",
        shares_of_everything: "Every fate was 0.3",
        upside_down: "wrong way round",
        returns_the_choice: "return the tokens that are seen",
        chooses_the_border: "on the borders",
        hides_the_border: "on the borders",
        replaces_the_border: "on the borders",
        replaces_special: "they still stay",
        changes_tokens: "changes its arguments",
    },
    "check_mean_pooled": {
        not_normalised: "not made 1 long",
        with_padding: "padding is averaged",
        padding_as_zeros: "not made 1 long",
        first_token: "first token",
        last_token: "last real token",
        last_place: "last real token",
        maximum: "maximum",
        tokens_normalised: "before the mean",
        by_absolute_values: "absolute values",
        norm_over_texts: "over the texts",
        norm_of_all: "whole batch",
        by_square: "square of the length",
        without_the_last: "last real token is left out",
        over_texts: "over the texts",
        norm_without_axis_kept: "keepdims=True",
    },
}

RIGHT = {
    "check_hide_tokens": [hide_in_loops, hide_in_place, hide_with_select],
    "check_mean_pooled": [pool_with_mask, pool_with_einsum, pool_with_torch],
}
