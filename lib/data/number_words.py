"""English number words and dates with their Chinese translation and alignment, generated. Licence: ours, MIT.

English counts in thousands, Chinese in ten-thousands: *twelve million* is 一千二百万, 1200 ten-thousands. Chinese says
零 for a gap of zeros, 十 instead of 一十 at the beginning, and a date from the year to the day.
"""

import random
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor


def _listed(words: str) -> list[str]:
    return words.split()


PARTS = ("train", "validation", "test")
DIGITS = "零一二三四五六七八九"
LARGEST = 10**12 - 1
YEARS = (1100, 2099)
ONES = _listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
TENS = _listed("twenty thirty forty fifty sixty seventy eighty ninety")
SCALES = ("", "thousand", "million", "billion")
MONTHS = _listed("january february march april may june july august september october november december")
ORDINALS = _listed(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth"
)
PAD, BEGIN, END = 0, 1, 2
WORDS = (*ONES, *TENS, "hundred", *SCALES[1:], "and", *MONTHS, *ORDINALS, "the", "of", "oh")
SIGNS = tuple(DIGITS + "十百千万亿〇年月日")
VOCABULARY = ("", "", "", *WORDS, *SIGNS)  # one for both languages, as in Vaswani et al. 2017, section 5.1
_IDS = {word: number for number, word in enumerate(VOCABULARY) if word}
_Placed = list[tuple[str, tuple[int, ...]]]  # a word and the places that it names: 10 to that power


class Pair(NamedTuple):
    """A number or a date in both languages.

    Attributes:
        english: The words.
        chinese: The characters.
        source: For each character the number of the word that it translates; -1 where there is no single one (units
            behind a digit, 万 and 亿, zeros, 年月日).
    """

    english: tuple[str, ...]
    chinese: str
    source: tuple[int, ...]


class Batch(NamedTuple):
    """Pairs as tensors, filled up with `PAD`.

    Attributes:
        source: (B, S) int64, ids of the English words.
        target: (B, T) int64, `BEGIN`, ids of the Chinese characters, `END`.
        alignment: (B, T - 1) int64, for each target behind `BEGIN` the place in the source that it translates; -1
            where there is none.
    """

    source: Tensor
    target: Tensor
    alignment: Tensor


def number_pair(number: int) -> Pair:
    """Say a whole number in English and in Chinese.

    Args:
        number: From 0 to 999,999,999,999.

    Returns:
        The pair. Chinese writes 二 and never 两.

    Raises:
        ValueError: When the number is outside.

    Example:
        >>> pair = number_pair(12_000_305)
        >>> " ".join(pair.english), pair.chinese, pair.source
        ('twelve million three hundred and five', '一千二百万零三百零五', (0, -1, 0, -1, -1, -1, 2, -1, -1, 5))
    """
    if not 0 <= number <= LARGEST:
        raise ValueError(f"number must be from 0 to {LARGEST} but is {number}")
    return _aligned(_english_number(number), _chinese_number(number))


def date_pair(year: int, month: int, day: int) -> Pair:
    """Say a date in British English and in Chinese, which turns its order round.

    Args:
        year: From 1100 to 2099.
        month: From 1 to 12.
        day: From 1 to the last of that month.

    Returns:
        The pair.

    Raises:
        ValueError: When there is no such day, or the year is outside.

    Example:
        >>> pair = date_pair(1905, 12, 21)
        >>> " ".join(pair.english), pair.chinese
        ('the twenty first of december nineteen oh five', '一九〇五年十二月二十一日')
    """
    if not YEARS[0] <= year <= YEARS[1]:
        raise ValueError(f"year must be from {YEARS[0]} to {YEARS[1]} but is {year}")
    if not 1 <= month <= 12 or not 1 <= day <= _days(year, month):
        raise ValueError(f"there is no day {day} in month {month} of {year}")
    ten, one = (0, day) if day <= 20 or day == 30 else divmod(day, 10)
    ordinal = ORDINALS[-1] if day == 30 else ORDINALS[one - 1]
    english = [("the", ()), *([(TENS[ten - 2], (9,))] if ten else []), (ordinal, (8,) if ten else (8, 9))]
    english += [("of", ()), (MONTHS[month - 1], (6, 7)), *_english_year(year)]
    digits = [(sign, 3 - place) for place, sign in enumerate(_digits(year))]
    chinese = [(sign.replace("零", "〇"), None if sign == "零" else place) for sign, place in digits]
    chinese += [("年", None), *_shifted(_chinese_number(month), 6), ("月", None)]
    chinese += [*_shifted(_chinese_number(day), 8), ("日", None)]
    return _aligned(english, chinese)


def part_of(key: int) -> str:
    """Say to which part a number, or a date as YYYYMMDD, belongs: a tenth is for the test, a tenth for validation.

    Example:
        >>> [part_of(number) for number in (0, 2, 10)]
        ['test', 'train', 'validation']
    """
    mixed = (key * 0x9E3779B97F4A7C15) % 2**64 >> 40  # Fibonacci hashing: neighbours fall into different parts
    return {0: "test", 1: "validation"}.get(mixed % 10, "train")


