"""BERT: equal to `transformers` with its weights, also the real MiniLM; hides tokens as published; plain errors."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

os.environ["HF_HUB_OFFLINE"] = "1"
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertModel

from lib.attention import watch
from lib.data.minilm import minilm_folder, minilm_tokenize, minilm_vectors
from lib.masks import causal_mask, padding_mask
from lib.models.bert import BERT, BERTConfig, BERTForMaskedLM, mask_tokens, mean_pooled
from lib.training import count_parameters

SIZES = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_attention_heads": 3,
    "num_hidden_layers": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
    "type_vocab_size": 3,
}


def published(kind=BertModel, seed=0, **changes):
    """A small model of `transformers` in which every weight, also biases and norms, has a value of its own."""
    torch.manual_seed(seed)
    model = kind(BertConfig(**SIZES | {"attn_implementation": "eager"} | changes)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.add_(torch.randn_like(parameter) * (0.5 if "embeddings" in name else 0.1))
    return model


def saved(model, folder, **options):
    model.save_pretrained(folder, **options)
    return folder


def rewrite(folder, change):
    """Rewrite the weights of a folder: `change` turns the dict of tensors into another."""
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path)
    return folder


def batch(seed=1):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(50, (4, 9), generator=generator)
    segments = torch.randint(3, (4, 9), generator=generator)
    lengths = torch.tensor([9, 5, 1, 7])
    return tokens, segments, lengths, torch.arange(9) < lengths[:, None]


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "12KB"}], ids=["one file", "sharded"])
def test_hidden_states_pooler_and_all_heads_equal_those_of_transformers(tmp_path, shards):
    theirs = published()
    ours = BERT.from_pretrained(saved(theirs, tmp_path, **shards))
    assert len(list(tmp_path.glob("*.safetensors"))) > 1 or not shards
    tokens, segments, lengths, real = batch()
    expected = theirs(tokens, attention_mask=real.long(), token_type_ids=segments, output_attentions=True)
    with watch(ours) as weights, torch.no_grad():
        hidden = ours(tokens, segments, padding_mask(lengths, 9))
    close(hidden[real], expected.last_hidden_state[real])
    close(ours.pooler(hidden), expected.pooler_output)
    close(hidden, ours(tokens, segments, real[:, None]))
    assert len(weights) == len(expected.attentions) == 3
    for (layer,), reference in zip(weights.values(), expected.attentions, strict=True):
        assert layer.shape == (4, 3, 9, 9)
        close(layer.transpose(1, 2)[real], reference.transpose(1, 2)[real])
    close(ours(tokens), theirs(tokens).last_hidden_state)


@pytest.mark.parametrize("kind", [BertForMaskedLM, BertForPreTraining])
def test_masked_token_logits_equal_those_of_transformers(tmp_path, kind):
    theirs = published(kind)
    ours = BERTForMaskedLM.from_pretrained(saved(theirs, tmp_path))
    tokens, segments, lengths, real = batch()
    out = theirs(tokens, attention_mask=real.long(), token_type_ids=segments)
    expected = out.logits if kind is BertForMaskedLM else out.prediction_logits
    logits = ours(tokens, segments, padding_mask(lengths, 9))
    close(logits[real], expected[real])
    close(ours(tokens, segments, padding_mask(lengths, 9), where=real), expected[real])
    assert ours.bert.pooler is None
    assert count_parameters(ours) == count_parameters(theirs) if kind is BertForMaskedLM else True


def test_older_names_and_prefixes_load_as_well(tmp_path):
    theirs = published(BertForPreTraining)

    def old(tensors):
        def gammas(name):
            return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

        tensors = {gammas(name): tensor for name, tensor in tensors.items()}
        tensors["bert.embeddings.position_ids"] = torch.arange(20)[None]
        tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"].clone()
        return tensors

    folder = rewrite(saved(theirs, tmp_path), old)
    tokens, segments, *_ = batch()
    expected = theirs(tokens, token_type_ids=segments)
    close(BERTForMaskedLM.from_pretrained(folder)(tokens, segments), expected.prediction_logits)
    ours = BERT.from_pretrained(folder)  # prefixed, with a pooler, and a head to leave out
    hidden = ours(tokens, segments)
    close(hidden, theirs.bert(tokens, token_type_ids=segments).last_hidden_state)
    close(ours.pooler(hidden), theirs.bert(tokens, token_type_ids=segments).pooler_output)

    rewrite(folder, lambda tensors: {name: t for name, t in tensors.items() if "pooler" not in name})
    assert BERT.from_pretrained(folder).pooler is None
    close(BERT.from_pretrained(folder)(tokens, segments), hidden)


def test_a_head_stored_without_the_prefix_and_with_its_bias_only_at_the_decoder(tmp_path):
    theirs = published(BertForMaskedLM)

    def bare(tensors):
        tensors = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
        tensors["cls.predictions.decoder.bias"] = tensors.pop("cls.predictions.bias")
        return tensors

    ours = BERTForMaskedLM.from_pretrained(rewrite(saved(theirs, tmp_path), bare))
    close(ours(batch()[0]), theirs(batch()[0]).logits)


def test_the_real_minilm_gives_the_vectors_of_its_own_library():
    texts = ["A man is eating food.", "Someone eats.", "", "The cat sat on the mat, and then it slept. " * 40]
    ours = BERT.from_pretrained(minilm_folder())
    tokens, lengths = minilm_tokenize(texts)
    with torch.no_grad():
        hidden = ours(tokens, mask=padding_mask(lengths, tokens.shape[1]))
    close(mean_pooled(hidden, lengths), torch.from_numpy(minilm_vectors(texts)))
    assert count_parameters(ours) == 22_713_216
    with pytest.raises(ValueError, match=r"missing: .*head\.bias"):  # it was published without its head
        BERTForMaskedLM.from_pretrained(minilm_folder())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_act": "relu"}, "hidden_act='relu'"),
        ({"model_type": "roberta"}, "'roberta'"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"is_decoder": True}, "is_decoder"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
    ],
)
def test_a_checkpoint_that_asks_for_something_else_is_refused(tmp_path, change, words):
    path = saved(published(), tmp_path) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=words):
        BERT.from_pretrained(tmp_path)


def test_weights_that_do_not_fit_are_named(tmp_path):
    folder = saved(published(BertForMaskedLM), tmp_path)

    def broken(tensors):
        del tensors["bert.encoder.layer.1.intermediate.dense.bias"]
        tensors["bert.extra"] = torch.ones(1)
        tensors["cls.predictions.bias"] = torch.ones(7)
        return tensors

    with pytest.raises(ValueError, match=r"(?s)missing: .*feed_forward\.widen\.bias.*extra.*head\.bias is \(7,\)"):
        BERTForMaskedLM.from_pretrained(rewrite(folder, broken))
    with pytest.raises(ValueError, match=r"missing: .*head\.bias"):
        BERTForMaskedLM.from_pretrained(saved(published(), tmp_path / "headless"))
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="never opened"):
        BERT.from_pretrained(tmp_path)


PRESETS = [("base", 109_482_240, 110), ("large", 335_141_888, 340)]


@pytest.mark.parametrize(("preset", "parameters", "printed"), PRESETS)
def test_the_presets_have_the_released_sizes(preset, parameters, printed):
    with torch.device("meta"):
        ours = BERT(getattr(BERTConfig, preset)())
        sizes = {} if preset == "base" else {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
        theirs = BertModel(BertConfig(**sizes, intermediate_size=4 * sizes.get("hidden_size", 768)))
    assert count_parameters(ours) == count_parameters(theirs) == parameters
    assert parameters / 1e6 == pytest.approx(printed, rel=0.02)
    said = getattr(BERTConfig, preset).__doc__
    assert f"{parameters:,}" in said
    assert f"{printed}M" in said


def test_a_place_sees_both_sides_and_with_a_causal_mask_only_the_left_one():
    torch.manual_seed(0)
    model = BERT(BERTConfig.tiny()).eval()
    tokens = torch.tensor([[1, 2, 3, 4, 5]])
    other = torch.tensor([[1, 2, 3, 4, 9]])
    assert not torch.allclose(model(tokens)[:, :4], model(other)[:, :4])
    close(model(tokens, mask=causal_mask(5))[:, :4], model(other, mask=causal_mask(5))[:, :4])
    padded = torch.tensor([[1, 2, 3, 4, 5, 7, 7], [5, 4, 0, 0, 0, 0, 0]])
    close(model(padded, mask=padding_mask([5, 2], 7))[0, :5], model(tokens)[0])
    assert model(padded, mask=padding_mask([5, 0], 7)).isfinite().all()


def test_hidden_tokens_are_chosen_and_split_as_the_paper_says():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(5, 30, (200, 500), generator=generator)
    tokens[:, 0], tokens[:, -9:] = 2, 0
    kept = tokens.clone()
    seen, chosen = mask_tokens(tokens, mask_id=4, vocab_size=30, special=range(5), generator=generator)
    assert torch.equal(tokens, kept)
    assert torch.equal(seen[~chosen], tokens[~chosen])
    assert not chosen[:, 0].any()
    assert not chosen[:, -9:].any()
    assert chosen[:, 1:-9].float().mean().item() == pytest.approx(0.15, abs=0.005)
    masked, same = (seen == 4)[chosen], (seen == tokens)[chosen]
    assert masked.float().mean().item() == pytest.approx(0.8, abs=0.01)
    assert same.float().mean().item() == pytest.approx(0.1 + 0.1 / 25, abs=0.01)
    drawn = seen[chosen][~masked & ~same]
    assert drawn.min() >= 5
    assert drawn.unique().numel() == 25
    again = mask_tokens(tokens, mask_id=4, vocab_size=30, special=range(5), generator=torch.Generator().manual_seed(3))
    for _ in range(2):
        repeat = mask_tokens(
            tokens, mask_id=4, vocab_size=30, special=range(5), generator=torch.Generator().manual_seed(3)
        )
        assert all(torch.equal(a, b) for a, b in zip(again, repeat, strict=True))
    seen, chosen = mask_tokens(tokens, mask_id=4, vocab_size=30, share=1.0, split=(0.0, 0.0, 1.0))
    assert chosen.all()
    assert torch.equal(seen, tokens)


def test_one_batch_can_be_learned_by_heart():
    torch.manual_seed(0)
    model = BERTForMaskedLM(BERTConfig.tiny(vocab_size=40, max_length=12))
    tokens = torch.randint(4, 40, (8, 12))
    seen, chosen = mask_tokens(tokens, mask_id=3, vocab_size=40, special=range(4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(80):
        loss = cross_entropy(model(seen, where=chosen), tokens[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    assert torch.equal(model(seen).argmax(dim=-1)[chosen], tokens[chosen])


def test_the_weights_start_as_the_published_code_starts_them():
    torch.manual_seed(0)
    model = BERTForMaskedLM(BERTConfig.tiny(d_model=128))
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            assert not weight.any(), name
        elif "norm" in name:
            assert (weight == 1).all(), name
        elif "positions" not in name:
            assert weight.abs().max() <= 0.04, name
            assert weight.std().item() == pytest.approx(0.0176, abs=0.002), name  # 0.02, the tails cut off


TINY = {"vocab_size": 10, "max_length": 6}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: BERTConfig(d_model=10, num_heads=3), "10"),
        (lambda: BERTConfig(num_layers=0), "num_layers"),
        (lambda: BERTConfig(num_segments=0), "num_segments"),
        (lambda: BERTConfig(dropout=1.0), "dropout"),
        (lambda: BERT(BERTConfig.tiny(**TINY))(torch.tensor([[10]])), "id 10 but vocab_size=10"),
        (lambda: BERT(BERTConfig.tiny(**TINY))(torch.ones(1, 7, dtype=torch.long)), "7 long but there are 6"),
        (lambda: BERT(BERTConfig.tiny(**TINY))(torch.ones(1, 0, dtype=torch.long)), "empty"),
        (lambda: BERT(BERTConfig.tiny(**TINY))(torch.ones(1, 2)), "integers"),
        (lambda: BERT(BERTConfig.tiny(**TINY))(torch.tensor([[1, 2]]), torch.tensor([[0, 1]])), "segments holds"),
        (lambda: BERT(BERTConfig.tiny(**TINY))(torch.tensor([[1, 2]]), torch.tensor([[0]])), r"\(1, 1\).*\(1, 2\)"),
        (
            lambda: BERTForMaskedLM(BERTConfig.tiny(**TINY))(torch.tensor([[1, 2]]), where=torch.ones(1, 3) > 0),
            r"\(1, 2\).*\(1, 3\)",
        ),
        (
            lambda: BERTForMaskedLM(BERTConfig.tiny(**TINY))(torch.tensor([[1, 2]]), where=torch.ones(1, 2)),
            "boolean",
        ),
        (lambda: mean_pooled(torch.ones(2, 3, 4), torch.tensor([3, 4])), "T=3"),
        (lambda: mean_pooled(torch.ones(2, 3, 4), torch.tensor([0, 3])), r"\[0, 3\]"),
        (lambda: mask_tokens(torch.tensor([[1]]), mask_id=9, vocab_size=5), "mask_id holds the id 9"),
        (lambda: mask_tokens(torch.tensor([[7]]), mask_id=1, vocab_size=5), "id 7"),
        (lambda: mask_tokens(torch.tensor([[1]]), mask_id=1, vocab_size=5, share=1.5), "share=1.5"),
        (lambda: mask_tokens(torch.tensor([[1]]), mask_id=1, vocab_size=2, special=[0, 1]), "below vocab_size=2"),
        (lambda: BERTConfig.tiny(**TINY, norm_eps=-1.0), "norm_eps must be above 0 and below 1 but is -1.0"),
        (lambda: mask_tokens(torch.tensor([[1]]), mask_id=1, vocab_size=5, split=(0.8, 0.1, 0.2)), "sum to 1"),
    ],
)
def test_mistakes_are_named_with_their_numbers(call, words):
    with pytest.raises(ValueError, match=words):
        call()
