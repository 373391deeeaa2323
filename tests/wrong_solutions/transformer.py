"""Wrong and right solutions of chapter 02's exercises."""

import numpy as np
import torch

from lib.attention import scaled_dot_product_attention


def softmax(scores, axis=-1):
    weights = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


# my_cross_attention(x, memory, w_query, w_key, w_value, visible)


def scores_of(x, memory, w_query, w_key):
    return (x @ w_query) @ (memory @ w_key).T / np.sqrt(w_key.shape[1])


def self_attention(x, memory, w_query, w_key, w_value, visible):
    return softmax(scores_of(x, x, w_query, w_key)) @ (x @ w_value)


def keys_from_x(x, memory, w_query, w_key, w_value, visible):
    return softmax(scores_of(x, x, w_query, w_key))[:, : len(memory)] @ (memory @ w_value)[: len(x)]


def values_from_x(x, memory, w_query, w_key, w_value, visible):
    return softmax(scores_of(x, memory, w_query, w_key)) @ (x @ w_value)


def swapped_roles(x, memory, w_query, w_key, w_value, visible):
    return softmax(scores_of(memory, x, w_query, w_key)) @ (x @ w_value)


def unscaled(x, memory, w_query, w_key, w_value, visible):
    scores = (x @ w_query) @ (memory @ w_key).T
    return softmax(np.where(visible, scores, -np.inf)) @ (memory @ w_value)


def divided_by_d_k(x, memory, w_query, w_key, w_value, visible):
    scores = (x @ w_query) @ (memory @ w_key).T / w_key.shape[1]
    return softmax(np.where(visible, scores, -np.inf)) @ (memory @ w_value)


def divided_by_width(x, memory, w_query, w_key, w_value, visible):
    scores = (x @ w_query) @ (memory @ w_key).T / np.sqrt(x.shape[1])
    return softmax(np.where(visible, scores, -np.inf)) @ (memory @ w_value)


def wrong_axis(x, memory, w_query, w_key, w_value, visible):
    scores = np.where(visible, scores_of(x, memory, w_query, w_key), -np.inf)
    return softmax(scores, axis=0) @ (memory @ w_value)


def sees_padding(x, memory, w_query, w_key, w_value, visible):
    return softmax(scores_of(x, memory, w_query, w_key)) @ (memory @ w_value)


def masks_weights(x, memory, w_query, w_key, w_value, visible):
    return (softmax(scores_of(x, memory, w_query, w_key)) * visible) @ (memory @ w_value)


def masks_with_zero(x, memory, w_query, w_key, w_value, visible):
    return softmax(scores_of(x, memory, w_query, w_key) * visible) @ (memory @ w_value)


def causal(x, memory, w_query, w_key, w_value, visible):
    seen = np.tri(len(x), len(memory), dtype=bool) & visible
    return softmax(np.where(seen, scores_of(x, memory, w_query, w_key), -np.inf)) @ (memory @ w_value)


def values_by_key_matrix(x, memory, w_query, w_key, w_value, visible):
    scores = np.where(visible, scores_of(x, memory, w_query, w_key), -np.inf)
    return softmax(scores) @ (memory @ w_key)


def overflowing(x, memory, w_query, w_key, w_value, visible):
    weights = np.exp(np.where(visible, scores_of(x, memory, w_query, w_key), -np.inf))
    return weights / weights.sum(-1, keepdims=True) @ (memory @ w_value)


def raw_memory(x, memory, w_query, w_key, w_value, visible):
    scores = np.where(visible, scores_of(x, memory, w_query, w_key), -np.inf)
    return softmax(scores) @ memory


def mask_the_wrong_way_round(x, memory, w_query, w_key, w_value, visible):
    return softmax(np.where(visible, -np.inf, scores_of(x, memory, w_query, w_key))) @ (memory @ w_value)


def large_number_for_infinity(x, memory, w_query, w_key, w_value, visible):
    return softmax(np.where(visible, scores_of(x, memory, w_query, w_key), -1e4)) @ (memory @ w_value)


