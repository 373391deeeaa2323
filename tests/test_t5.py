"""T5: equal to `transformers` with its weights, token for token when it writes; holes that can be filled again."""

import json
import os
import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy

os.environ["HF_HUB_OFFLINE"] = "1"
import transformers

from lib.attention import watch
from lib.models.generation import beam_search
from lib.models.t5 import T5, T5Config, span_corruption
from lib.training import count_parameters, fit

SIZES = {
    "vocab_size": 40,
    "d_model": 24,
    "d_kv": 8,
    "num_heads": 3,
    "d_ff": 40,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
}


def published(seed=0, **changes):
    """A small model of `transformers` in which every weight, also norms and biases, has a value of its own."""
    torch.manual_seed(seed)
    config = transformers.T5Config(**SIZES | changes, attn_implementation="eager")
    model = transformers.T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def saved(model, folder, **options):
    model.save_pretrained(folder, **options)
    return folder


def rewrite(folder, change):
    """Rewrite the weights of a folder: `change` turns the dict of tensors into another."""
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path)
    return folder


def configured(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def texts(seed=1):
    """Sources and targets with their masks of real tokens: one row is full, one holds a single token."""
    generator = torch.Generator().manual_seed(seed)
    source, target = (torch.randint(2, 40, (4, n), generator=generator) for n in (15, 9))
    lengths = torch.tensor([[15, 9], [5, 4], [2, 1], [1, 6]])
    return source, target, torch.arange(15) < lengths[:, :1], torch.arange(9) < lengths[:, 1:]


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.fixture(autouse=True)
def quiet():
    transformers.utils.logging.disable_progress_bar()
    with torch.no_grad():
        yield


@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "12KB"}], ids=["one file", "sharded"])
@pytest.mark.parametrize("depth", [2, 3], ids=["as deep", "deeper decoder"])
def test_logits_and_all_heads_equal_those_of_transformers(tmp_path, shards, depth):
    theirs = published(num_decoder_layers=depth)
    ours = T5.from_pretrained(saved(theirs, tmp_path, **shards))
    assert len(list(tmp_path.glob("*.safetensors"))) > 1 or not shards
    assert count_parameters(ours) == theirs.num_parameters()
    source, target, real, written = texts()
    masks = {"attention_mask": real.long(), "decoder_attention_mask": written.long()}
    expected = theirs(input_ids=source, decoder_input_ids=target, **masks, output_attentions=True)
    with watch(ours) as weights:
        logits = ours(source, target, real, written)
    close(logits[written], expected.logits[written])
    for part, places, reference in (
        ("encoder", real, expected.encoder_attentions),
        ("decoder.layers.*self", written, expected.decoder_attentions),
        ("decoder.layers.*cross", written, expected.cross_attentions),
    ):
        found = [calls[0] for name, calls in weights.items() if re.match(part, name)]
        assert len(found) == len(reference) == (2 if part == "encoder" else depth)
        for layer, other in zip(found, reference, strict=True):
            close(layer.transpose(1, 2)[places], other.transpose(1, 2)[places])
    close(ours(source, target), theirs(input_ids=source, decoder_input_ids=target).logits)


