"""XLNet: equal to `transformers` with its weights, in any order; the target never leaks; mistakes are named."""

import json
import os
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

os.environ["HF_HUB_OFFLINE"] = "1"
import transformers

from lib.attention import watch
from lib.masks import padding_mask
from lib.models.xlnet import (
    Masks,
    RelativeAttention,
    XLNet,
    XLNetConfig,
    XLNetLMHead,
    distance_sinusoids,
    permutation_mask,
    relative_shift,
)
from lib.training import count_parameters

SIZES = {"vocab_size": 50, "d_model": 24, "n_head": 4, "n_layer": 3, "d_inner": 40, "initializer_range": 0.3}
T = 7
DIAGONAL = torch.eye(T, dtype=torch.bool)


def published(kind=transformers.XLNetLMHeadModel, **changes):
    """A small model of `transformers` in which every weight, also biases and norms, has a value of its own."""
    torch.manual_seed(0)
    model = kind(transformers.XLNetConfig(**SIZES | changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def loaded(model, folder, **options):
    model.save_pretrained(folder, **options)
    return XLNetLMHead.from_pretrained(folder)


def rewrite(folder, change):
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path)
    return folder


def batch():
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(50, (3, T), generator=generator)
    segments = torch.randint(2, (3, T), generator=generator)
    order = torch.stack([torch.randperm(T, generator=generator) for _ in range(3)])
    return tokens, segments, order


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.fixture
def small():
    """Ours, random, and large enough weights for every path to matter."""
    torch.manual_seed(3)
    model = XLNetLMHead(XLNetConfig(20, d_model=16, num_heads=2, num_layers=3, d_ff=24, dropout=0.0)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "12KB"}], ids=["one file", "sharded"])
def test_reading_both_sides_equals_transformers_with_padding_and_segments_and_all_heads(tmp_path, shards):
    theirs = published()
    ours = loaded(theirs, tmp_path, **shards)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1 or not shards
    tokens, segments, _ = batch()
    real = torch.arange(T) < torch.tensor([7, 5, 1])[:, None]
    expected = theirs(tokens, attention_mask=real.float(), token_type_ids=segments, output_attentions=True)
    with watch(ours) as weights, torch.no_grad():
        logits = ours(tokens, padding=padding_mask([7, 5, 1], T), segments=segments)
    close(logits, expected.logits)
    assert len(weights) == len(expected.attentions) == 3
    for (layer,), reference in zip(weights.values(), expected.attentions, strict=True):
        assert layer.shape == (3, 4, T, T)
        close(layer, reference)
    close(ours(tokens), theirs(tokens).logits)


@pytest.mark.parametrize("known", [1, 3])
def test_any_order_equals_transformers_in_both_streams_and_all_heads(tmp_path, known):
    # Never known=0: where nothing may be read, the released code mixes everything evenly and ours gives zeros.
    theirs, (tokens, segments, order) = published(), batch()
    ours, masks, targets = loaded(theirs, tmp_path), permutation_mask(order, known=known), order[:, known:]
    expected = theirs(
        tokens,
        perm_mask=(~masks.content | DIAGONAL).float(),  # there, 1 = may not attend
        target_mapping=one_hot(targets, T).float(),
        token_type_ids=segments,
        output_attentions=True,
        output_hidden_states=True,
    )
    with watch(ours) as weights, torch.no_grad():
        streams = ours.body(tokens, masks, segments=segments)
    rows = targets[..., None]
    close(ours.output(streams.query).gather(1, rows.expand(-1, -1, 50)), expected.logits)
    close(streams.content, expected.hidden_states[-2])
    for layer, reference in zip(weights.values(), expected.attentions, strict=True):
        asked, read = sorted(
            layer, key=lambda one: bool(one.diagonal(dim1=-2, dim2=-1).any())
        )  # the query stream first
        close(read, reference[0])
        at = rows[:, None].expand(-1, 4, -1, T)
        close(asked.gather(2, at), reference[1].gather(2, at))


def test_both_masks_may_be_anything(tmp_path):
    theirs, (tokens, _, _) = published(), batch()
    ours = loaded(theirs, tmp_path)
    allowed = torch.rand(3, T, T, generator=torch.Generator().manual_seed(5)) < 0.6
    allowed[:, :, 0] = True  # something is always left to read
    everything = torch.eye(T).expand(3, T, T)
    expected = theirs(tokens, perm_mask=1 - allowed.float(), target_mapping=everything).logits
    close(ours(tokens, Masks(allowed | DIAGONAL, allowed)), expected)


