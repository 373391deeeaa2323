"""GPT: the published sizes, transformers' outputs and tokens from the same weights, causality, cache, errors."""

import json
import re

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from lib.attention import watch
from lib.masks import padding_mask
from lib.models.gpt import GPT, GPTConfig
from lib.training import count_parameters, fit

TINY = GPTConfig.tiny()


def published(kind, folder, *, shards="1GB", **changes):
    """Save a random small model of transformers, every weight of it drawn anew so that nothing is 0 or 1."""
    from transformers import GPT2Config, GPT2LMHeadModel, OpenAIGPTConfig, OpenAIGPTLMHeadModel

    sizes = {"vocab_size": 50, "n_positions": 24, "n_embd": 16, "n_head": 4, "n_layer": 3, "bos_token_id": None}
    make_config, make_model = {
        "gpt2": (GPT2Config, GPT2LMHeadModel),
        "openai-gpt": (OpenAIGPTConfig, OpenAIGPTLMHeadModel),
    }[kind]
    torch.manual_seed(0)
    model = make_model(make_config(**sizes | {"eos_token_id": None} | changes)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            scales = "ln_" in name and "weight" in name
            weight.normal_(mean=1.0 if scales else 0.0, std=0.1 if "ln_" in name else 0.4)
            if "wte" in name or "tokens_embed" in name:
                weight.div_(weight.norm(dim=1, keepdim=True))  # else greedy generation repeats the longest row
    model.save_pretrained(folder, max_shard_size=shards)
    return model


def random_tokens(*shape, vocab_size=50, seed=0):
    return torch.randint(vocab_size, shape, generator=torch.Generator().manual_seed(seed))


def trained_a_little(config=TINY, seed=0):
    """A model whose logits differ clearly from place to place."""
    torch.manual_seed(seed)
    model = GPT(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model


# The published models


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        ("gpt1", 116_534_784),
        ("gpt2_small", 124_439_808),
        ("gpt2_medium", 354_823_168),
        ("gpt2_large", 774_030_080),
        ("gpt2_xl", 1_557_611_200),
        ("gpt3_175b", 174_604_259_328),
    ],
)
def test_the_presets_have_the_published_sizes(preset, parameters):
    with torch.device("meta"):
        assert count_parameters(GPT(getattr(GPTConfig, preset)())) == parameters
    assert f"{parameters:,} parameters" in getattr(GPTConfig, preset).__doc__


@pytest.mark.parametrize(
    ("preset", "printed"),
    [("gpt2_small", 117), ("gpt2_medium", 345), ("gpt2_large", 762), ("gpt2_xl", 1542), ("gpt3_175b", 175_000)],
)
def test_the_papers_figures_stand_beside_them_and_are_near(preset, printed):
    with torch.device("meta"):
        parameters = count_parameters(GPT(getattr(GPTConfig, preset)()))
    assert parameters / 1e6 == pytest.approx(printed, rel=0.07)
    assert (f"{printed}M" if printed < 175_000 else "175.0B") in getattr(GPTConfig, preset).__doc__


@pytest.mark.parametrize("preset", ["gpt1", "gpt2_small", "gpt2_medium", "gpt2_large", "gpt2_xl"])
def test_transformers_counts_the_same(preset):
    from transformers import GPT2Config, GPT2LMHeadModel, OpenAIGPTConfig, OpenAIGPTLMHeadModel

    ours = getattr(GPTConfig, preset)()
    sizes = {"n_embd": ours.d_model, "n_head": ours.num_heads, "n_layer": ours.num_layers}
    with torch.device("meta"):  # vocabulary and positions are those that transformers has for the released models
        theirs = OpenAIGPTLMHeadModel(OpenAIGPTConfig()) if preset == "gpt1" else GPT2LMHeadModel(GPT2Config(**sizes))
        assert count_parameters(GPT(ours)) == count_parameters(theirs)


