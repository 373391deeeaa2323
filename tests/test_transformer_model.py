"""The Transformer of 2017 and the recurrent translators: against torch, by their invariants, with and without cache."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib.attention import additive_score, softmax, watch
from lib.experiments import translation
from lib.models.recurrent import BahdanauTranslator, RecurrentConfig, RecurrentTranslator
from lib.models.transformer import Transformer, TransformerConfig
from lib.positional import sinusoidal_positions
from lib.training import count_parameters
from lib.transformer import PreNorm

SIZES = TransformerConfig(12, d_model=16, num_heads=4, num_layers=2, d_ff=24, dropout=0.0, max_length=20)
SMALL = RecurrentConfig(12, d_model=8, hidden=6)
SOURCE = torch.tensor([[5, 6, 7, 8, 3], [9, 4, 0, 0, 0], [11, 10, 9, 8, 0]])
TARGET = torch.tensor([[1, 4, 3, 7], [1, 5, 2, 0], [1, 8, 9, 10]])


def randomised(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / max(1, parameter.shape[-1]) ** 0.5)
    return model.eval()


def translators():
    return [
        randomised(Transformer(SIZES)),
        randomised(Transformer(SIZES, connection=PreNorm)),
        randomised(RecurrentTranslator(SMALL)),
        randomised(BahdanauTranslator(SMALL)),
    ]


every_translator = pytest.mark.parametrize("model", translators(), ids=["post-norm", "pre-norm", "GRU", "Bahdanau"])


@pytest.mark.parametrize(
    ("config", "parameters", "printed"),
    [(TransformerConfig.base(), 63_082_496, 65e6), (TransformerConfig.big(), 214_245_376, 213e6)],
)
def test_the_published_sizes(config, parameters, printed):
    with torch.device("meta"):
        assert count_parameters(Transformer(config)) == parameters
    assert parameters == pytest.approx(printed, rel=0.04)


def torch_transformer(model):
    """torch's own `nn.Transformer` with the weights of ours, post-norm."""
    c = model.config
    theirs = nn.Transformer(
        c.d_model, c.num_heads, c.num_layers, c.num_layers, c.d_ff, dropout=0.0, batch_first=True
    ).eval()
    theirs.encoder.norm = theirs.decoder.norm = None  # the paper's stacks end without one

    def linear(own, other):
        other.load_state_dict(own.state_dict())

    def attention(own, other):
        projections = (own.w_query, own.w_key, own.w_value)
        with torch.no_grad():
            other.in_proj_weight.copy_(torch.cat([one.weight for one in projections]))
            other.in_proj_bias.copy_(torch.cat([one.bias for one in projections]))
        linear(own.w_output, other.out_proj)

    for own, other in zip(model.encoder.layers, theirs.encoder.layers, strict=True):
        attention(own.attention, other.self_attn)
        linear(own.around_attention.norm, other.norm1)
        linear(own.around_feed_forward.norm, other.norm2)
        linear(own.feed_forward.widen, other.linear1)
        linear(own.feed_forward.narrow, other.linear2)
    for own, other in zip(model.decoder.layers, theirs.decoder.layers, strict=True):
        attention(own.self_attention, other.self_attn)
        attention(own.cross_attention, other.multihead_attn)
        linear(own.around_self_attention.norm, other.norm1)
        linear(own.around_cross_attention.norm, other.norm2)
        linear(own.around_feed_forward.norm, other.norm3)
        linear(own.feed_forward.widen, other.linear1)
        linear(own.feed_forward.narrow, other.linear2)
    return theirs


def test_it_is_torchs_transformer_between_a_shared_table_and_its_transpose():
    model = randomised(Transformer(SIZES))
    theirs = torch_transformer(model)

    def embedded(ids):
        return math.sqrt(16) * model.embedding.weight[ids] + sinusoidal_positions(ids.shape[1], 16)

    T = TARGET.shape[1]
    hidden = theirs(
        embedded(SOURCE),
        embedded(TARGET),
        tgt_mask=torch.ones(T, T).triu(1).bool(),
        src_key_padding_mask=SOURCE == 0,
        memory_key_padding_mask=SOURCE == 0,
    )
    torch.testing.assert_close(model(SOURCE, TARGET), hidden @ model.embedding.weight.T, rtol=1e-4, atol=1e-4)
    assert sum(p.shape[0] == 12 for p in model.parameters()) == 1  # one table for both languages and the logits


@every_translator
def test_no_place_sees_what_is_written_later(model):
    changed = TARGET.clone()
    changed[:, 2:] = torch.tensor([[9, 9], [3, 3], [1, 2]])
    before, after = model(SOURCE, TARGET), model(SOURCE, changed)
    torch.testing.assert_close(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2:], after[:, 2:])


