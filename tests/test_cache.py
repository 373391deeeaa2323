"""Caches: the same outputs as without, token by token or block by block, and nothing computed twice."""

from functools import partial

import pytest
import torch

from lib.attention import MultiHeadAttention, watch
from lib.cache import KeyValueCache, MemoryCache
from lib.masks import causal_mask, padding_mask
from lib.positional import RelativeBias, rotate
from lib.transformer import Decoder, DecoderLayer, Encoder, EncoderLayer, PostNorm

BLOCKS = [[1] * 6, [4, 1, 1], [2, 3, 1]]


def stepwise(model, x, blocks, step):
    cache, outputs, start = model.new_cache(), [], 0
    for size in blocks:
        outputs.append(step(x[:, start : start + size], start + size, cache))
        start += size
    return torch.cat(outputs, dim=1)


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("attention", [MultiHeadAttention, partial(MultiHeadAttention, positions=rotate, scale=1.0)])
def test_a_causal_encoder_answers_the_same_with_a_cache(blocks, attention):
    torch.manual_seed(0)
    model = Encoder(EncoderLayer(8, 2, 16, attention=attention) for _ in range(3))
    positions, x = RelativeBias(2, num_buckets=8, max_distance=16, bidirectional=False), torch.randn(2, 6, 8)
    torch.nn.init.normal_(positions.weight)
    whole = model(x, causal_mask(6), bias=positions(6))

    def step(new, S, cache):
        return model(new, causal_mask(new.shape[1], S), bias=positions(new.shape[1], S), cache=cache)

    torch.testing.assert_close(stepwise(model, x, blocks, step), whole)


@pytest.mark.parametrize("blocks", BLOCKS)
def test_a_decoder_answers_the_same_with_a_cache_and_projects_the_memory_once(blocks):
    torch.manual_seed(0)
    model = Decoder(DecoderLayer(8, 2, 16, connection=PostNorm) for _ in range(2))
    x, memory, hidden = torch.randn(2, 6, 8), torch.randn(2, 5, 8), padding_mask([5, 3], 5)
    whole, projections = model(x, memory, causal_mask(6), hidden), []
    model.layers[0].cross_attention.w_key.register_forward_hook(lambda *call: projections.append(call))

    def step(new, S, cache):
        return model(new, memory, causal_mask(new.shape[1], S), hidden, cache=cache)

    torch.testing.assert_close(stepwise(model, x, blocks, step), whole)
    assert len(projections) == 1


def test_the_same_layer_twice_keeps_two_caches():
    torch.manual_seed(0)
    layer, x = EncoderLayer(8, 2, 16), torch.randn(1, 6, 8)
    model = Encoder([layer, layer])
    outputs = stepwise(model, x, [1] * 6, lambda new, S, cache: model(new, causal_mask(1, S), cache=cache))
    torch.testing.assert_close(outputs, model(x, causal_mask(6)))


def test_selected_rows_go_on_as_if_they_had_been_there_from_the_start():
    torch.manual_seed(0)
    model, rows = MultiHeadAttention(8, 2), torch.tensor([2, 0, 2])
    first, then, cache = torch.randn(3, 4, 8), torch.randn(3, 1, 8), KeyValueCache()
    model(first, mask=causal_mask(4), cache=cache)
    cache.select(rows)
    expected = model(torch.cat([first[rows], then], dim=1), mask=causal_mask(5))[:, 4:]
    torch.testing.assert_close(model(then, cache=cache), expected)


def test_watching_does_not_fill_a_cache():
    torch.manual_seed(0)
    model, x, cache = Encoder([EncoderLayer(8, 2, 16)]), torch.randn(1, 3, 8), [KeyValueCache()]
    with watch(model) as weights:
        for t in range(3):
            model(x[:, t : t + 1], cache=cache)
    assert len(cache[0]) == 3
    assert [tuple(w.shape) for w in weights["layers.0.attention"]] == [(1, 2, 1, 1), (1, 2, 1, 2), (1, 2, 1, 3)]
    with watch(model) as whole:
        model(x, causal_mask(3))
    torch.testing.assert_close(weights["layers.0.attention"][2], whole["layers.0.attention"][0][:, :, 2:])


def test_bytes_are_those_of_the_tensors():
    cache = KeyValueCache()
    assert (len(cache), cache.bytes) == (0, 0)
    MultiHeadAttention(8, 2)(torch.ones(3, 5, 8), cache=cache)
    assert cache.bytes == 2 * 3 * 5 * 8 * 4


def test_mistakes_are_named():
    cache = KeyValueCache()
    MultiHeadAttention(8, 2)(torch.ones(3, 5, 8), cache=cache)
    with pytest.raises(ValueError, match=r"cached key has leading axes \(3, 2\) but new key has \(4, 2\)"):
        MultiHeadAttention(8, 2)(torch.ones(4, 1, 8), cache=cache)
    with pytest.raises(ValueError, match="there are 1 caches for 2 layers"):
        Encoder([EncoderLayer(8, 2, 16)] * 2)(torch.ones(1, 1, 8), cache=[KeyValueCache()])
    with pytest.raises(ValueError, match="key has rank 2"):
        MemoryCache().extended(lambda: (torch.ones(1, 2), torch.ones(1, 2)))
