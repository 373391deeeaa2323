"""The one parser of the bilingual format, for the site's extension, the downloads and the tests: plain Python.

A heading carries both languages on one line, `## Why divide? · 为什么要除？`. Prose stands in pairs:

    <div lang="en">

    English

    </div>
    <div lang="zh">

    中文

    </div>

Each tag has its line to itself and a blank line on its inner side; an English half is followed at once by its Chinese
one. What needs no language (equations, code, figures, tables of symbols) stands once, outside the pairs.
"""

import re
from collections import Counter
from typing import NamedTuple

OPENING = re.compile(r'<div lang="(en|zh)">')
FENCED = re.compile(r"^ *(`{3,}|~{3,}).*?^ *\1 *$", re.S | re.M)


class Part(NamedTuple):
    """A stretch of Markdown: a half in `language`, or text outside the pairs, where `language` is None."""

    language: str | None
    text: str
    line: int  # of its first line, from 1


def parts(text: str) -> list[Part]:
    r"""Split Markdown into halves and what stands between them.

    Raises:
        ValueError: when the pairs are malformed, by the line.

    Example:
        >>> half = '<div lang="{}">\n\n{}\n\n</div>\n'
        >>> [part.language for part in parts(half.format("en", "Look.") + half.format("zh", "看。") + "$$x$$")]
        ['en', 'zh', None]
    """
    found, language, start = [], None, 0
    lines = text.splitlines()
    bare = FENCED.sub(lambda fence: re.sub(r"[^\n]", "x", fence[0]), text).splitlines()  # code may show a div
    for number, line in enumerate(bare):
        opening = OPENING.fullmatch(line.strip())
        if language is None:
            if opening:
                found.append(Part(None, "\n".join(lines[start:number]), start + 1))
                language, start = opening[1], number + 1
            elif re.search(r"<div[^>]*\blang\b", line):
                raise ValueError(f'line {number + 1}: write <div lang="en"> or <div lang="zh"> on a line of its own')
        elif line.strip() == "</div>":
            found.append(Part(language, "\n".join(lines[start:number]), start + 1))
            language, start = None, number + 1
        elif re.search(r"</?div\b", line):
            raise ValueError(f"line {number + 1}: no other <div> stands inside a half")
    if language:
        raise ValueError(f"line {start}: this half is not closed")
    found.append(Part(None, "\n".join(lines[start:]), start + 1))
    found = [part for part in found if part.language or part.text.strip()]
    _refuse_unpaired(found)
    return found


def _refuse_unpaired(found: list[Part]) -> None:
    before = None
    for part in found:
        if (part.language == "zh") != (before == "en"):
            raise ValueError(f"line {part.line}: an English half is followed at once by its Chinese one")
        if part.language and not part.text.strip():
            raise ValueError(f"line {part.line}: this half is empty")
        if part.language and not (part.text.startswith("\n") and part.text.endswith("\n")):
            raise ValueError(f"line {part.line}: a blank line stands after <div> and before </div>")
        before = part.language
    if before == "en":
        raise ValueError(f"line {found[-1].line}: this English half has no Chinese one")


def pairs(text: str) -> list[tuple[str, str]]:
    """Give the (English, Chinese) halves of a Markdown text, in order."""
    halves = [part.text for part in parts(text) if part.language]
    return list(zip(halves[::2], halves[1::2], strict=True))


def outside(text: str) -> str:
    """Give what stands outside the pairs."""
    return "\n\n".join(part.text for part in parts(text) if part.language is None)


def headings(text: str) -> list[tuple[str, str]]:
    """Give the headings outside the pairs as (English, Chinese); a heading of symbols alone is its own translation.

    Raises:
        ValueError: when a heading has not the form `English · 中文`.

    Example:
        >>> headings("# Attention · 注意力")
        [('Attention', '注意力')]
    """
    found = []
    for heading in re.findall(r"^#{1,6} +(.+?) *$", FENCED.sub("", outside(text)), re.M):
        english, dot, chinese = heading.partition(" · ")
        if not re.search(r"[^\W\d_]", re.sub(r"\$[^$]*\$|`[^`]*`", "", heading)):
            english = chinese = heading
        elif not dot or _chinese(english) or not _chinese(chinese):
            raise ValueError(f"the heading {heading!r} is not of the form English · 中文")
        found.append((english, chinese))
    return found


def _chinese(text: str) -> bool:
    return bool(re.search(r"[\u4e00-\u9fff]", text))


