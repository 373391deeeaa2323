"""The path names every chapter and links those that exist; the data page names everything that is not ours."""

import ast
import json
import re

import pytest
from site_browser import ROOT

PATHS = "chapters/paths.html"
DATA = (ROOT / "chapters" / "data_and_licences.md").read_text(encoding="utf-8")
OURS = re.compile(r"licence:\s+ours", re.I)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_path_links_every_chapter_that_exists_and_marks_the_others(visit, notebooks, language):
    with visit(f"{PATHS}?lang={language}") as page:
        half = page.locator(f".half[lang={language}]")
        links = half.locator("a[href]").evaluate_all("all => all.map(link => link.getAttribute('href'))")
        names = half.locator("a[href]").all_inner_texts()
        waiting = half.locator(".unwritten").all_inner_texts()
    linked = {link for link in links if re.match(r"\d\d_", link)}
    assert linked == {f"{path.stem}.html" for path in notebooks}
    existing = {path.name[:2] for path in notebooks}
    assert {text[:2] for text in waiting} == {f"{number:02d}" for number in range(1, 19)} - existing
    assert not [text for text in waiting if ("还没有写" if language == "zh" else "not written") not in text]
    assert {name[:2] for name in names if re.match(r"\d\d ", name)} == existing


def test_the_syllabus_takes_every_chapter_once_and_its_hours_add_up():
    text = (ROOT / "chapters" / "paths.md").read_text(encoding="utf-8")
    for half in (text[: text.rindex('<div lang="zh">')], text[text.rindex('<div lang="zh">') :]):
        weeks = re.findall(r"^\| \d \|.*$", half, re.M)
        taken = [number for week in weeks for number in re.findall(r"`(\d\d)`", week)]
        assert sorted(taken) == [f"{number:02d}" for number in range(1, 19)]
        hours = sum(float(one) for week in weeks for one in re.search(r"([\d.]+) \+ ([\d.]+) \|$", week).groups())
        assert re.search(rf"\b{hours:g}\b", half.partition("| 1 |")[0])
        order = re.findall(r"^\d\. \{chapter\}`(\d\d)`$", text, re.M)
        assert order == 2 * ["01", "15", "04", "03", "05", "17", "18", "02"]


def needed(chapter):
    """The chapters that the line "You need" of a chapter links, the same in both languages."""
    (path,) = (ROOT / "chapters").glob(f"{chapter}_*.ipynb")
    first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    en, zh = (re.search(rf"\*\*{words}\*\*.*", first)[0] for words in ("You need", "你需要"))
    links = re.findall(r"\]\((\d\d)_\w+\.ipynb\)", en)
    assert set(links) == set(re.findall(r"\]\((\d\d)_\w+\.ipynb\)", zh)), chapter
    return links


def missing(order, known=()):
    """What each chapter of a path needs and neither stands before it nor is named as known."""
    met, found = set(known), {}
    for chapter in order:
        found |= {chapter: lacking} if (lacking := set(needed(chapter)) - met) else {}
        met.add(chapter)
    return found


def test_every_path_brings_what_its_chapters_need_before_they_need_it():
    text = (ROOT / "chapters" / "paths.md").read_text(encoding="utf-8")
    assert missing(["04", "17"]) == {"04": {"01"}, "17": {"05"}}, "this test would see nothing"
    ways = [way.groups() for way in re.finditer(r"^- (\*\*.*?)[:：] ?(.*)$", text, re.M)]
    assert len(ways) == 12
    for name, way in ways:
        assert not missing(re.findall(r"`(\d\d)`", way), re.findall(r"`(\d\d)`", name)), name
    for half in (text[: text.rindex('<div lang="zh">')], text[text.rindex('<div lang="zh">') :]):
        weeks = re.findall(r"^\| \d \|.*$", half, re.M)
        assert not missing([number for week in weeks for number in re.findall(r"`(\d\d)`", week)])
    eight = re.findall(r"^\d\. \{chapter\}`(\d\d)`$", text, re.M)[:8]
    assert not missing(eight)
    late = {chapter: set(needed(chapter)) - set(eight) for chapter in (f"{n:02d}" for n in range(1, 19))}
    assert {chapter: lacking for chapter, lacking in late.items() if lacking} == {"11": {"16"}, "14": {"07"}}
    assert set(needed("16")) == {"01", "04"}


def test_the_data_page_names_every_data_set_that_is_not_ours():
    others = []
    for path in sorted((ROOT / "lib" / "data").glob("[a-z]*.py")):
        said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert "licence" in said.casefold(), path.name
        others += [path.stem] if not OURS.search(said) else []
    assert len(others) >= 4
    assert [name for name in others if DATA.count(f"`lib.data.{name}`") != 2] == []


def test_the_data_page_names_every_checkpoint():
    found = {path.name.partition(".")[0] for path in (ROOT / "checkpoints").glob("[a-z]*")}
    assert [name for name in found if f"`{name}`" not in DATA] == []


def test_the_data_page_says_the_same_as_the_licences():
    assert "CC BY 4.0" in (ROOT / "LICENSE-TEXT").read_text(encoding="utf-8")
    assert "MIT" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    packages = re.findall(r"pypi\.org/project/([\w-]+)/([\d.]+)/", DATA)
    pinned = (ROOT / "requirements.txt").read_text(encoding="utf-8") + (ROOT / "Makefile").read_text(encoding="utf-8")
    assert packages
    assert [pair for pair in packages if "==".join(pair) not in pinned] == []
