"""The Vision Transformer: equal to `transformers` with its weights, of the published sizes, honest about bad images."""

import json
import os

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from lib.attention import watch
from lib.models.vit import ViT, ViTConfig, sinusoidal_start, to_patches
from lib.training import count_parameters, fit, seed_everything

SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "image_size": 12,
    "patch_size": 4,
    "num_channels": 3,
}


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def images(batch=3, channels=3, side=12, seed=0):
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(seed))


def published(kind, folder, *, shard=None, **changes):
    """Save a small random model of `transformers`, every weight its own, and give it back ready to be compared with."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    config = transformers.ViTConfig(**{**SIZES, "attn_implementation": "eager", **changes})
    options = {"add_pooling_layer": False} if kind == "ViTModel, no pooler" else {}
    model = getattr(transformers, kind.split(",")[0])(config, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    return model.eval()


def all_weights(model, x):
    with watch(model) as weights, torch.no_grad():
        model(x)
    return [one for calls in weights.values() for one in calls]


@pytest.mark.parametrize("shard", [None, "5KB"], ids=["one file", "shards"])
@pytest.mark.parametrize("kind", ["ViTForImageClassification", "ViTModel", "ViTModel, no pooler"])
def test_equals_transformers_in_hidden_states_answers_and_all_heads(kind, shard, tmp_path):
    theirs = published(kind, tmp_path, shard=shard, num_labels=7)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shard is not None)
    ours, x = ViT.from_pretrained(tmp_path), images()
    with torch.no_grad():
        expected = theirs(x, output_attentions=True, output_hidden_states=True)
        close(ours.embed(x), expected.hidden_states[0])
        if "Classification" in kind:
            close(ours(x), expected.logits)
            close(ours.encode(x), theirs.vit(x).last_hidden_state)
        else:
            close(ours.encode(x), expected.last_hidden_state)
            pooled = expected.last_hidden_state[:, 0] if "no pooler" in kind else expected.pooler_output
            close(ours(x), pooled)
    assert not ours.training
    for one, other in zip(all_weights(ours, x), expected.attentions, strict=True):
        close(one, other)


@pytest.mark.parametrize(
    "changes",
    [{"qkv_bias": False}, {"layer_norm_eps": 0.5}, {"patch_size": 6, "num_channels": 1}, {"image_size": [12, 12]}],
    ids=["no bias", "epsilon", "patch size", "sides"],
)
def test_reads_what_the_config_says(changes, tmp_path):
    theirs = published("ViTForImageClassification", tmp_path, **changes)
    x = images(channels=changes.get("num_channels", 3))
    with torch.no_grad():
        close(ViT.from_pretrained(tmp_path)(x), theirs(x).logits)


def test_reads_the_names_of_newer_files_and_leaves_unused_weights_aside(tmp_path):
    theirs = published("ViTForImageClassification", tmp_path)
    path = tmp_path / "model.safetensors"
    newer = (
        (".encoder.layer.", ".layers."),
        ("attention.attention.query", "attention.q_proj"),
        ("attention.attention.key", "attention.k_proj"),
        ("attention.attention.value", "attention.v_proj"),
        ("attention.output.dense", "attention.o_proj"),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
    )
    tensors = {}
    for name, tensor in load_file(path).items():
        for old, new in newer:
            name = name.replace(old, new)
        tensors[name] = tensor
    assert "vit.layers.0.mlp.fc2.weight" in tensors
    tensors["vit.embeddings.mask_token"] = torch.zeros(1, 1, 24)
    tensors |= {"vit.pooler.dense.weight": torch.zeros(24, 24), "vit.pooler.dense.bias": torch.zeros(24)}
    save_file(tensors, path)
    with torch.no_grad():
        close(ViT.from_pretrained(tmp_path)(images()), theirs(images()).logits)


def changed(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "deit"}, "has model_type 'deit' but expected vit"),
        ({"hidden_act": "relu"}, "hidden_act='relu' but only 'gelu'"),
        ({"pooler_act": "relu"}, "pooler_act='relu' but only 'tanh'"),
        ({"pooler_output_size": 7}, "pooler_output_size=7 but only 24"),
        ({"image_size": [12, 16]}, r"image_size=\[12, 16\] but only squares"),
        ({"num_hidden_layers": 3}, r"(?s)missing: .*encoder\.layers\.2\.attention\.w_key\.weight"),
        ({"num_hidden_layers": 1}, r"unexpected: .*encoder\.layers\.1\."),
        ({"image_size": 16}, r"positions\.weight is \(10, 24\) but must be \(17, 24\)"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(changes, message, tmp_path):
    published("ViTForImageClassification", tmp_path)
    changed(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        ViT.from_pretrained(tmp_path)


def test_pickled_weights_are_refused(tmp_path):
    published("ViTForImageClassification", tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="never opened"):
        ViT.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("config", "released", "printed"),
    [(ViTConfig.b16(), 86_567_656, 86), (ViTConfig.l16(), 304_326_632, 307)],
    ids=["B/16", "L/16"],
)
def test_the_presets_have_the_parameters_of_the_released_checkpoints(config, released, printed):
    import transformers

    theirs = transformers.ViTConfig(
        hidden_size=config.d_model,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        intermediate_size=config.d_ff,
        num_labels=1000,
    )
    with torch.device("meta"):
        ours = count_parameters(ViT(config))
        assert count_parameters(transformers.ViTForImageClassification(theirs)) == ours
    assert ours == released
    assert ours / 1e6 == pytest.approx(printed, rel=0.02)
    assert f"{released:,}" in ViTConfig.__doc__
    assert f"{printed}M" in ViTConfig.__doc__


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (4, 4), (4, 2), (3, 1)])
def test_patches_are_cut_in_reading_order_and_a_convolution_projects_them(size, stride):
    x = images(2, 3, 8)
    cut = to_patches(x, size, stride)
    side = (8 - size) // stride + 1
    assert cut.shape == (2, side**2, 3 * size**2)
    for row in range(side):
        for column in range(side):
            top, left = row * stride, column * stride
            expected = x[:, :, top : top + size, left : left + size].flatten(1)
            assert torch.equal(cut[:, row * side + column], expected)
    model = ViT(ViTConfig.tiny(channels=3, patch_size=size, stride=stride), positions=nn.Identity)
    flat = cut @ model.patches.weight.flatten(1).T + model.patches.bias
    close(model.embed(x)[:, 1:], flat)
    assert model.config.num_patches == side**2


def test_without_positions_the_order_of_the_patches_is_lost_and_with_them_it_moves_along():
    seed_everything(0)
    order = torch.randperm(16)
    x = images(4, 1, 8)
    tiles = x.reshape(4, 4, 2, 4, 2).transpose(2, 3).reshape(4, 16, 2, 2)[:, order]
    mixed = tiles.reshape(4, 4, 4, 2, 2).transpose(2, 3).reshape(4, 1, 8, 8)
    blind, model = ViT(ViTConfig.tiny(), positions=nn.Identity), ViT(ViTConfig.tiny())
    close(blind(mixed), blind(x))
    before = model(x)
    assert (model(mixed) - before).abs().max() > 1e-3
    with torch.no_grad():
        model.positions.weight[1:] = model.positions.weight[1:][order].clone()
    close(model(mixed), before)


def test_only_the_class_token_answers():
    model, x = ViT(ViTConfig.tiny()), images(2, 1, 8)
    hidden = model.encode(x)
    assert hidden.shape == (2, 17, 64)
    changed = hidden.clone()
    changed[:, 1:] = 0
    assert torch.equal(model.answer(changed), model(x))


def test_a_sinusoidal_start_is_learned_on():
    positions = sinusoidal_start(5, 8, scale=0.5)
    assert isinstance(positions.weight, nn.Parameter)
    assert positions.weight[0].tolist() == [0, 0.5] * 4
    positions(torch.zeros(1, 5, 8)).sum().backward()
    assert positions.weight.grad.abs().min() > 0


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (images(2, 1, 9), "images are 9 x 9 but the model reads 8 x 8"),
        (images(2, 1, 8)[..., :6], "images are 8 x 6 but the model reads 8 x 8"),
        (images(2, 3, 8), "images have 3 channels but the model reads 1"),
        (images(2, 1, 8)[:0], r"images is empty: shape \(0, 1, 8, 8\)"),
        (images(2, 1, 8)[0], r"images .*\(1, 8, 8\)"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.int64), "images .*int64"),
    ],
)
def test_images_that_the_model_cannot_read_are_refused(batch, message):
    with pytest.raises(ValueError, match=message):
        ViT(ViTConfig.tiny())(batch)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_model": 66}, "d_model=66.*4"),
        ({"num_layers": 0}, "num_layers .* 0"),
        ({"num_classes": -1}, "num_classes .* -1"),
        ({"dropout": 1.0}, "dropout .* 1.0"),
        ({"norm_epsilon": -1.0}, "norm_epsilon .* -1.0"),
        ({"patch_size": 9}, "patch_size=9 is larger than image_size=8"),
        ({"stride": 3}, "stride=3 leaves gaps between patches of patch_size=2"),
        ({"patch_size": 3, "stride": 2}, "patch_size=3 every stride=2 pixels leave 1 pixels of image_size=8 uncovered"),
    ],
)
def test_impossible_configs_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ViTConfig.tiny(**changes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: to_patches(torch.ones(1, 8, 8), 2), r"\(1, 8, 8\)"),
        (lambda: to_patches(torch.ones(1, 1, 8, 8), 9), "patch_size=9 is larger than the images of 8 x 8"),
        (lambda: to_patches(torch.ones(1, 1, 8, 8), 2, 0), "stride .* 0"),
        (lambda: to_patches(torch.ones(1, 1, 8, 8, dtype=torch.int64), 2), "int64"),
    ],
)
def test_images_that_cannot_be_cut_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_batch_is_learned_by_heart():
    seed_everything(0)
    model, x = ViT(ViTConfig.tiny(num_layers=1)), images(8, 1, 8)
    labels = torch.arange(8)
    losses = fit(lambda step: F.cross_entropy(model(x), labels), model.parameters(), steps=40, learning_rate=3e-3)
    assert losses[0] > 1.5
    assert losses[-1] < 0.05