@pytest.mark.parametrize("kind", ["gpt2", "openai-gpt"])
@pytest.mark.parametrize("shards", ["1GB", "10KB"])
def test_published_weights_give_the_published_outputs(kind, shards, tmp_path):
    theirs = published(kind, tmp_path, shards=shards)
    assert (tmp_path / "model.safetensors").exists() == (shards == "1GB")
    ours, tokens = GPT.from_pretrained(tmp_path), random_tokens(3, 20)
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, rtol=1e-5, atol=1e-5)
        behind = padding_mask([20, 11, 1], 20)
        expected = theirs(tokens, attention_mask=behind[:, 0].long()).logits
        real = behind[:, 0]
        torch.testing.assert_close(ours(tokens, behind)[real], expected[real], rtol=1e-5, atol=1e-5)
        before = behind.flip(-1)
        expected, real = theirs(tokens, attention_mask=before[:, 0].long()).logits, before[:, 0]
        torch.testing.assert_close(ours(tokens, before)[real], expected[real], rtol=1e-5, atol=1e-5)
        hidden = theirs.transformer(tokens).last_hidden_state
        torch.testing.assert_close(ours.hidden(tokens), hidden, rtol=1e-5, atol=1e-5)
    assert not ours.training


@pytest.mark.parametrize("kind", ["gpt2", "openai-gpt"])
def test_published_weights_give_the_published_attention_in_all_heads(kind, tmp_path):
    theirs, tokens = published(kind, tmp_path), random_tokens(3, 12)
    theirs.set_attn_implementation("eager")
    ours, real = GPT.from_pretrained(tmp_path), padding_mask([12, 7, 1], 12)
    with watch(ours) as weights, torch.no_grad():
        ours(tokens, real)
        expected = theirs(tokens, attention_mask=real[:, 0].long(), output_attentions=True).attentions
    assert len(weights) == len(expected) == 3
    for (layer,), other in zip(weights.values(), expected, strict=True):
        assert layer.shape == (3, 4, 12, 12)
        rows = real[:, 0]
        torch.testing.assert_close(layer.transpose(1, 2)[rows], other.transpose(1, 2)[rows], rtol=1e-5, atol=1e-5)


def test_an_inner_width_of_its_own_is_read(tmp_path):
    theirs = published("gpt2", tmp_path, n_inner=40)
    ours, tokens = GPT.from_pretrained(tmp_path), random_tokens(2, 7)
    assert ours.config.d_ff == 40
    torch.testing.assert_close(ours(tokens), theirs(tokens).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "openai-gpt"])
@pytest.mark.parametrize("cache", [True, False])
def test_greedy_generation_writes_transformers_tokens(kind, cache, tmp_path):
    theirs, prompt = published(kind, tmp_path), random_tokens(8, 5)
    expected = theirs.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=19, do_sample=False, pad_token_id=0
    )
    written = GPT.from_pretrained(tmp_path).generate(prompt, 19, temperature=0, cache=cache)
    assert torch.equal(written, expected)
    assert len(set(written[:, 5:].flatten().tolist())) > 1  # not one token all the way


