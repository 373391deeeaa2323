"""What learners write for chapter 13: wrong, with the words that the check must find, and right in other ways."""

import re

import numpy as np
import torch

# my_restore(source, target, sentinels)


def unchanged(source, target, sentinels):
    return source.copy()


def closed(source, target, sentinels):
    return source[~np.isin(source, sentinels)]


def appended(source, target, sentinels):
    both = np.concatenate([source, target])
    return both[~np.isin(both, sentinels)]


def walked(source, target, sentinels, *, start=1, stop=0, keep=False, step=1, tail=True):
    """Cut each span out of the target between its sentinel and the next one."""
    text = []
    edges = [place for place, token in enumerate(target) if token in sentinels]
    for place, token in enumerate(source):
        if token in sentinels:
            begin = list(target).index(token)
            end = min(edge for edge in [*edges, len(target)] if edge > begin)
            text += [token] * keep + list(target[begin + start : end + stop][::step])
        elif tail or any(later in sentinels for later in source[place:]):
            text.append(token)
    return np.array(text)


def with_sentinels(source, target, sentinels):
    return walked(source, target, sentinels, start=0)


def short_spans(source, target, sentinels):
    return walked(source, target, sentinels, stop=-1)


def backwards(source, target, sentinels):
    return walked(source, target, sentinels, step=-1)


def without_tail(source, target, sentinels):
    return walked(source, target, sentinels, tail=False)


def single_tokens(source, target, sentinels):
    text = source.copy()
    for place, token in enumerate(source):
        if token in sentinels:
            text[place] = target[list(target).index(token) + 1]
    return text


def spans_in_order(source, target, sentinels):
    spans = iter([span[1:] for span in np.split(target, np.flatnonzero(np.isin(target, sentinels)))[1:]])
    return np.concatenate([next(spans) if token in sentinels else [token] for token in source]).astype(int)


def always_the_first(source, target, sentinels):
    first = target[1 : np.flatnonzero(np.isin(target, sentinels))[1]]
    return np.concatenate([first if t in sentinels else np.array([t]) for t in source])


def one_hole_only(source, target, sentinels):
    """Fills the first hole and leaves the others."""
    place = np.flatnonzero(np.isin(source, sentinels))[0]
    end = np.flatnonzero(np.isin(target, sentinels))[1]
    return np.concatenate([source[:place], target[1:end], source[place + 1 :]])


def with_the_end(source, target, sentinels):
    return np.append(walked(source, target, sentinels), target[-1])


def as_list(source, target, sentinels):
    return walked(source, target, sentinels).tolist()


def ends_at_the_next_number(source, target, sentinels):
    """Takes the sentinels to stand in the target in the order of the tuple."""
    names, text = list(sentinels), []
    for token in source.tolist():
        if token in names:
            begin = target.tolist().index(token)
            end = target.tolist().index(names[names.index(token) + 1])
            text += target[begin + 1 : end].tolist()
        else:
            text.append(token)
    return np.array(text)


def counts_down(source, target, sentinels):
    """Takes each span to end at the sentinel whose number is one less."""
    row, text = target.tolist(), []
    for token in source.tolist():
        text += row[row.index(token) + 1 : row.index(token - 1)] if token in sentinels else [token]
    return np.array(text)


def knows_the_sentinels(source, target, sentinels):
    return walked(source, target, (99, 98, 97, 96))


def fills_in_place(source, target, sentinels):
    answer = walked(source, target, sentinels)
    source[:] = 0
    return answer


def by_dictionary(source, target, sentinels):
    spans, name = {}, None
    for token in target:
        if token in sentinels:
            name = token
            spans[name] = []
        else:
            spans[name].append(token)
    return np.concatenate([spans.get(token, [token]) for token in source]).astype(int)


def by_text(source, target, sentinels):
    """With regular expressions, on the numbers written out."""
    written = " ".join(map(str, source)) + " "
    names = "|".join(map(str, sentinels))
    for name, span in re.findall(rf"\b({names})\b((?: (?!(?:{names})\b)\d+)*)", " ".join(map(str, target))):
        written = re.sub(rf"\b{name} ", f"{span.strip()} ".lstrip(), written)
    return np.array([int(number) for number in written.split()])


def right_restore(source, target, sentinels):
    return walked(source, target, sentinels)


# my_clipped_bias(table, T)


