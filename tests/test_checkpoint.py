import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lib.models.checkpoint import load_weights, read_config, read_tensors, renamed, require


@pytest.fixture
def tensors():
    torch.manual_seed(0)
    return {"first.weight": torch.randn(3, 2), "first.bias": torch.randn(3), "second.weight": torch.randn(4, 3)}


@pytest.fixture
def folder(tmp_path, tensors):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 2}), encoding="utf-8")
    save_file(tensors, tmp_path / "model.safetensors")
    return tmp_path


def shard(folder, tensors, *, missing=()):
    """Store the tensors as transformers does when they are too many for one file."""
    (folder / "model.safetensors").unlink()
    names = {name: f"model-{n + 1:05}-of-00002.safetensors" for n, name in enumerate(sorted(tensors)[:2])}
    names = {name: names.get(name, "model-00002-of-00002.safetensors") for name in tensors}
    for file in set(names.values()) - set(missing):
        save_file({name: tensors[name] for name in tensors if names[name] == file}, folder / file)
    index = {"metadata": {"total_size": 1}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def net():
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4, bias=False))


RULES = [(r"^first\.", "0."), (r"^second\.", "1.")]


def test_a_config_is_read_when_it_is_of_the_right_type(folder):
    assert read_config(folder, model_type="bert") == {"model_type": "bert", "hidden_size": 2}
    assert read_config(str(folder), model_type=("gpt2", "bert"))["hidden_size"] == 2


def test_a_config_of_another_type_is_refused(folder):
    with pytest.raises(ValueError, match="has model_type 'bert' but expected gpt2 or t5"):
        read_config(folder, model_type=("gpt2", "t5"))
    (folder / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="has model_type None but expected bert"):
        read_config(folder, model_type="bert")


def test_a_key_that_a_config_or_an_index_lacks_is_named_with_the_file(folder):
    with pytest.raises(ValueError, match=r"config\.json has no 'num_layers'"):
        read_config(folder, model_type="bert")["num_layers"]
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    (folder / "model.safetensors.index.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json has no 'weight_map'"):
        read_tensors(folder)


@pytest.mark.parametrize("text", ["{", "[1]", "", "7"])
def test_a_config_that_is_no_json_object_is_refused(folder, text):
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"config\.json is no JSON object: "):
        read_config(folder, model_type="bert")


def test_a_missing_folder_or_config_is_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.*config\.json is missing"):
        read_config(tmp_path / "nowhere", model_type="bert")
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"config\.json is missing"):
        read_config(folder, model_type="bert")


def test_what_is_not_implemented_is_refused_and_what_is_left_out_passes():
    require({"hidden_act": "gelu", "other": 3}, hidden_act="gelu", is_decoder=False)
    with pytest.raises(ValueError, match="this checkpoint has is_decoder=True but only False is implemented"):
        require({"hidden_act": "gelu", "is_decoder": True}, hidden_act="gelu", is_decoder=False)


def test_one_file_and_shards_give_the_same_tensors(folder, tensors):
    whole = read_tensors(folder)
    shard(folder, tensors)
    assert len(list(folder.glob("model-*.safetensors"))) == 2
    parts = read_tensors(folder)
    assert whole.keys() == parts.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(whole[name], tensor)
        assert torch.equal(parts[name], tensor)


def test_a_missing_shard_is_named(folder, tensors):
    shard(folder, tensors, missing=["model-00002-of-00002.safetensors"])
    with pytest.raises(
        FileNotFoundError, match=r"lacks model-00002-of-00002\.safetensors, which its .*index\.json names"
    ):
        read_tensors(folder)


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"holds neither model\.safetensors nor model\.safetensors\.index\.json$"
    ):
        read_tensors(folder)


def test_pickled_weights_are_never_opened(folder, tmp_path):
    """The pickle would leave a mark behind if anybody opened it."""
    mark = tmp_path / "opened"

    class Trap:
        def __reduce__(self):
            return (open, (str(mark), "w"))

    (folder / "model.safetensors").unlink()
    torch.save({"first.weight": Trap()}, folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"pickled weights such as pytorch_model\.bin can run code"):
        read_tensors(folder)
    assert not mark.exists()
    with (folder / "pytorch_model.bin").open("rb") as file:  # and it is a trap indeed
        torch.load(file, weights_only=False)["first.weight"].close()
    assert mark.exists()


