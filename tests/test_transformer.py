"""The layers and stacks: equal to torch's own with copied weights, causal, shared by construction, honest in errors."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib.attention import watch
from lib.masks import causal_mask, padding_mask
from lib.training import count_parameters
from lib.transformer import Decoder, DecoderLayer, Encoder, EncoderLayer, FeedForward, NoResidual, PostNorm, PreNorm

B, T, S, D, H, D_FF = 2, 5, 7, 12, 3, 20
CONNECTIONS = {"pre-norm": (PreNorm, True), "post-norm": (PostNorm, False)}
ACTIVATIONS = {"relu": torch.relu, "gelu": F.gelu}
both_norms = pytest.mark.parametrize(("connection", "norm_first"), CONNECTIONS.values(), ids=CONNECTIONS)
both_activations = pytest.mark.parametrize("activation", ACTIVATIONS)
every_connection = pytest.mark.parametrize("connection", [PreNorm, PostNorm, NoResidual])


def close(ours, theirs, tolerance=1e-5):
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def randomised(module, seed=0):
    """Give every parameter, also biases and norms, a value of its own, so that none can be left out unseen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return module


def random(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), requires_grad=True)


def attention_pairs(ours, theirs):
    """The parameters of ours with those of torch's multi-head layer, which keeps three of them in one."""
    for index, name in enumerate(("w_query", "w_key", "w_value")):
        for kind in ("weight", "bias"):
            yield (
                getattr(getattr(ours, name), kind),
                getattr(theirs, f"in_proj_{kind}"),
                slice(index * D, index * D + D),
            )
    for kind in ("weight", "bias"):
        yield getattr(ours.w_output, kind), getattr(theirs.out_proj, kind), slice(None)


def plain_pairs(*modules):
    for ours, theirs in modules:
        for kind in ("weight", "bias"):
            yield getattr(ours, kind), getattr(theirs, kind), slice(None)


def encoder_pairs(ours, theirs):
    yield from attention_pairs(ours.attention, theirs.self_attn)
    yield from plain_pairs(
        (ours.feed_forward.widen, theirs.linear1),
        (ours.feed_forward.narrow, theirs.linear2),
        (ours.around_attention.norm, theirs.norm1),
        (ours.around_feed_forward.norm, theirs.norm2),
    )


def decoder_pairs(ours, theirs):
    yield from attention_pairs(ours.self_attention, theirs.self_attn)
    yield from attention_pairs(ours.cross_attention, theirs.multihead_attn)
    yield from plain_pairs(
        (ours.feed_forward.widen, theirs.linear1),
        (ours.feed_forward.narrow, theirs.linear2),
        (ours.around_self_attention.norm, theirs.norm1),
        (ours.around_cross_attention.norm, theirs.norm2),
        (ours.around_feed_forward.norm, theirs.norm3),
    )


def copied(pairs):
    """Copy torch's parameters into ours, all of them, and give the pairs."""
    pairs = list(pairs)
    with torch.no_grad():
        for ours, theirs, rows in pairs:
            ours.copy_(theirs[rows])
    return pairs


def same_gradients(ours, theirs, pairs, ours_inputs, theirs_inputs):
    """Pull the same random direction back through both."""
    pull = torch.randn(ours.shape, generator=torch.Generator().manual_seed(9))
    (ours * pull).sum().backward()
    (theirs * pull).sum().backward()
    for mine, other in zip(ours_inputs, theirs_inputs, strict=True):
        close(mine.grad, other.grad)
    for mine, other, rows in pairs:
        close(mine.grad, other.grad[rows])


@both_norms
@both_activations
@pytest.mark.parametrize("mask", [None, causal_mask(T)], ids=["open", "causal"])
def test_encoder_layer_equals_torchs(connection, norm_first, activation, mask):
    options = {"dropout": 0.0, "batch_first": True, "norm_first": norm_first, "activation": activation}
    theirs = randomised(nn.TransformerEncoderLayer(D, H, D_FF, **options))
    ours = EncoderLayer(D, H, D_FF, connection=connection, activation=ACTIVATIONS[activation])
    pairs = copied(encoder_pairs(ours, theirs))
    assert len(pairs) == len(list(ours.parameters()))
    x, same_x = random(B, T, D), random(B, T, D)
    our_output, their_output = ours(x, mask), theirs(same_x, None if mask is None else ~mask)
    close(our_output, their_output)
    same_gradients(our_output, their_output, pairs, [x], [same_x])