def hidden_memory_zero(x, memory, w_query, w_key, w_value, visible):
    memory = memory * visible[:, None]
    return softmax(scores_of(x, memory, w_query, w_key)) @ (memory @ w_value)


def one_sum_for_all_rows(x, memory, w_query, w_key, w_value, visible):
    weights = np.exp(np.where(visible, scores_of(x, memory, w_query, w_key), -np.inf))
    return weights / weights.sum() @ (memory @ w_value)


def largest_of_all_rows(x, memory, w_query, w_key, w_value, visible):
    scores = np.where(visible, scores_of(x, memory, w_query, w_key), -np.inf)
    weights = np.exp(scores - scores.max())
    return weights / weights.sum(-1, keepdims=True) @ (memory @ w_value)


def likeliest_word_alone(x, memory, w_query, w_key, w_value, visible):
    scores = np.where(visible, scores_of(x, memory, w_query, w_key), -np.inf)
    return (memory @ w_value)[scores.argmax(-1)]


def without_softmax(x, memory, w_query, w_key, w_value, visible):
    return np.where(visible, scores_of(x, memory, w_query, w_key), 0) @ (memory @ w_value)


def multiplied_by_the_root(x, memory, w_query, w_key, w_value, visible):
    scores = (x @ w_query) @ (memory @ w_key).T * np.sqrt(w_key.shape[1])
    return softmax(np.where(visible, scores, -np.inf)) @ (memory @ w_value)


def weights_only(x, memory, w_query, w_key, w_value, visible):
    return softmax(np.where(visible, scores_of(x, memory, w_query, w_key), -np.inf))


def matrices_swapped(x, memory, w_query, w_key, w_value, visible):
    return softmax(np.where(visible, scores_of(x, memory, w_key, w_query), -np.inf)) @ (memory @ w_value)


def hides_memory_in_place(x, memory, w_query, w_key, w_value, visible):
    scores = np.where(visible, scores_of(x, memory, w_query, w_key), -np.inf)
    memory[~visible] = 0
    return softmax(scores) @ (memory @ w_value)


def cross_of_the_visible(x, memory, w_query, w_key, w_value, visible):
    memory = memory[visible]
    return softmax(scores_of(x, memory, w_query, w_key)) @ (memory @ w_value)


def cross_in_loops(x, memory, w_query, w_key, w_value, visible):
    outputs = []
    for query in x @ w_query:
        scores = np.array([query @ key for key in memory[visible] @ w_key]) / np.sqrt(len(query))
        weights = np.exp(scores - scores.max())
        outputs.append(weights @ (memory[visible] @ w_value) / weights.sum())
    return np.stack(outputs)


def cross_by_lib(x, memory, w_query, w_key, w_value, visible):
    x, memory, w_query, w_key, w_value, visible = map(torch.tensor, (x, memory, w_query, w_key, w_value, visible))
    mask = visible[None].expand(len(x), -1)
    return scaled_dot_product_attention(x @ w_query, memory @ w_key, memory @ w_value, mask).numpy()


# my_greedy(step, max_length)


def goes_on(step, max_length):
    tokens = [1]
    for _ in range(max_length):
        tokens.append(int(step(tokens).argmax()))
    return np.array(tokens[1:])


def without_end(step, max_length):
    tokens = [1]
    while len(tokens) <= max_length:
        token = int(step(tokens).argmax())
        if token == 2:
            break
        tokens.append(token)
    return np.array(tokens[1:])


def with_begin(step, max_length):
    tokens = [1]
    while len(tokens) <= max_length and tokens[-1] != 2:
        tokens.append(int(step(tokens).argmax()))
    return np.array(tokens)


def forgets(step, max_length):
    tokens = [1]
    while len(tokens) <= max_length and tokens[-1] != 2:
        tokens.append(int(step(tokens[-1:]).argmax()))
    return np.array(tokens[1:])