@every_translator
def test_padding_changes_nothing(model):
    """The second sequence alone, without its padding, gives what it gave in the batch."""
    alone = model(SOURCE[1:2, :2], TARGET[1:2, :3])
    torch.testing.assert_close(model(SOURCE, TARGET)[1:2, :3], alone, rtol=1e-4, atol=1e-5)
    written = model.translate(SOURCE, max_length=9)[1]
    short = model.translate(SOURCE[1:2, :2], max_length=9)[0]
    assert torch.equal(written[: len(short)], short)


@every_translator
def test_every_word_of_the_source_matters_and_so_does_its_place(model):
    base = model(SOURCE[:1], TARGET[:1])
    for place in range(5):
        other = SOURCE[:1].clone()
        other[0, place] = 10
        assert not torch.allclose(model(other, TARGET[:1]), base, atol=1e-4)
    assert not torch.allclose(model(SOURCE[:1].flip(1), TARGET[:1]), base, atol=1e-4)


@every_translator
def test_translating_is_reading_its_own_words_again_and_again(model):
    written = model.translate(SOURCE, max_length=9)
    tokens = torch.ones(3, 1, dtype=torch.int64)
    for place in range(written.shape[1]):
        chosen = model(SOURCE, tokens)[:, -1].argmax(-1)
        ended = (tokens == 2).any(1)
        assert torch.equal(written[:, place], chosen.masked_fill(ended, 2))
        tokens = torch.cat([tokens, chosen[:, None]], dim=1)
    assert ((written == 2).all(1) | (written != 2).any(1)).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("connection", [None, PreNorm])
def test_the_cache_changes_no_token_and_no_logit(seed, connection):
    model = randomised(Transformer(SIZES, **({} if connection is None else {"connection": connection})), seed)
    assert torch.equal(model.translate(SOURCE, max_length=19), model.translate(SOURCE, max_length=19, use_cache=False))
    memory, cache = model.encode(SOURCE), model.decoder.new_cache()
    steps = [model.decode(TARGET[:, t : t + 1], memory, SOURCE, cache=cache) for t in range(4)]
    torch.testing.assert_close(torch.cat(steps, 1), model(SOURCE, TARGET), rtol=1e-4, atol=1e-4)
    cache = model.decoder.new_cache()
    halves = [model.decode(half, memory, SOURCE, cache=cache) for half in TARGET.split(2, dim=1)]
    torch.testing.assert_close(torch.cat(halves, 1), model(SOURCE, TARGET), rtol=1e-4, atol=1e-4)


def score(model, source, tokens, penalty):
    """Log-probability of new tokens by a forward over all of them, divided by the length."""
    ids = torch.tensor([[1, *tokens]])
    logs = model(source, ids[:, :-1]).log_softmax(-1)[0]
    return sum(logs[t, token].item() for t, token in enumerate(tokens)) / len(tokens) ** penalty


@pytest.mark.parametrize("seed", range(3))
def test_with_enough_beams_the_search_finds_the_best_translation_there_is(seed):
    config = TransformerConfig(5, d_model=8, num_heads=2, num_layers=1, d_ff=8, dropout=0.0, max_length=8)
    model = randomised(Transformer(config), seed)
    source = torch.tensor([[3, 4, 3], [4, 3, 0]])
    found = model.search(source, beams=60, max_length=3, length_penalty=0.6)
    for row in range(2):
        alone = source[row : row + 1, : 3 - row]
        ended = [[*start, 2] for n in range(3) for start in itertools.product([0, 1, 3, 4], repeat=n)]
        cut = [list(start) for start in itertools.product([0, 1, 3, 4], repeat=3)]
        best = max(ended + cut, key=lambda tokens: score(model, alone, tokens, 0.6))
        assert found.tokens[row, 0].tolist() == best + [2] * (found.tokens.shape[2] - len(best))
        assert found.scores[row, 0].item() == pytest.approx(score(model, alone, best, 0.6), abs=1e-4)


def test_one_beam_is_greedy_and_four_keep_their_caches_apart():
    model = randomised(Transformer(SIZES), 3)
    one, greedy = model.search(SOURCE, beams=1, max_length=8), model.translate(SOURCE, max_length=8)
    assert torch.equal(one.tokens[:, 0], greedy)
    with torch.no_grad():  # scores of the search are those of one pass over what it found
        four = model.search(SOURCE, beams=4, max_length=8, length_penalty=0.0)
    for row, length in enumerate((5, 2, 4)):
        for tokens, found in zip(four.tokens[row].tolist(), four.scores[row].tolist(), strict=True):
            ended = tokens[: tokens.index(2) + 1] if 2 in tokens else tokens
            assert found == pytest.approx(score(model, SOURCE[row : row + 1, :length], ended, 0.0), abs=1e-3)


