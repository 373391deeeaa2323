"""The notebooks to take away: one language each, the same code and outputs, and a first cell that knows what to do."""

import json
import re
import subprocess
import sys

import nbformat
import notebook_rules
import prose_rules
import pytest
from site_browser import HAN, ROOT, THREE_WORDS

from _ext import downloads
from _ext.pairs import FENCED, parts

CHAPTERS = sorted((ROOT / "chapters").glob("[0-9][0-9]_*.ipynb"))
TITLE = re.compile(r"^#{1,6} .*$|<summary>.*?</summary>", re.M)
BY_NAME = pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in CHAPTERS])
TAG = re.compile(r'<div lang="|^</div>', re.M)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def prose(notebook):
    return [FENCED.sub("", notebook_rules.source(c)) for c in notebook["cells"] if c["cell_type"] == "markdown"]


def halves(notebook, language):
    """What a bilingual notebook says in one language inside its pairs."""
    texts = [notebook_rules.source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    return [part.text.strip() for text in texts for part in parts(text) if part.language == language]


def run(code, **options):
    """Run code in a fresh interpreter that finds no package but Python's own."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
        **options,
    )


@BY_NAME
@pytest.mark.parametrize("language", ["en", "zh"])
def test_one_language_is_left(path, language):
    source = read(path)
    made = downloads.in_language(source, language)
    nbformat.validate(nbformat.from_dict(made))
    other = downloads.OTHER[language]
    text = "\n\n".join(prose(made))
    assert not TAG.search(text)
    titles = [title for title in TITLE.findall(text) if re.search(r"[^\W\d_]{2}", title)]
    assert titles
    assert not [title for title in titles if " · " in title]
    if language == "en":
        assert not [title for title in titles if HAN.search(title)]
    else:
        assert not [title for title in titles if THREE_WORDS.search(re.sub("</?summary>", "", title))]
    for half in halves(source, language):
        assert half in "\n\n".join(notebook_rules.source(cell) for cell in made["cells"])
    foreign = [half for half in halves(source, other) if half not in halves(source, language)]
    assert foreign
    assert not [half for half in foreign if half in text]
    alts = [cell["metadata"]["alt"] for cell in made["cells"] if "alt" in cell["metadata"]]
    assert alts
    assert all(set(alt) == {language} for alt in alts)


@BY_NAME
@pytest.mark.parametrize("language", downloads.LANGUAGES)
def test_code_and_outputs_are_the_same(path, language):
    source, made = read(path), downloads.in_language(read(path), language)
    nbformat.validate(nbformat.from_dict(made))
    before, after = notebook_rules.code_cells(source), notebook_rules.code_cells(made)
    assert [notebook_rules.source(cell) for cell in before] == [notebook_rules.source(cell) for cell in after]
    assert [cell["execution_count"] for cell in before] == [cell["execution_count"] for cell in after]
    one, two = notebook_rules.outputs(source), notebook_rules.outputs(made)
    assert [output.get("metadata") for output in one] == [output.get("metadata") for output in two]
    for old, new in zip(one, two, strict=True):
        if language == "both" or "verdict" not in old.get("metadata", {}).get("attention_highlights", {}):
            assert old == new
            continue
        record, other = old["metadata"]["attention_highlights"]["verdict"], downloads.OTHER[language]
        for card in map("".join, (new["data"]["text/html"], new["data"]["text/plain"])):
            assert all(name["name"] in card for name in record["evidence"])
        assert f'<div lang="{language}">' in new["data"]["text/html"]
        assert f'<div lang="{other}">' not in new["data"]["text/html"]
        assert record[language] in new["data"]["text/plain"].split("\n")
        assert record[other] not in new["data"]["text/plain"]
        if language == "en":
            assert not HAN.search(new["data"]["text/html"] + new["data"]["text/plain"])


def test_a_pair_a_fold_and_code_that_looks_like_a_heading():
    half = '<div lang="{}">\n\n{}\n\n</div>\n'
    text = (
        "## Why? · 为什么？\n\n" + half.format("en", "Look, a · b.") + half.format("zh", "看。")
        + "\n<details>\n<summary>Solution · 解答</summary>\n\n```python\n# one · 一\n<div>\n```\n\n</details>"
    )  # fmt: skip
    code = "```python\n# one · 一\n<div>\n```"
    assert downloads.prose(text, "en") == (
        f"## Why?\n\nLook, a · b.\n\n<details>\n<summary>Solution</summary>\n\n{code}\n\n</details>"
    )
    assert downloads.prose(text, "zh") == (
        f"## 为什么？\n\n看。\n\n<details>\n<summary>解答</summary>\n\n{code}\n\n</details>"
    )


# --- The first cell -------------------------------------------------------------------------------------------------


@BY_NAME
def test_every_chapter_looks_for_lib_first(path):
    first = notebook_rules.code_cells(read(path))[0]
    assert first["id"] == downloads.FIND_LIB
    assert notebook_rules.source(first) == downloads.guard("")


@pytest.mark.parametrize("repository", ["", "https://github.com/me/book"])
def test_without_lib_the_first_cell_says_what_to_do(repository, tmp_path):
    made = downloads.in_language(read(CHAPTERS[0]), "en", repository)
    first = notebook_rules.code_cells(made)[0]
    done = run(notebook_rules.source(first), cwd=tmp_path)
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr
    commands = re.findall(r"^    (.+)$", done.stderr.split("ModuleNotFoundError", 1)[1], re.M)
    name = repository.rpartition("/")[2] or "attention-highlights"
    address = repository or "https://github.com/OWNER/attention-highlights"
    assert commands == 2 * [f"git clone --depth 1 {address}", f"make -C {name} lab"]
    said = done.stderr.rpartition("ModuleNotFoundError")[2]
    assert THREE_WORDS.search(said)
    assert len(HAN.findall(said)) > 50
    assert not prose_rules.typography("\n".join(line for line in said.split("\n") if HAN.search(line)))
    assert "lab:" in (ROOT / "Makefile").read_text(encoding="utf-8")
    for readme, section in (("README.md", "Running one notebook"), ("README.zh.md", "运行一个笔记本")):
        assert f"## {section}" in (ROOT / readme).read_text(encoding="utf-8")
        assert section in said


def test_another_package_of_that_name_does_not_deceive_the_first_cell(tmp_path):
    (tmp_path / "lib.py").write_text("")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{downloads.guard('')}"
    assert "git clone" in run(code).stderr


def test_with_lib_the_first_cell_is_silent():
    done = run(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{downloads.guard('')}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