def looked_up(apart):
    """The rows for a function of query and key places."""

    def bias(table, T):
        rows = apart(np.arange(T)[:, None], np.arange(T), len(table) // 2)
        return np.moveaxis(table[np.broadcast_to(rows, (T, T))], -1, 0)

    return bias


def named(name, function):
    function.__name__ = name
    return function


turned = named("turned", looked_up(lambda t, s, k: k + np.clip(t - s, -k, k)))
alike = named("alike", looked_up(lambda t, s, k: k + np.minimum(np.abs(t - s), k)))
alike_downwards = named("alike_downwards", looked_up(lambda t, s, k: k - np.minimum(np.abs(t - s), k)))
first_row = named("first_row", looked_up(lambda t, s, k: np.clip(s - t, 0, 2 * k)))
middle_row = named("middle_row", looked_up(lambda t, s, k: k + np.where(np.abs(s - t) > k, 0, s - t)))
wrapped = named("wrapped", looked_up(lambda t, s, k: (k + s - t) % (2 * k + 1)))
key_only = named("key_only", looked_up(lambda t, s, k: np.clip(s, 0, 2 * k) + 0 * t))
unclipped = named("unclipped", looked_up(lambda t, s, k: k + s - t))
right_bias = named("right_bias", looked_up(lambda t, s, k: np.clip(s - t + k, 0, 2 * k)))


def heads_last(table, T):
    return right_bias(table, T).transpose(1, 2, 0)


def one_head(table, T):
    return right_bias(table, T)[0]


def heads_averaged(table, T):
    return right_bias(table, T).mean(0)


def far_is_nothing(table, T):
    apart = np.arange(T) - np.arange(T)[:, None]
    return right_bias(table, T) * (np.abs(apart) <= len(table) // 2)


def one_more_row(table, T):
    return np.concatenate([right_bias(table, T)] * 2, axis=0)[: table.shape[1] + 1]


def by_loops(table, T):
    k, bias = len(table) // 2, np.empty((table.shape[1], T, T))
    for head in range(table.shape[1]):
        for t in range(T):
            for s in range(T):
                bias[head, t, s] = table[max(-k, min(k, s - t)) + k, head]
    return bias


def by_torch(table, T):
    k, place = len(table) // 2, torch.arange(T)
    rows = (place - place[:, None]).clamp(-k, k) + k
    return torch.from_numpy(table)[rows].permute(2, 0, 1).numpy()


def by_strips(table, T):
    """Each row of the bias is a window of the table, its ends repeated."""
    k = len(table) // 2
    long = np.pad(table, ((max(T - 1 - k, 0),) * 2, (0, 0)), mode="edge")
    middle = len(long) // 2
    return np.stack([long[middle - t : middle - t + T].T for t in range(T)], axis=1)


WRONG = {
    "check_restore": {
        unchanged: "nothing is filled in",
        closed: "closed but not filled",
        appended: "put behind the text",
        with_sentinels: "the sentinels are still there",
        short_spans: "the last token of each span is lost",
        backwards: "reversed",
        without_tail: "behind the last hole is lost",
        single_tokens: "only the first token of a span",
        spans_in_order: "by their order in the target",
        always_the_first: "every hole gets the first span",
        one_hole_only: "There were two holes",
        with_the_end: "the shape is (8,), not (7,)",
        as_list: "it returns list",
        ends_at_the_next_number: "named 98 before 99",
        counts_down: "named 98 before 99",
        knows_the_sentinels: "the sentinels were 40, 41 and 42",
        fills_in_place: "it changes its arguments",
    },
    "check_clipped_bias": {
        turned: "the sign is turned round",
        alike: "before and after are treated alike",
        alike_downwards: "is the last row of the table",
        first_row: "takes the table's first row",
        middle_row: "take the middle row",
        wrapped: "wrap round",
        key_only: "the key's place alone",
        unclipped: "it stopped with IndexError",
        heads_last: "the heads are on the last axis",
        one_head: "only one head is left",
        heads_averaged: "the heads are averaged",
        far_is_nothing: "get 0",
        one_more_row: "the shape is (4, 2, 2), not (3, 2, 2)",
    },
}
RIGHT = {
    "check_restore": [right_restore, by_dictionary, by_text],
    "check_clipped_bias": [right_bias, by_loops, by_torch, by_strips],
}