@pytest.mark.parametrize("make", [lambda: Transformer(SIZES), lambda: BahdanauTranslator(SMALL)])
def test_one_batch_is_learned_by_heart(make):
    torch.manual_seed(0)
    model = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2 if isinstance(model, BahdanauTranslator) else 3e-3)
    target = torch.tensor([[1, 4, 3, 7, 2], [1, 5, 2, 0, 0], [1, 8, 9, 10, 2]])
    for _ in range(150):
        loss = F.cross_entropy(model(SOURCE, target[:, :-1]).flatten(0, 1), target[:, 1:].flatten(), ignore_index=0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    assert model.eval().translate(SOURCE).tolist() == [[4, 3, 7, 2], [5, 2, 2, 2], [8, 9, 10, 2]]


def test_dropout_is_on_in_training_only():
    model = Transformer(TransformerConfig(12, 16, 4, 2, 24, dropout=0.3, max_length=20))
    assert not torch.equal(model(SOURCE, TARGET), model(SOURCE, TARGET))
    written = [model.translate(SOURCE, max_length=15) for _ in range(3)]
    found = [model.search(SOURCE, max_length=15) for _ in range(3)]
    assert all(torch.equal(one, written[0]) for one in written)
    assert all(torch.equal(one.scores, found[0].scores) for one in found)
    assert model.training
    assert torch.equal(model.eval()(SOURCE, TARGET), model(SOURCE, TARGET))
    assert not model.training


def test_the_recurrent_writer_looks_with_bahdanaus_score():
    model = randomised(BahdanauTranslator(SMALL))
    with watch(model) as weights:
        model(SOURCE, TARGET)
    looks = torch.stack(weights["attention"], dim=1)  # (B, T, S)
    torch.testing.assert_close(looks.sum(-1), torch.ones(3, 4))
    assert (looks[1, :, 2:] == 0).all()  # padding
    memory, state = model._states(SOURCE)
    own = model.attention
    scores = additive_score(state[:, None], memory, own.w_query.weight.T, own.w_key.weight.T, own.v)  # (B, 1, S)
    torch.testing.assert_close(looks[:, :1], softmax(scores, (SOURCE != 0)[:, None]), rtol=1e-4, atol=1e-5)


def test_without_attention_the_writer_has_nothing_but_one_vector():
    model = randomised(RecurrentTranslator(SMALL))
    read, state = model._read(SOURCE)
    assert read.shape == state.shape == (3, 12)
    expected = []
    for row in range(3):  # torch's own cell, step by step
        s, cell = state[row : row + 1], nn.GRUCell(20, 12)
        cell.load_state_dict({name.removesuffix("_l0"): value for name, value in model.writer.state_dict().items()})
        for token in TARGET[row]:
            s = cell(torch.cat([model.embedding(token)[None], read[row : row + 1]], dim=-1), s)
            hidden = torch.tanh(model.narrow(torch.cat([s, read[row : row + 1]], dim=-1)))
            expected.append(hidden @ model.embedding.weight.T)
    torch.testing.assert_close(model(SOURCE, TARGET).flatten(0, 1), torch.cat(expected), rtol=1e-4, atol=1e-5)


GRU = RecurrentTranslator(SMALL)
MODEL = Transformer(SIZES)
TOKENS = torch.tensor([[1, 2]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TransformerConfig(d_model=30, num_heads=4), "d_model=30 is not divisible by num_heads=4"),
        (lambda: TransformerConfig(d_model=15, num_heads=3), "d_model must be even but is 15"),
        (lambda: TransformerConfig(num_layers=0), "num_layers must be an integer of at least 1 but is 0"),
        (lambda: TransformerConfig(dropout=1.0), "dropout must be at least 0 and below 1 but is 1.0"),
        (lambda: TransformerConfig(vocab_size=9, end=9), "end has the id 9 but vocab_size=9"),
        (lambda: RecurrentConfig(9, hidden=0), "hidden must be an integer of at least 1 but is 0"),
        (lambda: RecurrentConfig(9, pad=-1), "pad has the id -1 but vocab_size=9"),
        (lambda: MODEL(TOKENS + 10, TOKENS), "source holds the id 12 but vocab_size=12: ids run from 0 to 11"),
        (lambda: MODEL(TOKENS, TOKENS - 3), "target holds the id -2 but vocab_size=12: ids run from 0 to 11"),
        (lambda: GRU(TOKENS + 10, TOKENS), "source holds the id 12 but vocab_size=12: ids run from 0 to 11"),
        (lambda: GRU(TOKENS, TOKENS + 11), "target holds the id 12 but vocab_size=12: ids run from 0 to 11"),
        (lambda: MODEL(TOKENS.repeat(1, 11), TOKENS), "source is 22 long but there are 20 positions"),
        (lambda: MODEL(TOKENS, TOKENS.repeat(1, 11)), "target is 22 long but there are 20 positions"),
        (lambda: MODEL(TOKENS, TOKENS.repeat(2, 1)), "source has 1 sequences but target has 2"),
        (lambda: GRU(TOKENS, TOKENS.repeat(2, 1)), "source has 1 sequences but target has 2"),
        (lambda: GRU(torch.tensor([[3, 4], [0, 0]]), TOKENS.repeat(2, 1)), "source 1 of 2 holds only padding"),
        (
            lambda: MODEL(TOKENS[:, :0], TOKENS),
            "source is empty: shape (1, 0), but every axis needs a length of at least 1",
        ),
        (
            lambda: GRU.translate(TOKENS[:, :0]),
            "source is empty: shape (1, 0), but every axis needs a length of at least 1",
        ),
        (lambda: MODEL(TOKENS.float(), TOKENS), "source must hold integers (int64 or int32) but has dtype float32"),
        (lambda: MODEL.translate(TOKENS, max_length=0), "max_length must be an integer of at least 1 but is 0"),
        (lambda: GRU.translate(TOKENS, max_length=0), "max_length must be an integer of at least 1 but is 0"),
        (lambda: MODEL.search(TOKENS, beams=0), "beams must be an integer of at least 1 but is 0"),
    ],
)
def test_a_mistake_is_named(call, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole message is compared below)
        call()
    assert str(caught.value) == message