def test_a_checkpoint_with_both_copies_of_the_embeddings_and_one_of_another_kind(tmp_path):
    theirs, (tokens, _, _) = published(), batch()
    theirs.save_pretrained(tmp_path)
    expected = theirs(tokens).logits

    def twice(tensors):
        return tensors | {"lm_loss.weight": tensors["transformer.word_embedding.weight"].clone()}

    close(XLNetLMHead.from_pretrained(rewrite(tmp_path, twice))(tokens), expected)
    config = json.loads((tmp_path / "config.json").read_text())
    for change, words in {
        ("model_type", "bert"): "model_type 'bert' but expected xlnet",
        ("attn_type", "uni"): "attn_type='uni' but only 'bi'",
        ("clamp_len", 5): "clamp_len=5 but only -1",
        ("untie_r", False): "untie_r=False but only True",
        ("d_head", 5): "d_head=5 but only 6",
        ("ff_activation", "relu"): "ff_activation='relu' but only 'gelu'",
    }.items():
        (tmp_path / "config.json").write_text(json.dumps(config | dict([change])))
        with pytest.raises(ValueError, match=words.replace("(", r"\(")):
            XLNetLMHead.from_pretrained(tmp_path)


def test_weights_that_do_not_fit_are_named_and_pickled_ones_never_opened(tmp_path):
    published().save_pretrained(tmp_path)

    def broken(tensors):
        tensors.pop("transformer.mask_emb")
        name = "transformer.layer.1.rel_attn.k"
        return tensors | {"extra": torch.ones(1), name: tensors[name][:-1].clone()}

    with pytest.raises(ValueError, match="the weights do not fit XLNetLMHead") as caught:
        XLNetLMHead.from_pretrained(rewrite(tmp_path, broken))
    assert "missing: body.unknown\nunexpected: extra\n" in str(caught.value)
    assert "body.layers.1.attention.w_key.weight is (24, 23) but must be (24, 24)" in str(caught.value)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="never opened"):
        XLNetLMHead.from_pretrained(tmp_path)


@pytest.mark.parametrize(("preset", "parameters"), [("base", 116_718_336), ("large", 360_268_800)])
def test_the_presets_have_the_released_sizes(preset, parameters):
    config = getattr(XLNetConfig, preset)()
    sizes = {"d_model": config.d_model, "n_head": config.num_heads, "n_layer": config.num_layers}
    theirs = transformers.XLNetConfig(**sizes, d_inner=config.d_ff, vocab_size=config.vocab_size)
    with torch.device("meta"):
        assert count_parameters(XLNet(config)) == parameters == count_parameters(transformers.XLNetModel(theirs))
        head = XLNetLMHead(config)
        assert count_parameters(head) == count_parameters(transformers.XLNetLMHeadModel(theirs))
    assert count_parameters(head) == parameters + 32_000  # its weight is the embeddings'
    assert f"{parameters:,}" in XLNetConfig.__doc__


def orders():
    """Twelve orders, among them left to right and right to left."""
    generator = torch.Generator().manual_seed(7)
    return [torch.arange(T), torch.arange(T).flip(0), *(torch.randperm(T, generator=generator) for _ in range(10))]


def leak(model, masks, order):
    """The largest change of a logit when the target and all that comes later in the order gets another content."""
    tokens = torch.randint(20, (1, T), generator=torch.Generator().manual_seed(8))
    late = torch.zeros(len(order), T, dtype=torch.bool)  # a row a step: the target and what comes after it
    for step in range(len(order)):
        late[step, order[step:]] = True
    shift = 1 + torch.arange(len(order))[:, None]
    changed = torch.where(late, (tokens + shift) % 20, tokens)
    moved = model(changed, masks) - model(tokens.expand(len(order), T), masks)
    return moved[torch.arange(len(order)), order].abs().max().item()