@both_norms
@both_activations
def test_decoder_layer_equals_torchs(connection, norm_first, activation):
    options = {"dropout": 0.0, "batch_first": True, "norm_first": norm_first, "activation": activation}
    theirs = randomised(nn.TransformerDecoderLayer(D, H, D_FF, **options))
    ours = DecoderLayer(D, H, D_FF, connection=connection, activation=ACTIVATIONS[activation])
    pairs = copied(decoder_pairs(ours, theirs))
    assert len(pairs) == len(list(ours.parameters()))
    x, same_x, memory, same_memory = random(B, T, D), random(B, T, D), random(B, S, D, seed=2), random(B, S, D, seed=2)
    mask, memory_mask = causal_mask(T), padding_mask([4, S], S)
    our_output = ours(x, memory, mask, memory_mask)
    their_output = theirs(same_x, same_memory, ~mask, memory_key_padding_mask=~memory_mask[:, 0])
    close(our_output, their_output)
    same_gradients(our_output, their_output, pairs, [x, memory], [same_x, same_memory])


@both_norms
def test_stacks_equal_torchs(connection, norm_first):
    options = {"dropout": 0.0, "batch_first": True, "norm_first": norm_first}
    theirs = randomised(
        nn.TransformerEncoder(
            nn.TransformerEncoderLayer(D, H, D_FF, **options), 3, nn.LayerNorm(D), enable_nested_tensor=False
        )
    )
    ours = Encoder([EncoderLayer(D, H, D_FF, connection=connection) for _ in range(3)], nn.LayerNorm(D))
    for mine, other in zip(ours.layers, theirs.layers, strict=True):
        copied(encoder_pairs(mine, other))
    copied(plain_pairs((ours.norm, theirs.norm)))
    close(ours(random(B, T, D), causal_mask(T)), theirs(random(B, T, D), ~causal_mask(T)))

    theirs = randomised(nn.TransformerDecoder(nn.TransformerDecoderLayer(D, H, D_FF, **options), 3, nn.LayerNorm(D)))
    ours = Decoder([DecoderLayer(D, H, D_FF, connection=connection) for _ in range(3)], nn.LayerNorm(D))
    for mine, other in zip(ours.layers, theirs.layers, strict=True):
        copied(decoder_pairs(mine, other))
    copied(plain_pairs((ours.norm, theirs.norm)))
    x, memory = random(B, T, D), random(B, S, D, seed=2)
    close(ours(x, memory, causal_mask(T)), theirs(x, memory, ~causal_mask(T)))


def test_the_connections_are_their_formulas():
    x, double = random(B, T, D), lambda y: 2 * y
    for connection, formula in (
        (PreNorm(D), lambda norm: x + 2 * norm(x)),
        (PostNorm(D), lambda norm: norm(3 * x)),
        (NoResidual(D), lambda norm: 2 * norm(x)),
    ):
        randomised(connection, 3)
        close(connection(x, double), formula(connection.norm), 1e-6)


def test_another_norm_may_be_injected():
    layer = EncoderLayer(D, H, D_FF, connection=partial(PreNorm, norm=nn.RMSNorm))
    assert [type(layer.around_attention.norm), type(layer.around_feed_forward.norm)] == [nn.RMSNorm] * 2
    assert layer(random(B, T, D)).shape == (B, T, D)


def test_one_layer_six_times_has_the_parameters_of_one_and_the_gradients_of_six():
    layer = randomised(EncoderLayer(D, H, D_FF))
    apart = [EncoderLayer(D, H, D_FF) for _ in range(6)]
    for one in apart:
        one.load_state_dict(layer.state_dict())
    shared, separate = Encoder([layer] * 6), Encoder(apart)
    assert 6 * count_parameters(shared) == count_parameters(separate) == 6 * count_parameters(layer)
    x = random(B, T, D)
    close(shared(x), separate(x))
    shared(x).square().sum().backward()
    separate(x).square().sum().backward()
    for name, parameter in layer.named_parameters():
        summed = sum(one.get_parameter(name).grad for one in apart)
        torch.testing.assert_close(parameter.grad, summed, rtol=1e-3, atol=1e-3 * summed.abs().max().item())
    with torch.no_grad():
        layer.attention.w_query.weight.zero_()
    with watch(shared) as weights:
        shared(x)
    assert [len(calls) for calls in weights.values()] == [6]


@every_connection
def test_a_causal_stack_never_looks_ahead(connection):
    model = randomised(Encoder([EncoderLayer(D, H, D_FF, connection=connection) for _ in range(3)]))
    x = random(B, T, D).detach()
    later = x.clone()
    later[:, 3:] = 7 * random(B, T - 3, D, seed=5).detach()
    before, after = model(x, causal_mask(T)), model(later, causal_mask(T))
    close(before[:, :3], after[:, :3], 1e-6)
    assert not torch.allclose(before[:, 3:], after[:, 3:])