@pytest.mark.parametrize("beams", [1, 2, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_writes_the_same_tokens_as_transformers(tmp_path, beams, seed):
    theirs = published(seed)
    theirs.shared.weight[1] *= 1.3  # so that some texts end early and others are cut
    ours = T5.from_pretrained(saved(theirs, tmp_path))
    source, _, real, _ = texts(seed)
    masks = {"attention_mask": real.long()}
    for new in (1, 12):
        options = {"num_beams": beams, "max_new_tokens": new, "do_sample": False, "early_stopping": False}
        expected = theirs.generate(input_ids=source, **masks, **options)[:, 1:]
        written = ours.generate(source, real, max_length=new, beams=beams)
        width = max(expected.shape[1], written.shape[1])
        padded = [torch.nn.functional.pad(one, (0, width - one.shape[1])) for one in (written, expected)]
        ended = (padded[1] == 1).cumsum(1) - (padded[1] == 1).int() > 0  # with beams they fill up with the end token
        assert torch.equal(padded[0], padded[1].masked_fill(ended, 0))


@pytest.mark.parametrize("beams", [1, 3])
def test_the_cache_changes_no_token_and_no_logit(beams):
    model = trained_a_little()
    source, target, real, _ = texts()
    kept, anew = (model.generate(source, real, max_length=14, beams=beams, cached=cached) for cached in (True, False))
    assert torch.equal(kept, anew)
    assert len(kept.unique(dim=0)) > 1
    memory, cache = model.encode(source, real), model.decoder.new_cache()
    pieces = [model.decode(piece, memory, real, cache=cache) for piece in target.split([1, 3, 5], dim=1)]
    close(torch.cat(pieces, dim=1), model.decode(target, memory, real))


@pytest.mark.parametrize("cached", [True, False])
def test_with_a_cache_the_encoder_runs_once_and_each_step_decodes_one_token(cached):
    model, lengths = T5(small()), []
    model.encoder.register_forward_hook(lambda *_: lengths.append("encoder"))
    model.decoder.register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[1]))
    model.embedding.weight[1] = 0  # the end token never wins
    written = model.generate(texts()[0], max_length=4, cached=cached)
    assert lengths == ["encoder", *([1] * 4 if cached else [1, 2, 3, 4])]
    assert written.shape == (4, 4)


def small(**changes):
    return replace(T5Config.tiny(vocab_size=40), d_model=24, num_heads=3, d_ff=40, **changes)


def trained_a_little():
    """A model that says something: the starting values alone repeat one token."""
    torch.manual_seed(3)
    model = T5(small())
    source, target, real, _ = texts(7)
    with torch.enable_grad():
        fit(lambda _: loss_of(model, source, target, real), model.parameters(), steps=15, learning_rate=1e-2)
    return model.eval()


def loss_of(model, source, target, real):
    return cross_entropy(model(source, model.shifted(target), real).flatten(0, 1), target.flatten())


def test_beams_find_a_text_at_least_as_likely_as_greedy_search():
    model = trained_a_little()
    source, _, real, _ = texts()
    memory = model.encode(source, real)

    def likelihood(beams):
        def step(tokens, _):
            of = torch.arange(len(tokens)) // beams
            return model.decode(tokens, memory[of], real[of])[:, -1]

        start = torch.zeros(4, 1, dtype=torch.int64)
        return beam_search(step, start, end=1, beams=beams, max_length=9, length_penalty=0).scores[:, 0]

    assert (likelihood(30) >= likelihood(1) - 1e-5).all()


def test_the_target_sees_the_whole_source_but_not_its_own_future():
    model = T5(small()).eval()
    source, target, *_ = texts()
    logits = model(source, target)
    later = target.clone()
    later[:, 5:] = (later[:, 5:] + 1) % 40
    close(model(source, later)[:, :5], logits[:, :5])
    assert not torch.allclose(model(source, later)[:, 5:], logits[:, 5:], atol=1e-3)
    last = source.clone()
    last[:, -1] = (last[:, -1] + 1) % 40
    assert ((model(last, target) - logits)[:, 0].abs().amax(-1) > 1e-4).all()


def test_padding_changes_nothing():
    model = T5(small()).eval()
    source, target, real, _ = texts()
    other = torch.where(real, source, 0)
    close(model(other, target, real), model(source, target, real))
    close(model(source[1:2, :5], target[1:2]), model(source[1:2], target[1:2], real[1:2]))


def test_only_distances_count_so_where_a_text_stands_does_not_matter_nor_how_long_it_is():
    model = T5(small()).eval()
    for bias in (model.encoder_bias, model.decoder_bias):
        torch.nn.init.normal_(bias.weight)
    source, target, *_ = texts()
    behind = torch.cat([torch.full((4, 6), 9), source], dim=1)  # the same text, six places further on
    real = (torch.arange(21) >= 6).expand(4, -1)
    close(model.encode(behind, real)[:, 6:], model.encode(source))
    assert not torch.allclose(model.encode(behind)[:, 6:], model.encode(source), atol=1e-2)
    assert model(source.repeat(1, 30), target.repeat(1, 30)).isfinite().all()