def test_a_pickle_under_the_name_of_safetensors_is_refused(folder):
    torch.save({"first.weight": torch.ones(3, 2)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"model\.safetensors is no whole safetensors file: .*header"):
        read_tensors(folder)


@pytest.mark.parametrize("kept", [0, 4, 40, -1])
def test_a_truncated_file_is_refused(folder, kept):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"model\.safetensors is no whole safetensors file"):
        read_tensors(folder)


def test_a_corrupt_header_is_refused(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[8:12] = b"\x00\xff\x00\xff"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"model\.safetensors is no whole safetensors file: .*header"):
        read_tensors(folder)


def test_rules_apply_in_turn_wherever_they_match():
    names = renamed(
        {"a.gamma": torch.ones(1), "a.a": torch.ones(1)}, [("gamma", "weight"), (r"^a\.", "b."), ("b", "c")]
    )
    assert list(names) == ["c.weight", "c.a"]


def test_loaded_weights_are_the_stored_ones_in_the_models_dtype(folder, tensors):
    model = net()
    load_weights(model, {name: t.half() for name, t in renamed(read_tensors(folder), RULES).items()})
    assert model[0].weight.dtype == torch.float32
    assert torch.equal(model[0].weight, tensors["first.weight"].half().float())
    assert torch.equal(model[1].weight, tensors["second.weight"].half().float())
    assert all(weight.requires_grad for weight in model.parameters())
    x = torch.randn(5, 2)
    expected = (x @ model[0].weight.T + model[0].bias) @ model[1].weight.T
    torch.testing.assert_close(model(x), expected)


def test_all_that_does_not_fit_is_named_and_nothing_is_copied(tensors):
    model = net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wrong = {"0.weight": torch.ones(2, 3), "1.weight": torch.ones(4, 3), "extra": torch.ones(1)}
    with pytest.raises(ValueError, match="do not fit Sequential") as refusal:
        load_weights(model, wrong)
    assert str(refusal.value).splitlines()[1:] == [
        "missing: 0.bias",
        "unexpected: extra",
        "wrong shape: 0.weight is (2, 3) but must be (3, 2)",
    ]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_only_named_extras_are_ignored(tensors):
    given = renamed(tensors, RULES) | {"position_ids": torch.arange(3)}
    load_weights(net(), given, ignore=["position_ids"])
    with pytest.raises(ValueError, match="unexpected: position_ids"):
        load_weights(net(), given, ignore=["ids"])  # rules match from the start of a name
    with pytest.raises(ValueError, match=r"missing: 0\.bias"):
        load_weights(net(), {k: v for k, v in given.items() if k != "0.bias"}, ignore=["position_ids", r"0\."])


def test_a_tied_weight_may_be_stored_under_either_name_or_under_both():
    def tied():
        model = nn.ModuleDict({"embedding": nn.Embedding(5, 3), "output": nn.Linear(3, 5, bias=False)})
        model["output"].weight = model["embedding"].weight
        return model

    weight = torch.randn(5, 3)
    for names in (["embedding.weight"], ["output.weight"], ["embedding.weight", "output.weight"]):
        model = tied()
        load_weights(model, dict.fromkeys(names, weight))
        assert torch.equal(model["output"].weight, weight)
        assert model["output"].weight is model["embedding"].weight
    with pytest.raises(ValueError, match=r"missing: embedding\.weight, output\.weight"):
        load_weights(tied(), {})


def test_a_folder_may_move(folder, tmp_path, tensors):
    there = tmp_path / "elsewhere" / "deep"
    shutil.copytree(folder, there, ignore=shutil.ignore_patterns("elsewhere"))
    assert torch.equal(read_tensors(there)["first.bias"], load_file(folder / "model.safetensors")["first.bias"])