def begins_with_end(step, max_length):
    tokens = [2]
    while len(tokens) <= max_length:
        tokens.append(int(step(tokens).argmax()))
        if tokens[-1] == 2:
            break
    return np.array(tokens[1:])


def begins_with_zero(step, max_length):
    tokens = [0]
    while len(tokens) <= max_length and tokens[-1] != 2:
        tokens.append(int(step(tokens).argmax()))
    return np.array(tokens[1:])


def least_likely(step, max_length):
    tokens = [1]
    while len(tokens) <= max_length and tokens[-1] != 2:
        tokens.append(int(step(tokens).argmin()))
    return np.array(tokens[1:])


def one_too_few(step, max_length):
    tokens = [1]
    while len(tokens) < max_length and tokens[-1] != 2:
        tokens.append(int(step(tokens).argmax()))
    return np.array(tokens[1:])


def one_too_many(step, max_length):
    tokens = [1]
    while len(tokens) <= max_length + 1 and tokens[-1] != 2:
        tokens.append(int(step(tokens).argmax()))
    return np.array(tokens[1:])


def largest_size(step, max_length):
    tokens = [1]
    while len(tokens) <= max_length and tokens[-1] != 2:
        tokens.append(int(np.abs(step(tokens)).argmax()))
    return np.array(tokens[1:])


def second_best(step, max_length):
    tokens = [1]
    while len(tokens) <= max_length and tokens[-1] != 2:
        tokens.append(int(step(tokens).argsort()[-2]))
    return np.array(tokens[1:])


def gives_a_list(step, max_length):
    tokens = [1]
    while len(tokens) <= max_length and tokens[-1] != 2:
        tokens.append(int(step(tokens).argmax()))
    return tokens[1:]


def never_ends_at_once(step, max_length):
    tokens = [1]
    while len(tokens) <= max_length and tokens[-1] != 2:
        logits = step(tokens).copy()
        if len(tokens) == 1:
            logits[2] = -np.inf
        tokens.append(int(logits.argmax()))
    return np.array(tokens[1:])


def never_repeats(step, max_length):
    tokens = [1]
    while len(tokens) <= max_length and tokens[-1] != 2:
        logits = step(tokens).copy()
        logits[tokens[-1]] = -np.inf
        tokens.append(int(logits.argmax()))
    return np.array(tokens[1:])


def three_beams(step, max_length):
    beams = [([1], 0.0)]
    for _ in range(max_length):
        longer = []
        for tokens, score in beams:
            if tokens[-1] == 2:
                longer.append((tokens, score))
                continue
            logs = np.log(softmax(step(tokens)))
            longer += [([*tokens, int(token)], score + logs[token]) for token in logs.argsort()[-3:]]
        beams = sorted(longer, key=lambda beam: -beam[1])[:3]
    return np.array(beams[0][0][1:])


def draws(step, max_length):
    tokens, rng = [1], np.random.default_rng(0)
    while len(tokens) <= max_length and tokens[-1] != 2:
        tokens.append(int(rng.choice(9, p=softmax(step(tokens)))))
    return np.array(tokens[1:])


def two_tokens_of_memory(step, max_length):
    tokens = [1]
    while len(tokens) <= max_length and tokens[-1] != 2:
        tokens.append(int(step(tokens[-2:]).argmax()))
    return np.array(tokens[1:])


def forgets_begin(step, max_length):
    new = []
    while len(new) < max_length and new[-1:] != [2]:
        new.append(int(step(new or [1]).argmax()))
    return np.array(new)


def filled_up(step, max_length):
    new = greedy_with_for(step, max_length)
    return np.concatenate([new, np.zeros(max_length - len(new), dtype=int)])


def always_ends(step, max_length):
    new = greedy_with_for(step, max_length)
    return new if new[-1] == 2 else np.append(new, 2)


def stops_below_zero(step, max_length):
    tokens = [1]
    while len(tokens) <= max_length and tokens[-1] != 2:
        logits = step(tokens)
        if logits.max() < 0:
            break
        tokens.append(int(logits.argmax()))
    return np.array(tokens[1:])