PRESETS = [("small", 60_506_624, 60), ("base", 222_903_552, 220), ("large", 737_668_096, 770)]


@pytest.mark.parametrize(("preset", "parameters", "printed"), PRESETS)
def test_presets_have_the_released_number_of_parameters(preset, parameters, printed):
    config = getattr(T5Config, preset)()
    with torch.device("meta"):
        ours = T5(config)
        theirs = transformers.T5ForConditionalGeneration(
            transformers.T5Config(
                d_model=config.d_model, num_heads=config.num_heads, d_ff=config.d_ff, num_layers=config.num_layers
            )
        )
    assert count_parameters(ours) == parameters == theirs.num_parameters()
    assert abs(parameters / 1e6 - printed) < 0.05 * printed
    assert f"{parameters:,}" in getattr(T5Config, preset).__doc__


def test_the_starting_values_keep_the_size_of_logits_and_scores():
    torch.manual_seed(0)
    model = T5(replace(T5Config.tiny(vocab_size=200), d_model=128, num_heads=2)).eval()
    source, target = torch.randint(200, (2, 8, 20))
    logits = model(source, target)
    assert 0.5 < logits.std() < 2
    first = model.encoder.layers[0]
    x = first.around_attention.norm(model.embedding(source))
    query, key = (linear(x).unflatten(-1, (2, 64)) for linear in (first.attention.w_query, first.attention.w_key))
    assert 0.5 < torch.einsum("bthd,bshd->bhts", query, key).std() < 2


def test_one_batch_can_be_learned_by_heart():
    torch.manual_seed(0)
    model = T5(small())
    source, target, real, _ = texts(5)
    target[:, -1] = 1
    with torch.enable_grad():
        losses = fit(lambda _: loss_of(model, source, target, real), model.parameters(), steps=250, learning_rate=1e-2)
    assert losses[0] > 2
    assert losses[-1] < 0.05
    assert torch.equal(model.eval().generate(source, real, max_length=9), target)


# What released folders hold, and what is refused.


def test_older_folders_with_copies_of_the_table_and_an_unused_bias_load_as_well(tmp_path):
    theirs = published()

    def old(tensors):
        copies = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
        unused = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
        shared = tensors["shared.weight"]
        return tensors | {name: shared.clone() for name in copies} | {unused: torch.ones(8, 3)}

    folder = rewrite(saved(theirs, tmp_path), old)
    path = folder / "config.json"  # as it was written in 2020: few keys
    keys = ("model_type", *SIZES, "dropout_rate", "pad_token_id", "eos_token_id", "layer_norm_epsilon")
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({key: stored[key] for key in keys if key != "num_decoder_layers"}))
    source, target, real, _ = texts()
    expected = theirs(input_ids=source, decoder_input_ids=target, attention_mask=real.long()).logits
    close(T5.from_pretrained(folder)(source, target, real), expected)


def test_loaded_models_do_not_drop_out(tmp_path):
    ours = T5.from_pretrained(saved(published(), tmp_path))
    assert ours.config.dropout == 0.1
    source, target, *_ = texts()
    assert torch.equal(ours(source, target), ours(source, target))
    assert not torch.equal(ours.train()(source, target), ours(source, target))


def test_writing_switches_dropout_off_and_back_on():
    model = T5(small(dropout=0.5)).train()
    source, _, real, _ = texts()
    written = [model.generate(source, real, max_length=12, beams=2) for _ in range(3)]
    assert all(torch.equal(one, written[0]) for one in written)
    with pytest.raises(ValueError, match="max_length"):
        model.generate(source, max_length=0)
    assert model.training
    assert model.decoder.training