@pytest.mark.parametrize("kind", ["gpt2", "openai-gpt"])
def test_the_names_and_extras_of_older_files_are_accepted(kind, tmp_path):
    theirs, tokens = published(kind, tmp_path), random_tokens(2, 9)
    path = tmp_path / "model.safetensors"
    old = {name.removeprefix("transformer."): tensor for name, tensor in load_file(path).items()}
    head = old.pop("lm_head.weight", None)
    for layer in range(3):
        old |= {
            f"h.{layer}.attn.bias": torch.ones(1, 1, 24, 24).tril(),
            f"h.{layer}.attn.masked_bias": torch.tensor(-1e4),
        }
    if kind == "openai-gpt":
        old["position_ids"] = torch.arange(24)
    table = "wte.weight" if kind == "gpt2" else "tokens_embed.weight"
    for stored in (old, old | {"lm_head.weight": (old[table] if head is None else head).clone()}):
        save_file(stored, path)
        torch.testing.assert_close(GPT.from_pretrained(tmp_path)(tokens), theirs(tokens).logits, rtol=1e-5, atol=1e-5)
    stored["lm_head.weight"] = stored.pop(table)  # tied, and kept under the head's name only
    save_file(stored, path)
    torch.testing.assert_close(GPT.from_pretrained(tmp_path)(tokens), theirs(tokens).logits, rtol=1e-5, atol=1e-5)


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("kind", "key", "value", "implemented"),
    [
        ("gpt2", "activation_function", "relu", "'gelu_new'"),
        ("gpt2", "scale_attn_weights", False, "True"),
        ("gpt2", "scale_attn_by_inverse_layer_idx", True, "False"),
        ("gpt2", "add_cross_attention", True, "False"),
        ("gpt2", "tie_word_embeddings", False, "True"),
        ("gpt2", "layer_norm_epsilon", 1e-6, "1e-05"),
        ("openai-gpt", "afn", "relu", "'gelu'"),
        ("openai-gpt", "tie_word_embeddings", False, "True"),
    ],
)
def test_a_config_that_is_not_implemented_is_refused(kind, key, value, implemented, tmp_path):
    published(kind, tmp_path)
    change_config(tmp_path, **{key: value})
    message = f"this checkpoint has {key}={value!r} but only {implemented} is implemented"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        GPT.from_pretrained(tmp_path)


def test_another_model_missing_files_and_pickled_weights_are_refused(tmp_path):
    published("gpt2", tmp_path)
    change_config(tmp_path, model_type="bert")
    with pytest.raises(ValueError, match="has model_type 'bert' but expected gpt2 or openai-gpt"):
        GPT.from_pretrained(tmp_path)
    change_config(tmp_path, model_type="gpt2")
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="pickled weights"):
        GPT.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"config\.json is missing"):
        GPT.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize("bias", [torch.ones(2), torch.tensor(1.0)])
def test_a_fused_weight_that_cannot_be_taken_apart_is_named(tmp_path, bias):
    published("gpt2", tmp_path)
    tensors = load_file(tmp_path / "model.safetensors") | {"transformer.h.0.attn.c_attn.bias": bias}
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"(?s)do not fit GPT.*layers\.0\.attention\.(w_key|fused)\.bias"):
        GPT.from_pretrained(tmp_path)