def puts_in_front(step, max_length):
    tokens = [1]
    while len(tokens) <= max_length and tokens[0] != 2:
        tokens.insert(0, int(step(tokens).argmax()))
    return np.array(tokens[-2::-1])


def one_token(step, max_length):
    return np.array([int(step([1]).argmax())])


def greedy_with_an_array(step, max_length):
    tokens = np.array([1])
    while len(tokens) <= max_length and tokens[-1] != 2:
        tokens = np.append(tokens, step(tokens).argmax())
    return tokens[1:]


def greedy_with_for(step, max_length):
    new = []
    for _ in range(max_length):
        new.append(int(np.argmax(step([1, *new]))))
        if new[-1] == 2:
            break
    return np.array(new)


def greedy_recursively(step, max_length, tokens=(1,)):
    token = int(np.argmax(step(list(tokens))))
    if token == 2 or max_length == 1:
        return np.array([token])
    return np.concatenate([[token], greedy_recursively(step, max_length - 1, (*tokens, token))])


# my_pointing(weights, alignment)


def unknown_are_misses(weights, alignment):
    return (weights.argmax(-1) == alignment).mean()


def unknown_are_hits(weights, alignment):
    return ((weights.argmax(-1) == alignment) | (alignment == -1)).mean()


def mean_weight(weights, alignment):
    return np.mean([row[place] for row, place in zip(weights, alignment, strict=True) if place >= 0])


def number_of_hits(weights, alignment):
    return np.sum([row.argmax() == place for row, place in zip(weights, alignment, strict=True) if place >= 0])


def share_of_misses(weights, alignment):
    known = alignment >= 0
    return (weights.argmax(-1) != alignment)[known].mean()


def one_answer_each(weights, alignment):
    known = alignment >= 0
    return weights[known].argmax(-1) == alignment[known]


def smallest_weight(weights, alignment):
    known = alignment >= 0
    return (weights.argmin(-1) == alignment)[known].mean()


def place_zero_is_unknown(weights, alignment):
    known = alignment > 0
    return (weights.argmax(-1) == alignment)[known].mean()


def neighbours_count(weights, alignment):
    known = alignment >= 0
    return (np.abs(weights.argmax(-1) - alignment) < 2)[known].mean()


def for_each_word(weights, alignment):
    return (weights.argmax(0)[: len(alignment)] == alignment[: weights.shape[1]]).mean()


def more_than_half(weights, alignment):
    known = np.flatnonzero(alignment >= 0)
    return np.mean(weights[known, alignment[known]] > 0.5)


def more_than_a_fair_share(weights, alignment):
    known = np.flatnonzero(alignment >= 0)
    return np.mean(weights[known, alignment[known]] > 1 / weights.shape[1])


def mean_over_words(weights, alignment):
    hits = weights.argmax(-1) == alignment
    return np.mean([hits[alignment == place].mean() for place in np.unique(alignment[alignment >= 0])])


def first_rows_only(weights, alignment):
    known = alignment[alignment >= 0]
    return np.mean(weights.argmax(-1)[: len(known)] == known)


def one_step_later(weights, alignment):
    return np.mean((np.roll(weights.argmax(-1), 1) == alignment)[alignment >= 0])


def last_word_where_none(weights, alignment):
    return np.mean(weights[np.arange(len(alignment)), alignment] == weights.max(-1))


def in_percent(weights, alignment):
    return 100 * pointing_by_weights(weights, alignment)


def all_or_nothing(weights, alignment):
    return float((weights.argmax(-1) == alignment)[alignment >= 0].all())


def mean_of_the_largest(weights, alignment):
    return weights[alignment >= 0].max(-1).mean()


def rewrites_the_unknown(weights, alignment):
    alignment[alignment < 0] = 99
    return np.mean((weights.argmax(-1) == alignment)[alignment < 99])


def pointing_by_sums(weights, alignment):
    known = alignment >= 0
    return float(((weights.argmax(-1) == alignment) & known).sum() / known.sum())