def test_more_new_tokens_than_positions_are_named():
    model = randomised(Transformer(SIZES))
    with torch.no_grad():
        model.embedding.weight[2] = 0  # the end is never the likeliest
        model.embedding.weight[3] = 10
    with pytest.raises(ValueError, match="target is 21 long but there are 20 positions"):
        model.translate(SOURCE, max_length=50)


def test_a_silenced_kind_of_attention_tells_nothing():
    model = randomised(translation.build("Transformer"))
    other = torch.tensor([[4, 30, 7, 20, 3], [9, 40, 0, 0, 0], [11, 50, 9, 8, 0]])
    written = torch.tensor([[1, 9, 3, 7], [1, 9, 2, 0], [1, 9, 9, 10]])  # differs at place 1
    assert not torch.allclose(model.encode(SOURCE)[:, 2:], model.encode(other)[:, 2:])
    with translation.silenced(model, "encoder"):  # place 2 holds the same word in both, and hears of no other
        torch.testing.assert_close(model.encode(SOURCE)[::2, 2], model.encode(other)[::2, 2])
    with translation.silenced(model, "cross"):
        torch.testing.assert_close(model(SOURCE, TARGET), model(other, TARGET))
        assert not torch.allclose(model(SOURCE, TARGET)[0, 3], model(SOURCE, written)[0, 3])
    with translation.silenced(model, "decoder"):
        torch.testing.assert_close(model(SOURCE, TARGET)[0, 3], model(SOURCE, written)[0, 3])
        assert not torch.allclose(model(SOURCE, TARGET), model(other, TARGET))


def test_pointing_counts_only_what_is_known():
    weights = torch.eye(4)[torch.tensor([[0, 2, 1, 3], [3, 3, 0, 0]])]  # (2, 4, 4)
    assert translation.pointed(weights, torch.tensor([[0, 1, -1, 3], [3, -1, -1, 0]])) == 0.8


def test_the_arms_have_one_size_and_equal_seconds_their_own_steps():
    sizes = {arm: count_parameters(translation.build(arm)) for arm in translation.ARMS}
    assert max(sizes.values()) < 1.03 * min(sizes.values())
    assert {arm: translation.steps_of(arm) for arm in translation.ARMS} == {
        "Transformer": 500,
        "GRU, attention": 500,
        "GRU, no attention": 500,
        "GRU, attention, equal seconds": 350,
        "GRU, no attention, equal seconds": 600,
    }
    with pytest.raises(ValueError, match="no arm 'LSTM'; there are Transformer, GRU, attention"):
        translation.build("LSTM")


@pytest.mark.parametrize("kind", [RecurrentTranslator, BahdanauTranslator])
def test_writing_at_once_is_writing_step_by_step(kind):
    model = randomised(kind(SMALL))
    read, state = model._read(SOURCE)
    steps = []
    for t in range(4):
        logits, state = model._write(model.embedding(TARGET[:, t : t + 1]), read, state)
        steps.append(logits)
    torch.testing.assert_close(model(SOURCE, TARGET), torch.cat(steps, dim=1), rtol=1e-4, atol=1e-5)