def test_a_config_without_a_size_is_named(tmp_path):
    published("gpt2", tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"n_embd"', '"n_embedded"'), encoding="utf-8")
    with pytest.raises(ValueError, match=r"config\.json has no 'n_embd'"):
        GPT.from_pretrained(tmp_path)


def test_weights_that_do_not_fit_are_named(tmp_path):
    published("gpt2", tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    del tensors["transformer.h.1.mlp.c_fc.bias"], tensors["transformer.h.0.attn.c_attn.weight"]
    tensors |= {"transformer.wpe.weight": torch.ones(30, 16), "score.weight": torch.ones(2, 16)}
    save_file(tensors, path)
    with pytest.raises(ValueError, match="the weights do not fit GPT") as raised:
        GPT.from_pretrained(tmp_path)
    _, missing, unexpected, wrong = str(raised.value).splitlines()
    assert "layers.1.feed_forward.widen.bias" in missing
    assert "layers.0.attention.w_query.weight" in missing
    assert unexpected == "unexpected: score.weight"
    assert wrong == "wrong shape: positions.weight is (30, 16) but must be (24, 16)"


# What makes it autoregressive


@pytest.mark.parametrize("pre_norm", [True, False])
def test_a_later_token_changes_no_earlier_logit(pre_norm):
    model = trained_a_little(GPTConfig(50, 24, 16, 4, 3, pre_norm=pre_norm))
    tokens = random_tokens(1, 12)
    for place in range(12):
        changed = tokens.clone()
        changed[0, place] = (changed[0, place] + 1) % 50
        moved = (model(changed) - model(tokens)).abs().amax(dim=-1)[0]
        assert (moved[:place] == 0).all()
        assert (moved[place:] > 1e-4).all()


@pytest.mark.parametrize("blocks", [[1] * 12, [5, 1, 6], [11, 1]])
def test_a_cache_gives_the_same_logits_also_under_padding(blocks):
    model, tokens = trained_a_little(), random_tokens(2, 12)
    mask = padding_mask([12, 9], 12).flip(-1)
    expected, cache, given, start = model(tokens, mask), model.encoder.new_cache(), [], 0
    for size in blocks:
        stop = start + size
        given.append(model(tokens[:, start:stop], mask[..., :stop], cache=cache))
        start = stop
    torch.testing.assert_close(torch.cat(given, dim=1), expected, rtol=1e-5, atol=1e-5)
    assert len(cache[0]) == 12


@pytest.mark.parametrize(
    "options", [{"temperature": 0}, {"temperature": 0.7, "top_k": 20}, {"top_p": 0.8}, {"temperature": 2.0}]
)
def test_the_cache_changes_no_token(options):
    model, prompt = trained_a_little(), random_tokens(3, 4)
    written = [
        model.generate(prompt, 60, generator=torch.Generator().manual_seed(1), cache=cache, **options)
        for cache in (True, False)
    ]
    assert torch.equal(*written)
    assert written[0].shape == (3, 64)
    assert torch.equal(written[0][:, :4], prompt)


def test_with_a_cache_each_step_reads_one_token_and_without_all(monkeypatch):
    read, inner = [], GPT.hidden
    monkeypatch.setattr(
        GPT,
        "hidden",
        lambda self, tokens, *rest, **named: (read.append(tokens.shape[1]), inner(self, tokens, **named))[1],
    )
    model, prompt = GPT(TINY), random_tokens(1, 4)
    model.generate(prompt, 3)
    model.generate(prompt, 3, cache=False)
    assert read == [4, 1, 1, 4, 5, 6]


def test_the_options_of_sampling_reach_the_choice():
    model, prompt = trained_a_little(), random_tokens(1, 4)
    greedy = model.generate(prompt, 30, temperature=0)
    assert torch.equal(model.generate(prompt, 30, top_k=1), greedy)
    assert torch.equal(model.generate(prompt, 30, top_p=1e-6), greedy)
    drawn = {
        tuple(model.generate(prompt, 30, generator=torch.Generator().manual_seed(seed))[0].tolist())
        for seed in (0, 0, 1)
    }
    assert len(drawn) == 2


def test_generation_switches_dropout_off_and_back_on():
    model = GPT(GPTConfig(65, 64, 32, 4, 2, dropout=0.5)).train()
    prompt = random_tokens(1, 4)
    assert torch.equal(model.generate(prompt, 20, temperature=0), model.generate(prompt, 20, temperature=0))
    with pytest.raises(ValueError, match="top_k"):
        model.generate(prompt, 1, top_k=0)
    assert model.training
    assert not torch.equal(model(prompt), model(prompt))
    assert not model.eval().generate(prompt, 2).requires_grad
    assert not model.training


def test_one_batch_is_learned_by_heart():
    torch.manual_seed(0)
    model, tokens = GPT(TINY), random_tokens(2, 17, vocab_size=65)
    losses = fit(
        lambda step: F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()),
        model.parameters(),
        steps=150,
        learning_rate=1e-2,
        warmup=10,
    )
    assert losses[0] > 4
    assert losses[-1] < 0.05


def test_the_weights_start_as_gpt2s_paper_says():
    torch.manual_seed(0)
    config = GPTConfig(500, 64, 64, 4, 8)
    weights = dict(GPT(config).named_parameters())
    assert weights["tokens.weight"].std().item() == pytest.approx(0.02, rel=0.05)
    assert weights["encoder.layers.3.attention.w_key.weight"].std().item() == pytest.approx(0.02, rel=0.05)
    for name in ("attention.w_output.weight", "feed_forward.narrow.weight"):
        assert weights[f"encoder.layers.3.{name}"].std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert all(not weight.any() for name, weight in weights.items() if name.endswith("bias"))
    assert (weights["encoder.norm.weight"] == 1).all()
    assert len(weights) == 4 + 16 * 8  # the head is the embedding once more


# What is refused


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (torch.tensor([[1, 65]]), "tokens holds the id 65 but vocab_size=65"),
        (torch.tensor([[-1, 2]]), "tokens holds the id -1 but vocab_size=65"),
        (torch.zeros(1, 65, dtype=torch.int64), "tokens is 65 long but there are 64 positions"),
        (torch.zeros(1, 0, dtype=torch.int64), "tokens is empty"),
        (torch.zeros(1, 2), "tokens must hold integers"),
        (torch.zeros(2, dtype=torch.int64), "tokens has rank 1, shape (2,), but needs rank 2"),
        ([[1, 2]], "tokens must be a tensor of integers (B, T) but is [[1, 2]]"),
    ],
)
def test_tokens_that_cannot_be_read_are_refused(tokens, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        GPT(TINY)(tokens)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(2, 3, dtype=torch.bool), "mask has shape (2, 3) but the scores have shape (2, 3, 3)"),
        (torch.ones(3, 3), "mask must be boolean (True = may attend) but has dtype float32"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(mask, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        GPT(TINY)(torch.zeros(2, 3, dtype=torch.int64), mask)


def test_options_out_of_range_are_refused_also_without_a_draw():
    for options, message in (({"top_k": 0}, "top_k"), ({"top_p": 2.0}, "top_p must be above 0 and at most 1 but is 2")):
        with pytest.raises(ValueError, match=message):
            GPT(TINY).generate(torch.tensor([[1]]), 1, temperature=0, **options)


@pytest.mark.parametrize(
    ("prompt", "new", "message"),
    [
        (torch.zeros(1, 0, dtype=torch.int64), 5, "prompt is empty: shape (1, 0)"),
        (torch.tensor([[70]]), 5, "prompt holds the id 70 but vocab_size=65"),
        (
            torch.zeros(1, 60, dtype=torch.int64),
            5,
            "a prompt of 60 and max_new_tokens=5 make 65 places but there are 64 positions",
        ),
        (torch.tensor([[1]]), 0, "max_new_tokens must be an integer of at least 1 but is 0"),
    ],
)
def test_a_prompt_that_cannot_be_continued_is_refused(prompt, new, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        GPT(TINY).generate(prompt, new)
    assert GPT(TINY).generate(torch.zeros(1, 60, dtype=torch.int64), 4).shape == (1, 64)


def test_a_cache_cannot_reach_beyond_the_positions():
    model = GPT(TINY)
    cache = model.encoder.new_cache()
    model(torch.zeros(1, 64, dtype=torch.int64), cache=cache)
    with pytest.raises(ValueError, match=r"^x has T=1 places from place 64 on but max_length=64$"):
        model(torch.tensor([[1]]), cache=cache)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 0}, "vocab_size must be an integer of at least 1 but is 0"),
        ({"max_length": 2.5}, "max_length must be an integer of at least 1 but is 2.5"),
        ({"num_heads": 3}, "d_model=32 is not divisible by num_heads=3"),
        ({"num_layers": 0}, "num_layers must be an integer of at least 1 but is 0"),
        ({"d_model": "wide"}, "d_model must be an integer"),
        ({"d_ff": 0}, "d_ff must be an integer of at least 1 but is 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1 but is 1.0"),
        ({"dropout": "a"}, "dropout must be at least 0 and below 1 but is 'a'"),
    ],
)
def test_an_impossible_config_is_refused(changes, message):
    sizes = {"vocab_size": 65, "max_length": 64, "d_model": 32, "num_heads": 4, "num_layers": 2}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        GPTConfig(**sizes | changes)