def facts(half: str) -> dict[str, Counter]:
    """Collect what both halves of a pair must share, by kind, each with how often it stands there.

    Kinds: fenced code, mathematics, code, links, measured (`<data>` name and text), blocks (paragraphs, list items,
    table rows, quotes, images, folded details, headings), digits.

    Example:
        >>> found = facts("Divide by $d_k$, not `4`.")
        >>> dict(found["mathematics"]), dict(found["code"]), dict(found["digits"])
        ({'d_k': 1}, {'4': 1}, {})
    """
    taken, rest = _taken(half)
    return {kind: Counter(found) for kind, found in taken.items()} | {
        "blocks": _blocks(rest),
        "digits": Counter(re.sub(r"\s", "", digits) for digits in DIGITS.findall(_without_markup(rest))),
    }


def plain(half: str, *, emphasis: bool = False) -> str:
    """Give the words of a half: mathematics, code and measured numbers are the letter x, markup is gone.

    With `emphasis` the asterisks that mark it stay.
    """
    return _without_markup(_taken(half)[1], emphasis)


def drift(english: str, chinese: str) -> list[str]:
    """List in which facts the halves of a pair differ; empty when they agree.

    Example:
        >>> drift("Ten by $d_k$.", "除以 $d_v$。")
        ['mathematics: only English has d_k', 'mathematics: only Chinese has d_v']
    """
    one, other = facts(english), facts(chinese)
    return [
        f"{kind}: only {language} has {fact}" + (f" ({count} times more)" if count > 1 else "")
        for kind in one
        for language, more in (("English", one[kind] - other[kind]), ("Chinese", other[kind] - one[kind]))
        for fact, count in sorted(more.items())
    ]


DIGITS = re.compile(r"(?<![A-Za-z_\d.])\d+(?:[.,]\d+)*(?:e-?\d+)?(?:\s?%)?")
ITEM = re.compile(r"^ *(?:[-*+]|\d+[.)]) +", re.M)
LINK = re.compile(
    r'\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)|<a\b[^>]*\bhref="([^"]*)"|<img\b[^>]*\bsrc="([^"]*)"|<(https?:[^>]+)>'
)


def _taken(half: str) -> tuple[dict[str, list[str]], str]:
    """Take code, mathematics, links and measured numbers out; what is inline leaves an x."""
    taken = {}

    def take(kind, pattern, leave, text, read=lambda match: match[0]):
        taken.setdefault(kind, []).extend(read(match) for match in pattern.finditer(text))
        return pattern.sub(leave, text)

    text = re.sub(r"<!--.*?-->", "", half, flags=re.S)
    text = take("fenced code", FENCED, "\n\n", text)
    text = take("code", re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.S), "x", text, lambda match: match[2].strip())
    text = take("mathematics", re.compile(r"(?<!\\)\$\$.+?\$\$", re.S), " ", text, _formula)
    text = take("mathematics", re.compile(r"(?<!\\)\$[^$]+?(?<!\\)\$"), "x", text, _formula)
    text = take("measured", re.compile(r'<data value="([^"]*)">(.*?)</data>', re.S), "x", text, _measured)
    text = take("links", LINK, _link_text, text, lambda match: next(filter(None, match.groups())))
    return taken, text


def _formula(match: re.Match) -> str:
    """A formula without its spaces, words and closing punctuation, which differ between languages."""
    formula = re.sub(r"\\text\{[^}]*\}|\s", "", match[0].strip("$"))
    return re.sub(r"[.,;，。；]+$", "", formula)


def _measured(match: re.Match) -> str:
    return f"{match[1]} = {' '.join(match[2].split())}"


def _link_text(match: re.Match) -> str:
    return "](link)" if match[0].startswith("]") else ""


def _blocks(text: str) -> Counter:
    found = Counter({"list item": len(ITEM.findall(text)), "table row": len(re.findall(r"^ *\|", text, re.M))})
    found["image"] = text.count("![") + text.count("<img")
    found["details"] = text.count("<details")
    found["quote"] = len(re.findall(r"(?:^ *>.*\n?)+", text, re.M))
    found["heading"] = len(re.findall(r"^ *#{1,6} ", text, re.M))
    for block in re.split(r"\n\s*\n", text):
        words = re.sub(r"<[^>]*>", "", block).strip()
        found["paragraph"] += bool(words) and not re.match(r"[|>#]", words) and not ITEM.match(words)
    return +found


def _without_markup(text: str, emphasis: bool = False) -> str:
    text = re.sub(r"!?\[([^\]]*)\]\(link\)", r"\1", text)
    text = re.sub(r"<[^>]*>", " ", ITEM.sub("", text))
    return text if emphasis else text.replace("*", "")
