"""Each chapter's notebook to take away: in English, in Chinese, or in both, made from the bilingual one.

A notebook in one language keeps that half of every pair, heading, folded title, alternative text and verdict card;
code and figures stay as they are. The cell that says what to do where `lib` is missing gets the address of the
repository, if the build knows it.
"""

import copy
import json
import re
from pathlib import Path

from _ext.bilingual import split_title
from _ext.pairs import FENCED, parts

FOLDER = "_downloads"
FIND_LIB = "find-lib"  # the id of the cell that looks for `lib`, the first code cell of each chapter
LANGUAGES = {"en": ".en", "zh": ".zh", "both": ""}  # what stands before .ipynb
OTHER = {"en": "zh", "zh": "en"}
HEADING = re.compile(r"^(#{1,6} +)(.+?) *$", re.M)
SUMMARY = re.compile(r"(<summary>)([^<]*)(</summary>)")
HALF_OF_CARD = r'<div lang="{}">.*?</div>'
MISSING = '''\
# Does this notebook find the course's package?
import importlib

try:
    importlib.import_module("lib.reference")
except ModuleNotFoundError:
    raise ModuleNotFoundError("""

This notebook needs the package `lib` of its course, and does not find it. (`pip install lib` brings another one.)
{get_en}
    {clone}
    make -C {folder} lab
The second command installs the course and opens JupyterLab. Put this notebook into the folder `chapters`, and run it
there. Without make, in VS Code or in Colab: see "Running one notebook" in README.md.

这个笔记本要用课程自带的代码包 `lib`，但是没有找到。（`pip install lib` 装的是另一个包。）
{get_zh}
    {clone}
    make -C {folder} lab
第二条命令会装好课程，并打开 JupyterLab。把这个笔记本放进 `chapters` 文件夹，在那里运行。
没有 make，或者使用 VS Code 或 Colab：请看 README.zh.md 里的“运行一个笔记本”。
""") from None'''


def in_language(notebook: dict, language: str, repository: str = "") -> dict:
    """Return a notebook in one language, or in both; its cell that looks for `lib` names the repository.

    Example:
        >>> cell = {"cell_type": "markdown", "source": "# 04 Why divide? · 为什么要除？", "metadata": {}, "id": "a"}
        >>> in_language({"cells": [cell]}, "zh")["cells"][0]["source"]
        '# 04 为什么要除？'
    """
    made = copy.deepcopy(notebook)
    if language != "both":
        for cell in made["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = prose("".join(cell["source"]), language)
            elif alt := cell["metadata"].get("alt"):
                cell["metadata"]["alt"] = {language: alt[language]}
            for output in cell.get("outputs", []):
                _card(output, language)
    for cell in made["cells"]:
        if cell["id"] == FIND_LIB:
            cell["source"] = guard(repository)
    return made


def prose(text: str, language: str) -> str:
    r"""Return one language of a Markdown cell.

    Example:
        >>> half = '<div lang="{}">\n\n{}\n\n</div>\n'
        >>> prose("## A · 甲\n\n" + half.format("en", "Look.") + half.format("zh", "看。") + "\n$$x$$", "en")
        '## A\n\nLook.\n\n$$x$$'
    """
    kept = [_outside(part.text, language) if part.language is None else part.text for part in parts(text)
            if part.language in (None, language)]  # fmt: skip
    return "\n\n".join(block.strip("\n") for block in kept)


def _outside(text: str, language: str) -> str:
    """Choose the language of headings and of folded titles, but not inside code."""

    def chosen(title: str) -> str:
        halves = split_title(title)
        return halves[language == "zh"] if halves else title

    done, position = "", 0
    for fence in [*FENCED.finditer(text), None]:
        plain = text[position : fence.start() if fence else None]
        plain = HEADING.sub(lambda match: match[1] + chosen(match[2]), plain)
        plain = SUMMARY.sub(lambda match: match[1] + chosen(match[2]) + match[3], plain)
        done += plain + (fence[0] if fence else "")
        position = fence.end() if fence else position
    return done


def _card(output: dict, language: str) -> None:
    """Keep one language of a verdict card; the record in its metadata stays whole."""
    record = output.get("metadata", {}).get("attention_highlights", {}).get("verdict")
    if not record:
        return
    card = "".join(output["data"]["text/html"])
    output["data"]["text/html"] = re.sub(HALF_OF_CARD.format(OTHER[language]), "", card, flags=re.S)
    claim, decision, *others = "".join(output["data"]["text/plain"]).split("\n")
    number, _, text = claim.partition(" ")
    halves = zip(split_title(text) or (text, text), split_title(decision) or (decision, decision), strict=True)
    said, decided = list(halves)[language == "zh"]
    kept = [line for line in others if line != record[OTHER[language]]]
    output["data"]["text/plain"] = "\n".join([f"{number} {said}", decided, *kept])


def guard(repository: str) -> str:
    """Return the code of the cell that looks for `lib`; without a known repository it asks for a copy in words."""
    folder = repository.rstrip("/").removesuffix(".git").rpartition("/")[2] or "attention-highlights"
    clone = f"git clone --depth 1 {repository or f'https://github.com/OWNER/{folder}'}"
    get_en, get_zh = "In a terminal, type these two commands:", "请在终端里输入下面两条命令："
    if not repository:
        get_en = "In a terminal, type these two commands, with the account of your course's copy in place of OWNER:"
        get_zh = "请在终端里输入下面两条命令，其中 OWNER 换成你的课程副本所在的账户名："
    return MISSING.format(clone=clone, folder=folder, get_en=get_en, get_zh=get_zh)


def links(app, pagename: str) -> list[dict[str, str]]:
    """Return the addresses of a page's three notebooks, seen from the page; none for a page that is no notebook."""
    if not is_notebook(app, pagename):
        return []
    home = "../" * pagename.count("/") + FOLDER
    return [
        {"url": f"{home}/{Path(pagename).name}{ending}.ipynb", "language": language}
        for language, ending in LANGUAGES.items()
    ]


def is_notebook(app, pagename: str) -> bool:
    """Tell whether a page was made from a notebook."""
    return app.env.doc2path(pagename).endswith(".ipynb") if pagename in app.env.found_docs else False


def _write(app, error) -> None:
    if error is not None or app.builder.name != "html":
        return
    folder = Path(app.outdir, FOLDER)
    folder.mkdir(exist_ok=True)
    for pagename in app.env.found_docs:
        if is_notebook(app, pagename):
            notebook = json.loads(Path(app.env.doc2path(pagename)).read_text(encoding="utf-8"))
            for language, ending in LANGUAGES.items():
                made = in_language(notebook, language, app.config.book_repository)
                target = folder / f"{Path(pagename).name}{ending}.ipynb"
                target.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def setup(app) -> None:
    """Register the writing."""
    app.connect("build-finished", _write)