def draw_pairs(count: int, *, part: str, seed: int, most_digits: int = 9, dates: float = 0.25) -> list[Pair]:
    """Draw numbers of every length alike, many of them with zeros inside, and dates; no part shares one with another.

    Args:
        count: How many pairs.
        part: `train`, `validation` or `test`.
        seed: Of the draw.
        most_digits: Of the longest numbers, 1 to 12.
        dates: Share of the dates.

    Returns:
        The pairs; a short number may be drawn again.

    Raises:
        ValueError: When `count` or `most_digits` is outside, or there is no such part.

    Example:
        >>> [pair.chinese for pair in draw_pairs(3, part="test", seed=0)]
        ['一亿零二十七万二千零八', '一三九一年六月三十日', '三千六百六十四万七千六百八十']
    """
    if count < 1:
        raise ValueError(f"count must be at least 1 but is {count}")
    if part not in PARTS:
        raise ValueError(f"part must be {', '.join(PARTS)} but is {part!r}")
    if not 1 <= most_digits <= 12:
        raise ValueError(f"most_digits must be from 1 to 12 but is {most_digits}")
    rng, pairs = random.Random(f"{part} {seed}"), []
    while len(pairs) < count:
        if rng.random() < dates:
            year, month = rng.randint(*YEARS), rng.randint(1, 12)
            day = rng.randint(1, _days(year, month))
            key, make = 10_000 * year + 100 * month + day, partial(date_pair, year, month, day)
        else:
            key = _draw_number(rng, most_digits)
            make = partial(number_pair, key)
        if part_of(key) == part:
            pairs.append(make())
    return pairs


def encode(pairs: Sequence[Pair]) -> Batch:
    """Turn pairs into ids, each sequence filled up with `PAD` to the longest.

    Args:
        pairs: At least one.

    Returns:
        The batch, a `Batch`.

    Raises:
        ValueError: When there are no pairs.

    Example:
        >>> batch = encode([number_pair(7), number_pair(20)])
        >>> batch.target.tolist(), decode(batch.target)
        ([[1, 79, 2, 0], [1, 74, 82, 2]], ['七', '二十'])
    """
    if not pairs:
        raise ValueError("there are no pairs to encode")
    S, T = max(len(pair.english) for pair in pairs), max(len(pair.chinese) for pair in pairs) + 2
    source = torch.tensor([_filled([_IDS[word] for word in pair.english], S, PAD) for pair in pairs])
    target = torch.tensor([_filled([BEGIN, *(_IDS[sign] for sign in p.chinese), END], T, PAD) for p in pairs])
    alignment = torch.tensor([_filled(list(pair.source), T - 1, -1) for pair in pairs])
    return Batch(source, target, alignment)


def decode(target: Tensor) -> list[str]:
    """Turn ids (B, T) back into text: what stands before the first `END`, without `BEGIN` and `PAD`."""
    rows = (row[: row.index(END)] if END in row else row for row in target.tolist())
    return ["".join(VOCABULARY[number] for number in row) for row in rows]


def _english_number(number: int) -> _Placed:
    words, rest = [], number
    for scale in (3, 2, 1, 0):
        group, rest = divmod(rest, 1000**scale)
        hundreds, below = divmod(group, 100)
        if hundreds:
            words += [(ONES[hundreds], (3 * scale + 2,)), ("hundred", ())]
        if below and (hundreds or (scale == 0 and number >= 1000)):
            words.append(("and", ()))
        words += _english_below_100(below, 3 * scale)
        if group and scale:
            words.append((SCALES[scale], ()))
    return words or [("zero", (0,))]


def _english_below_100(number: int, place: int) -> _Placed:
    if 0 < number < 20:
        return [(ONES[number], (place, place + 1) if number >= 10 else (place,))]
    tens, ones = divmod(number, 10)
    return [(TENS[tens - 2], (place + 1,))] * bool(tens) + [(ONES[ones], (place,))] * bool(ones)


def _english_year(year: int) -> _Placed:
    century, below = divmod(year, 100)
    if year % 1000 < 10:
        return _english_number(year)
    late = [("hundred", ())] if not below else [("oh", ())] * (below < 10) + _english_below_100(below, 0)
    return _english_below_100(century, 2) + late


def _chinese_number(number: int) -> list[tuple[str, int | None]]:
    """Give each character with the place of its digit, None where it translates no digit."""
    if number == 0:
        return [("零", 0)]
    signs, gap = [], False
    for place in range(len(str(number)) - 1, -1, -1):
        digit, in_group = number // 10**place % 10, place % 4
        if digit:
            ten_alone = digit == 1 and in_group == 1 and not signs
            signs += [("零", None)] * (gap and bool(signs)) + [(DIGITS[digit], place)] * (not ten_alone)
            signs += [("十百千"[in_group - 1], place if ten_alone else None)] * bool(in_group)
        gap = not digit
        if place in (4, 8) and number // 10**place % 10_000:
            signs.append(("万亿"[place // 4 - 1], None))
            gap = False
    return signs


def _aligned(english: _Placed, chinese: list[tuple[str, int | None]]) -> Pair:
    says = {place: number for number, (_, places) in enumerate(english) for place in places}
    source = tuple(-1 if place is None else says[place] for _, place in chinese)
    return Pair(tuple(word for word, _ in english), "".join(sign for sign, _ in chinese), source)


def _draw_number(rng: random.Random, most_digits: int) -> int:
    zeros, number = rng.choice((0.0, 0.0, 0.3, 0.7)), rng.randint(1, 9)
    for _ in range(rng.randint(1, most_digits) - 1):
        number = 10 * number + (0 if rng.random() < zeros else rng.randint(0, 9))
    return number


def _digits(number: int) -> str:
    return "".join(DIGITS[int(digit)] for digit in str(number))


def _shifted(signs: list[tuple[str, int | None]], by: int) -> list[tuple[str, int | None]]:
    return [(sign, None if place is None else place + by) for sign, place in signs]


def _days(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if month == 2 and leap else 30 if month in (4, 6, 9, 11) else 28 if month == 2 else 31


def _filled(ids: list[int], length: int, filler: int) -> list[int]:
    return ids + [filler] * (length - len(ids))