def pointing_in_loops(weights, alignment):
    hits = [int(np.argmax(row)) == place for row, place in zip(weights, alignment, strict=True) if place != -1]
    return np.float64(sum(hits) / len(hits))


def pointing_by_weights(weights, alignment):
    known = np.flatnonzero(alignment >= 0)
    return np.mean(weights[known, alignment[known]] == weights[known].max(-1))


WRONG = {
    "check_cross_attention": {
        self_attention: "this is self-attention",
        keys_from_x: "Here 3 places of the decoder",
        values_from_x: "Here 3 places of the decoder",
        swapped_roles: "x asks and the memory answers",
        unscaled: "not divided by the square root",
        divided_by_d_k: "take its square root",
        divided_by_width: "root of D",
        wrong_axis: "each row, over the memory",
        sees_padding: "padding is seen",
        masks_weights: "no longer sum to 1",
        masks_with_zero: "have to become -inf",
        causal: "causal mask",
        values_by_key_matrix: "made with w_key",
        overflowing: "subtract the largest one",
        raw_memory: "not (3, 4)",
        mask_the_wrong_way_round: "the wrong way round",
        large_number_for_infinity: "often below -1e4",
        hidden_memory_zero: "the last 2 places of the memory were padding",
        one_sum_for_all_rows: "Here 3 places of the decoder",
        largest_of_all_rows: "subtract the largest one of each row",
        likeliest_word_alone: "Here 3 places of the decoder",
        without_softmax: "Here 3 places of the decoder",
        multiplied_by_the_root: "Here 3 places of the decoder",
        weights_only: "the shape is (3, 5), not (3, 4)",
        matrices_swapped: "Here 3 places of the decoder",
        hides_memory_in_place: "changes its arguments",
    },
    "check_greedy": {
        goes_on: "behind the end token",
        without_end: "end token is missing",
        with_begin: "BEGIN stands in the answer",
        forgets: "only the last token",
        begins_with_end: "starts from the end token",
        begins_with_zero: "starts from the token 0",
        least_likely: "least likely",
        one_too_few: "one token before max_length",
        one_too_many: "more than max_length",
        largest_size: "largest size",
        second_best: "second likeliest",
        gives_a_list: "not a NumPy array",
        never_ends_at_once: "the end token alone",
        never_repeats: "may repeat itself",
        three_beams: "looks at one step only",
        draws: "the likeliest token at the sixth place",
        two_tokens_of_memory: "not (6,)",
        forgets_begin: "not (6,)",
        filled_up: "the shape is (20,), not (6,)",
        always_ends: "exactly 4 new tokens",
        stops_below_zero: "looks at one step only",
        puts_in_front: "Here the end was",
        one_token: "the shape is (1,), not (6,)",
    },
    "check_pointing": {
        unknown_are_misses: "count as misses",
        unknown_are_hits: "count as hits",
        mean_weight: "mean weight",
        number_of_hits: "number of hits",
        share_of_misses: "share of misses",
        one_answer_each: "take the mean",
        smallest_weight: "smallest weight",
        place_zero_is_unknown: "at place 0",
        neighbours_count: "a neighbour of the right word",
        for_each_word: "Here",
        more_than_half: "need not be large",
        more_than_a_fair_share: "need not be large",
        mean_over_words: "three of nine looks",
        first_rows_only: "three of nine looks",
        one_step_later: "Here each character had its word",
        last_word_where_none: "count as hits",
        in_percent: "is 60, not 0.6",
        all_or_nothing: "is 0, not 0.6",
        mean_of_the_largest: "Here each character had its word",
        rewrites_the_unknown: "changes its arguments",
    },
}

RIGHT = {
    "check_cross_attention": [cross_in_loops, cross_by_lib, cross_of_the_visible],
    "check_greedy": [greedy_with_for, greedy_recursively, greedy_with_an_array],
    "check_pointing": [pointing_in_loops, pointing_by_weights, pointing_by_sums],
}