@every_connection
def test_order_of_places_does_not_matter_without_positions(connection):
    model = randomised(Encoder([EncoderLayer(D, H, D_FF, connection=connection) for _ in range(2)]))
    x, order = random(B, T, D), torch.tensor([3, 0, 4, 1, 2])
    close(model(x[:, order]), model(x)[:, order])


def test_padding_in_the_memory_changes_nothing_and_an_empty_memory_stays_finite():
    decoder = randomised(Decoder([DecoderLayer(D, H, D_FF) for _ in range(2)]))
    x, memory = random(B, T, D), random(B, S, D, seed=2).detach()
    other = memory.clone()
    other[0, 4:] = 1e3
    mask = padding_mask([4, S], S)
    close(decoder(x, memory, None, mask), decoder(x, other, None, mask))
    nothing = decoder(x, memory, None, padding_mask([0, S], S))
    nothing.sum().backward()
    assert nothing.isfinite().all()
    assert x.grad.isfinite().all()


def test_a_bias_reaches_every_layer():
    model = randomised(Encoder([EncoderLayer(D, H, D_FF) for _ in range(2)]))
    x, bias = random(B, T, D), torch.zeros(H, T, T)
    close(model(x, bias=bias), model(x))
    bias[:, :, 2] = 1e4  # everybody looks at place 2
    with watch(model) as weights:
        model(x, bias=bias)
    assert all((calls[0][..., 2] > 0.999).all() for calls in weights.values())


@every_connection
def test_dropout_is_off_in_evaluation_and_on_in_training(connection):
    layer = EncoderLayer(D, H, D_FF, connection=connection, dropout=0.5)
    x = random(B, T, D)
    assert torch.equal(layer.eval()(x), layer(x))
    layer.train()
    assert not torch.equal(layer(x), layer(x))


def test_feed_forward_is_its_equation_place_by_place():
    network, x = randomised(FeedForward(D, D_FF)), random(B, T, D)
    hidden = (x @ network.widen.weight.T + network.widen.bias).clamp(min=0)
    close(network(x), hidden @ network.narrow.weight.T + network.narrow.bias)
    close(network(x)[:, 2:3], network(x[:, 2:3]))


def test_a_stack_learns_one_batch():
    torch.manual_seed(0)
    model = Encoder([EncoderLayer(16, 2, 32) for _ in range(2)], nn.LayerNorm(16))
    read_out, x, label = nn.Linear(16, 4), torch.randn(8, 5, 16), torch.randint(4, (8, 5))
    optimizer = torch.optim.AdamW([*model.parameters(), *read_out.parameters()], lr=1e-2)
    for _ in range(60):
        loss = F.cross_entropy(read_out(model(x)).flatten(0, 1), label.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: EncoderLayer(10, 3, 20), "d_model=10 is not divisible by num_heads=3"),
        (lambda: EncoderLayer(12, 3, 0), "d_ff must be an integer of at least 1 but is 0"),
        (lambda: DecoderLayer(12, 5, 20), "d_model=12 is not divisible by num_heads=5"),
        (lambda: FeedForward(2.5, 4), "d_model must be an integer of at least 1 but is 2.5"),
        (lambda: PreNorm(0), "d_model must be an integer of at least 1 but is 0"),
        (lambda: PostNorm(4, dropout=1.5), "dropout probability has to be between 0 and 1, but got 1.5"),
        (lambda: Encoder([]), "a stack needs at least 1 layer but got 0"),
        (lambda: Decoder([]), "a stack needs at least 1 layer but got 0"),
        (lambda: EncoderLayer(12, 3, 8)(torch.ones(2, 12)), "x has rank 2, shape (2, 12), but needs rank 3"),
        (lambda: EncoderLayer(12, 3, 8)(torch.ones(2, 5, 8)), "x has width 8 but d_model=12"),
        (
            lambda: EncoderLayer(12, 3, 8)(torch.ones(2, 5, 12, dtype=torch.int64)),
            "x must hold floating-point numbers but has dtype int64",
        ),
        (
            lambda: DecoderLayer(12, 3, 8)(torch.ones(2, 5, 12), torch.ones(3, 5, 12)),
            "x has leading axes (2,) but memory has (3,)",
        ),
        (
            lambda: DecoderLayer(12, 3, 8)(torch.ones(2, 5, 12), torch.ones(2, 5, 8)),
            "memory has width 8 but d_model=12",
        ),
        (
            lambda: EncoderLayer(12, 3, 8)(torch.ones(2, 5, 12), torch.ones(4, 4, dtype=torch.bool)),
            "mask has shape (4, 4) but the scores have shape (2, 3, 5, 5): it does not broadcast",
        ),
    ],
)
def test_a_mistake_is_named(build, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole message is compared below)
        build()
    assert str(caught.value) == message
