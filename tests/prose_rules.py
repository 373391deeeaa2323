"""What the bilingual prose of a chapter or page must keep to: each rule gives a list of problems, empty when kept."""

import re
import tomllib
import unicodedata
from itertools import pairwise
from pathlib import Path

from _ext.pairs import FENCED, drift, headings, outside, pairs, plain

CJK = r"[\u4e00-\u9fff]"
FULL_WIDTH = "，。：；！？（）、"
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|TBD|lorem ipsum|coming soon)\b|待补|待续", re.I)
GLOSSARY = Path(__file__).resolve().parents[1] / "chapters" / "glossary.toml"


def forbidden_renderings():
    terms = tomllib.loads(GLOSSARY.read_text(encoding="utf-8"))["term"]
    return {wrong: term["zh"] for term in terms for wrong in term.get("forbidden_zh", [])}


def problems(markdown, forbidden=None):
    """Every problem of a Markdown text: its pairs, their agreement, its headings and its Chinese."""
    forbidden = forbidden_renderings() if forbidden is None else forbidden
    try:
        found_pairs, titles = pairs(markdown), headings(markdown)
    except ValueError as error:
        return [str(error)]
    found = [f"unfinished: {word}" for word in UNFINISHED.findall(markdown)]
    found += prose_outside_the_pairs(markdown)
    for english, chinese in found_pairs:
        found += drift(english, chinese)
        if re.search(r"^#{1,6} ", FENCED.sub("", english + chinese), re.M):
            found.append("a heading stands outside the pairs, in both languages on one line")
        if not re.search(CJK, chinese):
            found.append(f"the Chinese half is not Chinese: {chinese.strip()[:40]!r}")
        found += broken_emphasis(english) + broken_emphasis(chinese)
        found += typography(chinese)
    for chinese in [title for _, title in titles] + [half for _, half in found_pairs]:
        found += [f"write {right}, not {wrong}" for wrong, right in forbidden.items() if wrong in chinese]
    return found


def prose_outside_the_pairs(markdown):
    """Outside the pairs stands what needs no language; a folded solution's title carries both."""
    text = FENCED.sub("", outside(markdown))
    found = [
        f"the summary {summary!r} is not of the form English · 中文"
        for summary in re.findall(r"<summary>(.*?)</summary>", text, re.S)
        if not re.search(rf"[A-Za-z].* · .*{CJK}", summary)
    ]
    text = re.sub(r"<summary>.*?</summary>|\$\$.+?\$\$|<[^>]+>|!\[[^\]]*\]\([^)]*\)", "", text, flags=re.S)
    words = " ".join(line for line in text.splitlines() if not line.lstrip().startswith(("#", "|"))).split()
    if len(" ".join(words)) > 60:
        found.append(f"prose outside the pairs: {' '.join(words)[:50]!r}")
    return found


def typography(chinese):
    """Full-width punctuation, and a space between Chinese and Latin letters, digits or formulas."""
    text = plain(chinese)
    rules = {
        "half-width punctuation in Chinese": rf"(?<={CJK})[,;:!?()\"]|[,;:!?()\"]\s?(?={CJK})|(?<={CJK})\.(?!\w)",
        "no space between Chinese and Latin": rf"(?<={CJK})[A-Za-z0-9]|[A-Za-z0-9%](?={CJK})",
        "a space beside full-width punctuation": rf"(?<=[{FULL_WIDTH}]) +(?=\S)|(?<=\S) +(?=[{FULL_WIDTH}])",
    }
    return [
        f"{rule}: {text[max(0, match.start() - 8) : match.end() + 8]!r}"
        for rule, pattern in rules.items()
        for match in re.finditer(pattern, text)
    ]


def broken_emphasis(half):
    """Asterisks that CommonMark will not open or close: those between a letter and punctuation, from the wrong side."""
    found = []
    for paragraph in re.split(r"\n\s*\n", plain(half, emphasis=True)):
        marks = list(re.finditer(r"\*+", paragraph))
        if len(marks) % 2:
            found.append(f"emphasis without an end: {paragraph.strip()[:40]!r}")
        for place, mark in enumerate(marks):
            before, after = paragraph[: mark.start()][-1:] or " ", paragraph[mark.end() :][:1] or " "
            inner, outer = (before, after) if place % 2 else (after, before)
            if inner.isspace() or (_is_punctuation(inner) and not (outer.isspace() or _is_punctuation(outer))):
                found.append(f"emphasis that will not {'close' if place % 2 else 'open'}: {before + mark[0] + after!r}")
    return found


def _is_punctuation(letter):
    return unicodedata.category(letter)[0] in "PS"


def repeated(names):
    """The names that stand more than once."""
    return [name for name, following in pairwise(sorted(names)) if name == following]