class OneStream(nn.Module):
    """The same network without a query stream: each place predicts its token from its content stream."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, tokens, masks):
        return self.model.output(self.model.body(tokens, masks).content)


@torch.no_grad()
def test_no_target_and_nothing_later_changes_a_bit_of_its_prediction(small):
    for order in orders():
        masks = permutation_mask(order)
        assert leak(small, masks, order) == 0
        assert leak(OneStream(small), masks, order) > 0.1
        with_itself = Masks(masks.content, masks.content)
        assert leak(small, with_itself, order) > 0.1
        reads_later = Masks(torch.ones(T, T, dtype=torch.bool), masks.query)  # layer 2 sees what layer 1 should not
        assert leak(small, reads_later, order) > 0.01


def embedded_and_logits(model, tokens, masks):
    """The vectors of the tokens, for a gradient, and the logits that come of them."""
    found = []
    handle = model.body.tokens.register_forward_hook(lambda _, __, out: found.append(out.requires_grad_()) or out)
    logits = model(tokens, masks)
    handle.remove()
    return found[0], logits


def test_no_gradient_flows_from_a_prediction_to_its_target_or_anything_later(small):
    tokens = torch.randint(20, (1, T), generator=torch.Generator().manual_seed(8))
    for order in orders():
        embedded, logits = embedded_and_logits(small, tokens, permutation_mask(order))
        for step, place in enumerate(order):
            gradient = torch.autograd.grad(
                logits[0, place].logsumexp(-1), embedded, retain_graph=True, materialize_grads=True
            )[0]
            touched = gradient[0].abs().amax(-1)  # (T,)
            assert not touched[order[step:]].any()
            assert touched[order[:step]].all()  # and every earlier one counts


@torch.no_grad()
def test_a_prediction_depends_on_its_place_and_on_the_way_to_it_but_not_on_what_comes_later(small):
    tokens = torch.randint(20, (1, T), generator=torch.Generator().manual_seed(8))

    def predicted(place, order):
        return small(tokens, permutation_mask(torch.tensor(order)))[0, place]

    expected = predicted(1, [3, 0, 5, 1, 2, 4, 6])
    assert torch.equal(predicted(1, [3, 0, 5, 1, 6, 4, 2]), expected)  # the rest in another order
    assert (predicted(2, [3, 0, 5, 2, 1, 4, 6]) - expected).abs().max() > 0.1  # another place, the same is known
    # The same three known in another order: content that was read on the way has seen less or more.
    assert (predicted(1, [5, 3, 0, 1, 2, 4, 6]) - expected).abs().max() > 0.1
    as_context = [
        small(tokens, permutation_mask(torch.tensor(order), known=3))[0, 1]
        for order in ([3, 0, 5, 1, 2, 4, 6], [5, 3, 0, 1, 2, 4, 6])
    ]
    assert torch.equal(*as_context)  # context has no order


@torch.no_grad()
def test_known_places_read_one_another_and_no_target(small):
    content, query = permutation_mask(torch.tensor([2, 0, 3, 1]), known=2)
    assert content.int().tolist() == [[1, 0, 1, 0], [1, 1, 1, 1], [1, 0, 1, 0], [1, 0, 1, 1]]
    assert query.int().tolist() == [[0, 0, 0, 0], [1, 0, 1, 1], [0, 0, 0, 0], [1, 0, 1, 0]]
    batched = permutation_mask(torch.tensor([[2, 0, 3, 1]] * 2), known=2)
    assert torch.equal(batched.query[1], query)
    for order in orders():
        assert leak(small, permutation_mask(order, known=3), order[3:]) == 0


@torch.no_grad()
def test_only_distances_count_and_no_length_is_too_long(small):
    tokens = torch.randint(20, (1, T), generator=torch.Generator().manual_seed(8))
    padded = torch.cat([torch.randint(20, (1, 93)), tokens], dim=1)  # the same text, 93 places further on
    behind = torch.arange(100)[None, None] >= 93
    close(small(padded, padding=behind)[:, 93:], small(tokens))


@torch.no_grad()
def test_where_nothing_may_be_read_the_attention_gives_zeros():
    attention = RelativeAttention(8, 2)
    x = torch.randn(1, 3, 8)
    nothing = torch.zeros(3, 3, dtype=torch.bool)
    assert not attention(x, x, distance_sinusoids(3, 8), nothing).any()
    assert not attention.attention_weights(x, x, distance_sinusoids(3, 8), nothing).any()


def test_the_shift_gives_each_key_the_score_of_its_distance():
    scores = torch.randn(2, 3, 5, 10)
    shifted = relative_shift(scores)
    for i in range(5):
        for j in range(5):
            assert torch.equal(shifted[..., i, j], scores[..., i, 5 - (i - j)])  # column c is the distance 5 - c
    assert torch.equal(distance_sinusoids(5, 4)[5], torch.tensor([0.0, 0.0, 1.0, 1.0]))


def test_one_batch_can_be_learned_by_heart():
    torch.manual_seed(0)
    model = XLNetLMHead(XLNetConfig(20, d_model=32, num_heads=2, num_layers=2, d_ff=64, dropout=0.0))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    # No token twice: the place of a target shows only in how it shares its attention among different tokens.
    tokens, losses = torch.rand(4, 16).argsort(-1)[:, :T] + 4, []
    tokens[:, 0] = torch.arange(4)  # known, and tells the sequences apart
    order = torch.cat([torch.zeros(4, 1, dtype=torch.long), 1 + torch.rand(4, T - 1).argsort(-1)], dim=1)
    for _ in range(80):
        logits = model(tokens, permutation_mask(order, known=1))[:, 1:]
        loss = cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 2.5 > 0.1 > losses[-1]
    unused = {name for name, one in model.named_parameters() if one.grad is None or not one.grad.any()}
    assert {name.rpartition(".")[2] for name in unused} <= {"segment_bias", "segments"}


def test_dropout_acts_in_training_only(small):
    config = XLNetConfig(20, d_model=16, num_heads=2, num_layers=1, d_ff=24, dropout=0.5)
    model, tokens = XLNetLMHead(config), torch.tensor([[1, 2, 3]])
    assert not torch.equal(model(tokens), model(tokens))
    assert torch.equal(model.eval()(tokens), model(tokens))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m(torch.tensor([[1, 20]])), "tokens holds the id 20 but vocab_size=20: ids run from 0 to 19"),
        (lambda m: m(torch.tensor([[-1, 2]])), "tokens holds the id -1"),
        (lambda m: m(torch.zeros(1, 0, dtype=torch.long)), "tokens is empty"),
        (lambda m: m(torch.ones(1, 3)), "tokens must hold integers"),
        (lambda m: m(torch.ones(3, dtype=torch.long)), "tokens has rank 1"),
        (lambda m: m(torch.tensor([[1, 2]]), segments=torch.tensor([[0]])), "segments must have shape (1, 2)"),
        (lambda m: m(torch.tensor([[1, 2]]), segments=torch.zeros(1, 2)), "segments must hold integers"),
        (lambda m: m(torch.ones(2, 2).long(), padding=torch.ones(2, 2) > 0), "padding has rank 2"),  # not as (T, T)
        (lambda m: m(torch.ones(2, 2).long(), padding=torch.ones(2, 1, 2)), "mask must be boolean"),
        (lambda m: m(torch.ones(2, 3).long(), padding=torch.ones(2, 1, 2) > 0), "mask has shape (2, 1, 2)"),
        (lambda m: m(torch.tensor([[1, 2]]), permutation_mask(torch.arange(3))), "mask has shape (3, 3)"),
        (lambda m: m(torch.tensor([[1, 2]]), Masks(torch.ones(2, 2), torch.ones(2, 2))), "mask must be boolean"),
        (lambda m: permutation_mask(torch.tensor([0, 0, 1])), "the places 0 to 2 once each but order is [0, 0, 1]"),
        (lambda m: permutation_mask(torch.tensor([1, 2, 3])), "the places 0 to 2 once each"),
        (lambda m: permutation_mask(torch.tensor(1)), "order has rank 0"),
        (lambda m: permutation_mask(torch.arange(3), known=4), "known=4 places but the order has only 3"),
        (lambda m: permutation_mask(torch.arange(3), known=-1), "known must be"),
        (lambda m: relative_shift(torch.ones(3, 5)), "scores for T=3 queries need 6 distances but have 5"),
        (lambda m: distance_sinusoids(3, 5), "d_model"),
        (lambda m: RelativeAttention(8, 3), "num_heads=3"),
        (lambda m: XLNetConfig(d_model=15, num_heads=3), "d_model must be even"),
        (lambda m: XLNetConfig(d_model=16, num_heads=3), "num_heads=3"),
        (lambda m: XLNetConfig(num_layers=0), "num_layers"),
        (lambda m: XLNetConfig(dropout=1.0), "dropout must be at least 0 and below 1 but is 1.0"),
        (lambda m: XLNetConfig(norm_epsilon=0.0), "norm_epsilon must be above 0 and below 1 but is 0.0"),
    ],
)
def test_mistakes_are_named_with_their_numbers(small, call, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call(small)
    assert words in str(caught.value)


def test_tiny_has_no_dropout_and_presets_grow():
    assert XLNetConfig.tiny(9).dropout == 0
    sizes = [config.d_model for config in (XLNetConfig.tiny(9), XLNetConfig.base(), XLNetConfig.large())]
    assert all(small < large for small, large in pairwise(sizes))
