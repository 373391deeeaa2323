"""Number words against parsers that know nothing of how they were made, and against examples written by hand."""

import re

import pytest
import torch

from lib.data.number_words import (
    BEGIN,
    DIGITS,
    END,
    LARGEST,
    MONTHS,
    PAD,
    VOCABULARY,
    YEARS,
    date_pair,
    decode,
    draw_pairs,
    encode,
    number_pair,
    part_of,
)

TEENS = """ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"""
ENGLISH = dict(
    zip(re.findall(r"\w+", "zero one two three four five six seven eight nine " + TEENS), range(20), strict=True)
)
ENGLISH |= dict(
    zip(re.findall(r"\w+", "twenty thirty forty fifty sixty seventy eighty ninety"), range(20, 100, 10), strict=True)
)
FIRST_DAYS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
DAYS = dict(zip(re.findall(r"\w+", FIRST_DAYS), range(1, 13), strict=True))
DAYS |= {word + "th": ENGLISH[word] for word in re.findall(r"\w+", TEENS)[3:]} | {"twentieth": 20, "thirtieth": 30}


def value_in_english(words):
    """Read number words: hundreds multiply what stands before them, thousands and more close a group."""
    total = group = 0
    for word in words:
        if word == "hundred":
            group *= 100
        elif word in ("thousand", "million", "billion"):
            total, group = total + group * {"thousand": 10**3, "million": 10**6, "billion": 10**9}[word], 0
        elif word != "and":
            group += ENGLISH[word]
    return total + group


def value_in_chinese(text):
    """Read characters: 万 and 亿 multiply all that was read since the last larger one."""
    for unit, factor in (("亿", 10**8), ("万", 10**4)):
        if unit in text:
            high, low = text.split(unit)
            return value_in_chinese(high) * factor + value_in_chinese(low)
    total, digit = 0, None
    for sign in text:
        if sign in "十百千":
            total, digit = total + (1 if digit is None else digit) * {"十": 10, "百": 100, "千": 1000}[sign], None
        elif sign != "零":
            digit = DIGITS.index(sign)
    return total + (digit or 0)


def numbers():
    """Every small number, everything near a power of ten, and many patterns of zeros."""
    found = set(range(12_000)) | {LARGEST}
    for power in range(1, 13):
        found |= {10**power + step for step in range(-120, 121)}
    for bits in range(2**12):
        found.add(int("".join("9" if bits >> place & 1 else "0" for place in range(12))))
        found.add(int("".join("1" if bits >> place & 1 else "0" for place in range(12))))
    return sorted(number for number in found if 0 <= number <= LARGEST)


def test_both_languages_say_the_number():
    for number in numbers():
        pair = number_pair(number)
        assert value_in_english(pair.english) == number, pair
        assert value_in_chinese(pair.chinese) == number, pair


def test_chinese_keeps_its_rules():
    for number in numbers()[1:]:
        text = number_pair(number).chinese
        assert "零零" not in text, text
        assert not text.endswith("零"), text
        assert not text.startswith(("零", "一十")), text
        assert not re.search(
            r"(?<![一二三四五六七八九])[百千]|(?<=.)(?<![一二三四五六七八九])十|零[十百千万亿]", text
        ), text
        groups = re.split("[万亿]", text)
        digits = f"{number:012d}"
        for group, four in zip(reversed(groups), (digits[8:], digits[4:8], digits[:4]), strict=False):
            if "万" in text or int(digits[4:8]) == int(digits[:4]) == 0:
                assert value_in_chinese(group) == int(four), (text, group, four)


@pytest.mark.parametrize(
    ("number", "english", "chinese"),
    [
        (0, "zero", "零"),
        (10, "ten", "十"),
        (14, "fourteen", "十四"),
        (110, "one hundred and ten", "一百一十"),
        (1_005, "one thousand and five", "一千零五"),
        (10_010, "ten thousand and ten", "一万零一十"),
        (12_000_000, "twelve million", "一千二百万"),
        (100_200, "one hundred thousand two hundred", "十万零二百"),
        (201_000, "two hundred and one thousand", "二十万一千"),
        (100_001_000, "one hundred million one thousand", "一亿零一千"),
        (1_000_000_001, "one billion and one", "十亿零一"),
        (305_070_020, "three hundred and five million seventy thousand and twenty", "三亿零五百零七万零二十"),
    ],
)
def test_numbers_written_by_hand(number, english, chinese):
    pair = number_pair(number)
    assert (" ".join(pair.english), pair.chinese) == (english, chinese)


@pytest.mark.parametrize(
    ("date", "english", "chinese"),
    [
        ((1999, 3, 5), "the fifth of march nineteen ninety nine", "一九九九年三月五日"),
        ((2000, 2, 29), "the twenty ninth of february two thousand", "二〇〇〇年二月二十九日"),
        ((2008, 8, 8), "the eighth of august two thousand and eight", "二〇〇八年八月八日"),
        ((1900, 12, 20), "the twentieth of december nineteen hundred", "一九〇〇年十二月二十日"),
        ((1911, 10, 10), "the tenth of october nineteen eleven", "一九一一年十月十日"),
        ((1905, 11, 30), "the thirtieth of november nineteen oh five", "一九〇五年十一月三十日"),
        ((2010, 1, 31), "the thirty first of january twenty ten", "二〇一〇年一月三十一日"),
    ],
)
def test_dates_written_by_hand(date, english, chinese):
    pair = date_pair(*date)
    assert (" ".join(pair.english), pair.chinese) == (english, chinese)


