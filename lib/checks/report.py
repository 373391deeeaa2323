"""What the checks share: try a learner's function on crafted cases and say in both languages what is wrong.

A check never raises at a learner. It prints one line for a function that is not written yet, and otherwise one finding:
a line in English and a line in Chinese.
"""

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Finding = tuple[str, str]  # what is wrong and where to look, in English and in Chinese


class Case(NamedTuple):
    """One trial: the arguments, and in both languages what it tries and where to look when it goes wrong."""

    arguments: tuple
    en: str
    zh: str


class Mistake(NamedTuple):
    """A function that is wrong in a known way, and what to tell a learner whose function answers the same."""

    function: Callable
    en: str
    zh: str


class UnwrittenError(Exception):
    """The learner's function is still a stub."""


def examine(name: str, function, right: Callable, cases: Sequence[Case], mistakes: Sequence[Mistake]) -> bool:
    """Compare a learner's function with the right one, case by case, and print the first finding.

    Args:
        name: what the exercise calls the function.
        function: what the learner wrote; anything at all.
        right: the function that gives the expected answer.
        cases: the trials, the plainest first.
        mistakes: known mistakes, the likeliest first.

    Returns:
        Whether all cases came out right.
    """
    try:
        findings = (_examine(function, right, cases[: place + 1], mistakes) for place in range(len(cases)))
        finding = next((finding for finding in findings if finding), None)
    except UnwrittenError:
        print(f"{name}: not written yet, or without a return · 还没写，或缺少 return")
        return False
    if finding:
        print(f"✗ {name}: {finding[0]}\n✗ {name}：{finding[1]}")
        return False
    print(f"✓ {name} is right in all {len(cases)} trials.\n✓ {name} 通过了全部 {len(cases)} 项检验。")
    return True


def _examine(function, right, cases, mistakes) -> Finding | None:
    """Try the last of the cases; those before it came out right."""
    *passed, case = cases
    expected = _quietly(right, case.arguments)
    arguments = copy.deepcopy(case.arguments)
    try:
        answer = _quietly(function, arguments)
    except NotImplementedError as error:
        raise UnwrittenError from error
    except Exception as error:
        said = f"{type(error).__name__}: {error}".strip().splitlines()[0][:200]
        en, zh = f"it stopped with {said}", f"运行中断：{said}"
        if "broadcast" in said:
            en += " (keep an axis with keepdims=True, or add one with x[:, None])"
            zh += "（用 keepdims=True 保留轴，或用 x[:, None] 添一个轴）"
        return _in(case, en, zh)
    if answer is None or answer is Ellipsis:
        raise UnwrittenError
    if not isinstance(answer, np.ndarray | np.generic | float | int):  # a plain number is as good as NumPy's
        kind = type(answer).__name__
        return f"it returns {kind}, not a NumPy array.", f"返回的是 {kind}，而不是 NumPy 数组。"
    answer = np.asarray(answer)
    if not all(_same(before, after) for before, after in zip(case.arguments, arguments, strict=True)):
        return (
            "it changes its arguments: work on a copy, or write x = x - y instead of x -= y.",
            "它改动了传入的参数：请先复制，或把 x -= y 写成 x = x - y。",
        )
    if _agree(answer, expected):
        return None
    for mistake in mistakes:
        try:
            explains = _agree(answer, _quietly(mistake.function, case.arguments)) and all(
                _agree(_quietly(right, one.arguments), _quietly(mistake.function, one.arguments)) for one in passed
            )
        except Exception:  # this mistake cannot be made on these arguments
            continue
        if explains:
            return mistake.en, mistake.zh
    return _difference(case, answer, expected)


def _difference(case, answer, expected) -> Finding:
    if answer.shape != expected.shape:
        return _in(
            case, f"the shape is {answer.shape}, not {expected.shape}", f"形状是 {answer.shape}，应为 {expected.shape}"
        )
    if _sort(answer) != _sort(expected):
        return _in(
            case,
            f"the dtype is {answer.dtype}, not {expected.dtype}",
            f"dtype 是 {answer.dtype}，应为 {expected.dtype}",
        )
    place = tuple(int(index) for index in np.argwhere(~np.isclose(answer, expected, rtol=1e-4, atol=1e-5))[0])
    at, found, wanted = ", ".join(map(str, place)), _shown(answer[place]), _shown(expected[place])
    what = f"output[{at}]" if place else "the output"
    which = f"output[{at}] " if place else "结果"
    return _in(case, f"{what} is {found}, not {wanted}", f"{which}是 {found}，应为 {wanted}")


def _shown(entry) -> str:
    return str(entry) if isinstance(entry, np.bool_) else f"{entry:.4g}"


def _in(case, en, zh) -> Finding:
    return f"{en}. {case.en}", f"{zh}。{case.zh}"


def _quietly(function, arguments):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return function(*arguments)


def _sort(array) -> str:
    return {"b": "boolean", "i": "number", "u": "number", "f": "number"}.get(array.dtype.kind, array.dtype.kind)


def _agree(answer, expected) -> bool:
    if answer.shape != expected.shape or _sort(answer) != _sort(expected):
        return False
    return bool(np.allclose(answer, expected, rtol=1e-4, atol=1e-5, equal_nan=True))


def _same(before, after) -> bool:
    if not isinstance(before, np.ndarray):
        return before == after
    return before.shape == after.shape and before.dtype == after.dtype and np.array_equal(before, after)