REFUSED = {
    "version 1.1": ({"feed_forward_proj": "gated-gelu"}, "feed_forward_proj='gated-gelu' but only 'relu'"),
    "untied": ({"tie_word_embeddings": False}, "tie_word_embeddings=False but only True"),
    "unscaled output": ({"scale_decoder_outputs": False}, "scale_decoder_outputs=False"),
    "other epsilon": ({"layer_norm_epsilon": 1e-5}, "layer_norm_epsilon=1e-05"),
    "wider heads": ({"d_kv": 16}, r"3 heads of width d_kv=16, together 48, but d_model=24"),
    "other start": ({"decoder_start_token_id": 5}, "decoder_start_token_id=5 but only 0"),
    "other model": ({"model_type": "mt5"}, "model_type 'mt5' but expected t5"),
    "other size": ({"d_ff": 41}, r"widen.weight is \(40, 24\) but must be \(41, 24\)"),
    "fewer layers": ({"num_layers": 1}, r"unexpected: encoder.layers.1"),
    "more layers": ({"num_layers": 3}, r"missing: encoder.layers.2.around_attention"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_implemented_or_does_not_fit_is_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        T5.from_pretrained(configured(saved(published(), tmp_path), **changes))


def test_a_missing_and_an_unexpected_weight_are_named(tmp_path):
    folder = saved(published(), tmp_path)
    name = "encoder.block.1.layer.1.layer_norm.weight"
    rewrite(folder, lambda tensors: {old if old != name else "surprise": one for old, one in tensors.items()})
    with pytest.raises(ValueError, match=r"missing: \S+.1.around_feed_forward.norm.weight\nunexpected: surp"):
        T5.from_pretrained(folder)


def test_pickled_weights_and_a_missing_folder_are_refused(tmp_path):
    folder = saved(published(), tmp_path / "model")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="never opened"):
        T5.from_pretrained(folder)
    with pytest.raises(FileNotFoundError, match=r"config.json is missing"):
        T5.from_pretrained(tmp_path / "nowhere")


IDS = torch.tensor([[3, 4]])
MISUSES = {
    "id outside": (lambda m: m(torch.tensor([[3, 40]]), IDS), "source holds the id 40 but vocab_size=40"),
    "negative id": (lambda m: m(IDS, torch.tensor([[-1]])), "target holds the id -1"),
    "no integers": (lambda m: m(IDS.float(), IDS), "source must hold integers"),
    "empty source": (lambda m: m(IDS[:, :0], IDS), "source is empty"),
    "empty target": (lambda m: m(IDS, IDS[:, :0]), "target is empty"),
    "other batch": (lambda m: m(IDS, IDS.repeat(3, 1)), "target is a batch of 3 but source of 1"),
    "mask shape": (lambda m: m(IDS, IDS, torch.ones(1, 3, dtype=torch.bool)), r"source_mask.*\(1, 2\).*\(1, 3\)"),
    "mask numbers": (lambda m: m(IDS, IDS, None, torch.ones(1, 2)), "target_mask must be boolean.*float32"),
    "no length": (lambda m: m.generate(IDS, max_length=0), "max_length must be an integer of at least 1 but is 0"),
    "no beams": (lambda m: m.generate(IDS, max_length=3, beams=0), "beams must be an integer of at least 1 but is 0"),
    "beams of another kind": (lambda m: m.generate(IDS, max_length=3, beams=1.5), "beams must be an integer .* is 1.5"),
    "negative beams": (lambda m: m.generate(IDS, max_length=3, beams=-1), "beams must be an integer .* is -1"),
    "empty prompt": (lambda m: m.generate(IDS[:, :0], max_length=3), "source is empty"),
    "heads": (lambda m: T5Config(9, 10, 3, 8, 1, 1), r"10.*3"),
    "buckets": (lambda m: small(num_buckets=5), "5"),
    "dropout": (lambda m: small(dropout=1.0), "dropout must be at least 0 and below 1 but is 1.0"),
    "pad": (lambda m: small(pad=40), "pad=40 is outside the vocabulary: vocab_size=40"),
    "layers": (lambda m: small(num_decoder_layers=0), "num_decoder_layers must be an integer of at least 1 but is 0"),
}


@pytest.mark.parametrize(("misuse", "message"), MISUSES.values(), ids=MISUSES)
def test_a_misuse_is_named_with_its_numbers(misuse, message):
    with pytest.raises(ValueError, match=message):
        misuse(T5(small()).eval())


# Span corruption.


def refilled(source, target, sentinels):
    """Put back what the target says, hole by hole: written without looking at how the holes were made."""
    holes, current = {}, None
    for token in target.tolist():
        if token in sentinels:
            current = holes.setdefault(token, [])
        else:
            current.append(token)
    return [back for token in source.tolist() for back in holes.get(token, [token])]


@pytest.mark.parametrize("n", [2, 3, 7, 20, 100, 512])
@pytest.mark.parametrize(("share", "mean_length"), [(0.15, 3.0), (0.5, 3.0), (0.15, 1.0), (0.9, 2.0)])
def test_source_and_target_together_restore_the_text(n, share, mean_length):
    tokens, sentinels = torch.randint(100, (n,)), range(1000, 500, -1)
    for seed in range(20):
        draw = torch.Generator().manual_seed(seed)
        options = {"sentinels": sentinels, "share": share, "mean_length": mean_length, "generator": draw}
        source, target = span_corruption(tokens, **options)
        assert refilled(source, target, sentinels) == tokens.tolist()
        hidden = min(max(round(n * share), 1), n - 1)
        spans = min(max(round(hidden / mean_length), 1), n - hidden)
        used = [token for token in source.tolist() if token > 500]
        assert used == list(range(1000, 1000 - spans, -1))
        assert target[-1] == 1000 - spans
        assert len(source) == n - hidden + spans
        assert len(target) == hidden + spans + 1
        assert not ((source[1:] > 500) & (source[:-1] > 500)).any()


def test_holes_are_drawn_evenly_and_by_the_seed():
    tokens, lengths = torch.arange(40), []
    hidden = torch.zeros(40)
    for seed in range(3000):
        draw = torch.Generator().manual_seed(seed)
        target = span_corruption(tokens, sentinels=[99, 98, 97], generator=draw).target
        hidden[target[target < 90]] += 1
        lengths += [(target == 98).nonzero().item() - 1]
    assert sorted(set(lengths)) == [1, 2, 3, 4, 5]  # six hidden tokens in two spans
    share = torch.tensor(lengths).bincount()[1:] / 3000
    assert (share - 0.2).abs().max() < 0.04
    assert hidden.sum() == 6 * 3000
    assert ((hidden[3:-3] / 3000 - 0.155).abs() < 0.03).all()
    assert ((hidden[[0, -1]] / 3000 - 0.06).abs() < 0.02).all()  # the ends less often, but as often as each other
    again = [span_corruption(tokens, sentinels=[99, 98, 97], generator=torch.Generator().manual_seed(5)) for _ in "ab"]
    assert all(torch.equal(*pair) for pair in zip(*again, strict=True))


HOLES = {
    "one token": ({"tokens": torch.tensor([1])}, "the number of tokens must be an integer of at least 2 but is 1"),
    "a batch": ({"tokens": torch.ones(2, 9)}, r"tokens.*\(2, 9\)"),
    "all": ({"share": 1.0}, "share must be above 0 and below 1 but is 1.0"),
    "none": ({"share": 0}, "share must be above 0 and below 1 but is 0"),
    "too short": ({"mean_length": 0.5}, "mean_length must be at least 1 but is 0.5"),
    "sentinels": ({"sentinels": [9, 8]}, "2 spans need 3 sentinels but there are 2"),
}


@pytest.mark.parametrize(("changes", "message"), HOLES.values(), ids=HOLES)
def test_span_corruption_refuses_what_it_cannot_do(changes, message):
    options = {"tokens": torch.arange(40), "sentinels": [9, 8, 7]} | changes
    with pytest.raises(ValueError, match=message):
        span_corruption(options.pop("tokens"), **options)