def date_in_chinese(text):
    year, month, day = re.fullmatch(r"([〇一二三四五六七八九]{4})年(.{1,2})月(.{1,3})日", text).groups()
    year = int("".join(str("〇一二三四五六七八九".index(sign)) for sign in year))
    return year, value_in_chinese(month), value_in_chinese(day)


def date_in_english(words):
    text = " ".join(words)
    day, month, year = re.fullmatch(r"the ((?:\w+ )?\w+) of (\w+) (.*)", text).groups()
    day = sum(ENGLISH.get(word, 0) or DAYS[word] for word in day.split())
    late = year.replace("oh ", "").split()
    if "thousand" in year:
        return value_in_english(late), MONTHS.index(month) + 1, day
    century, rest = ENGLISH[late[0]], [word for word in late[1:] if word != "hundred"]
    return 100 * century + value_in_english(rest), MONTHS.index(month) + 1, day


def test_both_languages_say_the_date():
    for year in range(YEARS[0], YEARS[1] + 1):
        date = (year, 1 + year % 12, 1 + year % 28)
        pair = date_pair(*date)
        assert date_in_english(pair.english) == date_in_chinese(pair.chinese) == date
    for day in range(1, 32):
        pair = date_pair(1986, 7, day)
        assert date_in_english(pair.english) == date_in_chinese(pair.chinese) == (1986, 7, day)


def said(word):
    """The digits that a word can stand for."""
    value = {**ENGLISH, **DAYS, **{month: place + 1 for place, month in enumerate(MONTHS)}}.get(word)
    return set(str(value)) if value is not None else {"1"} if word == "hundred" else set()


def test_each_digit_points_at_a_word_that_says_it():
    for part, most in (("train", 9), ("test", 12)):
        for pair in draw_pairs(1500, part=part, seed=3, most_digits=most, dates=0.3):
            assert len(pair.source) == len(pair.chinese)
            for sign, place in zip(pair.chinese, pair.source, strict=True):
                assert (place >= 0) == (sign in DIGITS[1:]) or (sign == "十" and place >= 0) or pair.chinese == "零"
                if place >= 0:
                    wanted = "1" if sign == "十" else str(DIGITS.index(sign))
                    assert wanted in said(pair.english[place]), (pair, sign)


def test_digits_of_a_number_point_from_left_to_right():
    for number in numbers()[::7]:
        places = [place for place in number_pair(number).source if place >= 0]
        assert places == sorted(places)


def test_no_part_shares_a_number_or_a_date_with_another():
    drawn = {part: draw_pairs(3000, part=part, seed=0) for part in ("train", "validation", "test")}
    texts = {part: {pair.chinese for pair in pairs} for part, pairs in drawn.items()}
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["validation"]
    assert not texts["validation"] & texts["test"]
    for part, pairs in drawn.items():
        dates = [pair for pair in pairs if "年" in pair.chinese]
        assert 0.2 < len(dates) / len(pairs) < 0.3
        assert {part_of(value_in_chinese(p.chinese)) for p in pairs if "年" not in p.chinese} == {part}
        assert {len(str(value_in_chinese(p.chinese))) for p in pairs if "年" not in p.chinese} >= set(range(2, 10))
    shares = [sum(part_of(key) == part for key in range(20_000)) / 20_000 for part in drawn]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.01)


def test_a_seed_draws_the_same_again_and_another_seed_does_not():
    first = draw_pairs(50, part="train", seed=1)
    assert first == draw_pairs(50, part="train", seed=1)
    assert first != draw_pairs(50, part="train", seed=2)


def test_encoding_is_turned_back_and_alignment_moves_with_it():
    pairs = [number_pair(7), number_pair(12_000_305), date_pair(1905, 12, 21)]
    batch = encode(pairs)
    assert decode(batch.target) == [pair.chinese for pair in pairs]
    assert batch.target[:, 0].tolist() == [BEGIN] * 3
    assert (batch.target == END).sum(1).tolist() == [1, 1, 1]
    assert batch.alignment.shape == batch.target[:, 1:].shape
    for row, pair in enumerate(pairs):
        words = [VOCABULARY[token] for token in batch.source[row].tolist() if token != PAD]
        assert tuple(words) == pair.english
        assert batch.alignment[row, : len(pair.source)].tolist() == list(pair.source)
        assert (batch.alignment[row, len(pair.source) :] == -1).all()
    assert decode(torch.tensor([[VOCABULARY.index("七"), END, END]])) == ["七"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: number_pair(-1), "number must be from 0 to 999999999999 but is -1"),
        (lambda: number_pair(10**12), "number must be from 0 to 999999999999 but is 1000000000000"),
        (lambda: date_pair(1099, 1, 1), "year must be from 1100 to 2099 but is 1099"),
        (lambda: date_pair(2001, 2, 29), "there is no day 29 in month 2 of 2001"),
        (lambda: date_pair(1900, 2, 29), "there is no day 29 in month 2 of 1900"),
        (lambda: date_pair(2001, 13, 1), "there is no day 1 in month 13 of 2001"),
        (lambda: draw_pairs(0, part="test", seed=0), "count must be at least 1 but is 0"),
        (lambda: draw_pairs(1, part="tests", seed=0), "part must be train, validation, test but is 'tests'"),
        (
            lambda: draw_pairs(1, part="test", seed=0, most_digits=13),
            "most_digits must be from 1 to 12 but is 13",
        ),
        (lambda: encode([]), "there are no pairs to encode"),
    ],
)
def test_a_mistake_is_named(call, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole message is compared below)
        call()
    assert str(caught.value) == message
