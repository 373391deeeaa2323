"""Every chapter and page keeps the rules of `notebook_rules` and `prose_rules`; and each rule is seen to fail."""

import copy
import doctest
import json
from pathlib import Path

import notebook_rules
import prose_rules
import pytest

from _ext import pairs

CHAPTERS = Path(__file__).resolve().parents[1] / "chapters"
NOTEBOOKS = sorted(CHAPTERS.glob("*.ipynb"))
PAGES = sorted(CHAPTERS.glob("*.md"))


def by_name(paths):
    return [pytest.param(path, id=path.stem) for path in paths]


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_there_are_chapters():
    assert NOTEBOOKS
    assert PAGES


@pytest.mark.parametrize("rule", notebook_rules.RULES)
@pytest.mark.parametrize("path", by_name(NOTEBOOKS))
def test_notebook(path, rule):
    assert rule(read(path)) == []


@pytest.mark.parametrize("path", by_name(NOTEBOOKS))
def test_notebook_is_small(path):
    assert path.stat().st_size <= 1.5e6


@pytest.mark.parametrize("path", by_name(NOTEBOOKS + PAGES))
def test_languages_agree(path):
    texts = [path.read_text(encoding="utf-8")]
    if path.suffix == ".ipynb":
        texts = [notebook_rules.source(cell) for cell in read(path)["cells"] if cell["cell_type"] == "markdown"]
    assert [problem for text in texts for problem in prose_rules.problems(text)] == []


def test_no_chapter_defines_what_another_introduced():
    names = [name for path in NOTEBOOKS for name in set(notebook_rules.definitions(read(path)))]
    assert prose_rules.repeated(names) == []


def test_pairs_examples():
    assert doctest.testmod(pairs).failed == 0


# Each rule on small made-up text: kept, then broken in one place.


def pair(english, chinese):
    return f'<div lang="en">\n\n{english}\n\n</div>\n<div lang="zh">\n\n{chinese}\n\n</div>\n'


GOOD = (
    "## Why divide? · 为什么要除？\n\n"
    + pair(
        "Divide by $\\sqrt{d_k}$, see [the paper](https://arxiv.org/abs/1706.03762): with 64 entries `softmax` "
        'gives <data value="a.share">87 %</data>.\n\n- **one**\n- two',
        "除以 $\\sqrt{d_k}$，见[论文](https://arxiv.org/abs/1706.03762)：有 64 个分量时，`softmax` 给出 "
        '<data value="a.share">87 %</data>。\n\n- **一**\n- 二',
    )
    + "\n$$w_j = e^{s_j}$$\n\n<details><summary>Solution · 解答</summary>\n\n```python\n# <div>\n```\n\n</details>\n"
)


def test_good_prose_is_accepted():
    assert prose_rules.problems(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("除以 $\\sqrt{d_k}$", "除以 $\\sqrt{d_v}$", "mathematics: only Chinese has \\sqrt{d_v}"),
        ("除以 $\\sqrt{d_k}$", "除以它", "mathematics: only English has"),
        ("有 64 个", "有 46 个", "digits: only English has 64"),
        ("with 64 entries", "with many entries", "digits: only Chinese has 64"),
        ("时，`softmax`", "时，`arg max`", "code: only Chinese has arg max"),
        ("论文](https://arxiv.org/abs/1706.03762)", "论文](https://arxiv.org/abs/1706.03763)", "links: only"),
        ('给出 <data value="a.share">87 %', '给出 <data value="a.share">86 %', "measured: only Chinese has"),
        ('给出 <data value="a.share">', '给出 <data value="b.share">', "measured: only Chinese has"),
        ("- **一**\n- 二", "- **一**", "blocks: only English has list item"),
        ("- **一**\n- 二", "- **一**\n- 二\n\n还有一段。", "blocks: only Chinese has paragraph"),
        ("- two", "- two\n\n![x](x.png)", "blocks: only English has image"),
        ("- two", "- two\n\n<details>x</details>", "blocks: only English has details"),
        ("- two", "- two\n\n> x", "blocks: only English has quote"),
        ("- two", "- two\n\n| x | y |", "blocks: only English has table row"),
        ("- 二", "- 二\n\n```\nx\n```", "fenced code: only Chinese has"),
        (" · 为什么要除？", "", "not of the form"),
        ("Why divide? · 为什么要除？", "为什么要除？ · Why divide?", "not of the form"),
        ("除以 $", "变压器除以 $", "write Transformer, not 变压器"),
        ("为什么要除？", "为什么要用变压器？", "write Transformer, not 变压器"),
        ("个分量时，", "个分量时,", "half-width punctuation"),
        ("$，见", "$, 见", "half-width punctuation"),
        ("个分量时", "个分量(entries)时", "half-width punctuation"),
        ("64 个", "64个", "no space"),
        ("`softmax` 给出", "`softmax`给出", "no space"),
        ("个分量时，`", "个分量时， `", "a space beside"),
        ("**一**", "**注意：**下文", "emphasis that will not close"),
        ("**一**", "这叫**“一”** 。", "emphasis that will not open"),
        ("**one**", "**one", "emphasis without an end"),
        ("</div>\n<div", "</div>\nBetween\n<div", "followed at once"),
        ('<div lang="zh">\n\n除', '<div lang="zh">\n除', "a blank line"),
        ("- two", '- two\n\n<div class="note">', "no other <div>"),
        ("- 二\n\n</div>", "- 二\n", "not closed"),
        ('<div lang="en">', '<div class="x" lang="en">', "on a line of its own"),
        ("- two", "- two\n\n### More", "a heading stands outside"),
        (
            "\n$$w_j",
            "\nA sentence of some length that stands here outside any of the pairs, alone.\n\n$$w_j",
            "prose outside",
        ),
        ("Solution · 解答", "Solution", "the summary"),
        ("two", "TODO", "unfinished"),
        ("二", "待补", "unfinished"),
    ],
)
def test_planted_drift_is_found(old, new, said):
    assert GOOD.count(old) >= 1
    found = prose_rules.problems(GOOD.replace(old, new, 1), {"变压器": "Transformer"})
    assert any(said in problem for problem in found), found


def test_glossary_forbids_renderings():
    forbidden = prose_rules.forbidden_renderings()
    assert forbidden["变压器"] == "Transformer"
    assert not {wrong for wrong in forbidden for right in forbidden.values() if wrong in right.split("；")}


def share(name="a.share", mean=0.867, **changed):
    record = {"name": name, "mean": mean, "spread": 0.003, "values": [mean] * 5, "n": 5, "unit": "", "digits": 3}
    return record | changed


def shown(text, kind, record):
    return {
        "output_type": "display_data",
        "data": {"text/plain": text},
        "metadata": {"attention_highlights": {kind: record}},
    }


def code(source, count, *outputs, **metadata):
    cell = {"cell_type": "code", "source": source, "execution_count": count, "metadata": metadata}
    return cell | {"outputs": list(outputs)}


def good_notebook():
    alt = {"en": "A curve that falls as the width grows.", "zh": "一条随宽度增加而下降的曲线。"}
    figure = {"output_type": "display_data", "data": {"image/png": "", "text/plain": "<Figure>"}, "metadata": {}}
    verdict = {"claim": "4b", "en": "It takes ≈ 87 %.", "zh": "它拿走 ≈ 87 %。", "evidence": [share()]}
    return {
        "metadata": {"kernelspec": {"name": "python3"}},
        "cells": [
            {"cell_type": "markdown", "source": GOOD, "metadata": {}},
            code("from lib.evidence import measure  # why", 1),
            code("measure(...)", 2, shown("a.share ≈ 0.867±0.003 (5 seeds)", "measure", share())),
            code("plt.show()", 3, figure, alt=alt),
            code("verdict(...)", 4, shown("≈ 87 %\n≈ 0.867±0.003 (5 seeds)", "verdict", verdict)),
        ],
    }


@pytest.mark.parametrize("rule", notebook_rules.RULES)
def test_good_notebook_is_accepted(rule):
    assert rule(good_notebook()) == []


def stream(name, text):
    return {"output_type": "stream", "name": name, "text": text}


def output(cells, number):
    return cells[number]["outputs"][0]


def set_alt(cells, alt):
    cells[3]["metadata"]["alt"] = alt


def set_record(cells, number, kind, record):
    output(cells, number)["metadata"]["attention_highlights"][kind] = record


def set_prose(cells, old, new):
    assert old in cells[0]["source"]
    cells[0]["source"] = cells[0]["source"].replace(old, new)


PLANTED = [
    (lambda c: c[2].update(execution_count=7), "not stored as run"),
    (lambda c: c[2].update(execution_count=None), "not stored as run"),
    (lambda c: c[1]["outputs"].append({"output_type": "error", "ename": "KeyError"}), "a stored error: KeyError"),
    (lambda c: c[1]["outputs"].append(stream("stderr", "careful")), "stored stderr"),
    (lambda c: c[1]["outputs"].append(stream("stdout", "see /srv/me/book/x.py")), "of this machine"),
    (lambda c: c[1]["outputs"].append(stream("stdout", "<f at 0x7f00aa00bb00>")), "of this machine"),
    (lambda c: c[1].update(source="\n".join(["from lib import x"] * 31)), "a code cell of 31 lines"),
    (lambda c: c[1].update(source="from lib.x import *"), "banned"),
    (lambda c: c[1].update(source="import sys\nsys.path.append('.')"), "banned"),
    (lambda c: c[1].update(source="%pip install x"), "banned"),
    (lambda c: c[1].update(source="!ls"), "banned"),
    (lambda c: c[1].update(source="import os\nos.chdir('..')"), "banned"),
    (lambda c: c[1].update(source="urlopen('https://example.org')"), "banned"),
    (lambda c: c[1].update(source="warnings.filterwarnings('ignore')"), "banned"),
    (lambda c: c[1].update(source="for x in tqdm(y): pass"), "banned"),
    (lambda c: c[1].update(source="x = 1"), "does not import lib"),
    (lambda c: c[1].update(source=" "), "an empty code cell"),
    (lambda c: c[2].update(source="x = 1  # 注释"), "a comment in Chinese"),
    (lambda c: c[2].update(source="x = 1  # TODO"), "unfinished"),
    (lambda c: set_alt(c, {"en": "A curve that falls as the width grows."}), "without alternative text"),
    (lambda c: set_alt(c, {"en": "A curve that falls as it grows.", "zh": "curve"}), "without alternative text"),
    (lambda c: c[3].update(outputs=[]), "no figure"),
    (lambda c: c[2].update(outputs=[]), "nothing is measured"),
    (lambda c: c[1]["outputs"].append(output(c, 2)), "a.share is measured twice"),
    (lambda c: c[1]["outputs"].append(stream("stdout", "≈ 0.871")), "'≈ 0.871' stems from no record"),
    (lambda c: c[1]["outputs"].append(stream("stdout", "≈ 88 %")), "'≈ 88 %' stems from no record"),
    (lambda c: c[1]["outputs"].append(stream("stdout", "≈ high")), "'≈ high' stems from no record"),
    (lambda c: output(c, 2)["data"].update({"text/html": "<td>≈ 0.867±0.004</td>"}), "stems from no record"),
    (lambda c: set_record(c, 2, "measure", share(mean=0.862)), "a.share is quoted as '87 %', measured 0.862"),
    (lambda c: set_record(c, 2, "measure", share(name="b.share")), "a.share is quoted but not measured"),
    (lambda c: set_prose(c, "- two", "- two, 86.7 %"), "'86.7 %' is the measured a.share"),
    (lambda c: set_prose(c, "- two", "- two, 0.867"), "'0.867' is the measured a.share"),
    (lambda c: set_prose(c, "- two", "- two, ≈ 0.5"), "write a measured number as <data>"),
    (lambda c: set_record(c, 4, "verdict", output(c, 4)["metadata"]["attention_highlights"]["verdict"]
     | {"evidence": [share(mean=0.9)]}), "as this chapter has not measured it"),
    (lambda c: set_record(c, 4, "verdict", output(c, 4)["metadata"]["attention_highlights"]["verdict"]
     | {"en": "Over 5 seeds."}), "the verdict on 4b: digits"),
    (lambda c: set_record(c, 4, "verdict", output(c, 4)["metadata"]["attention_highlights"]["verdict"]
     | {"en": "It takes 87 %.", "zh": "它拿走 87 %。"}), "'87 %' is the measured a.share"),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "said"), PLANTED)
def test_planted_fault_is_found(plant, said):
    notebook = copy.deepcopy(good_notebook())
    plant(notebook["cells"])
    found = [problem for rule in notebook_rules.RULES for problem in rule(notebook)]
    assert any(said in problem for problem in found), found


def test_kernelspec_is_python3():
    notebook = good_notebook()
    notebook["metadata"]["kernelspec"]["name"] = "my-env"
    assert notebook_rules.stored_as_run(notebook) == ["the kernelspec is not python3"]


def test_definitions_are_found():
    notebook = {"cells": [code("def attention():\n    def inner(): pass\nclass Head: pass", 1)]}
    assert notebook_rules.definitions(notebook) == ["attention", "Head"]


@pytest.mark.parametrize(
    ("text", "record", "expected"),
    [
        ("87 %", share(), True),
        ("86.7 %", share(), True),
        ("86.6 %", share(), False),
        ("0.9", share(), True),
        ("0.867 ± 0.003", share(), True),
        ("0.867 ± 0.004", share(), False),
        ("1,234", share(mean=1234.4), True),
        ("1,235", share(mean=1234.4), False),
        ("2.3×", share(mean=2.31), True),
        ("2.4×", share(mean=2.31), False),
        ("1.2 s", share(mean=1.23, unit="s"), True),
        ("1.2 ms", share(mean=1.23, unit="s"), False),
        ("1.2", share(mean=1.23, unit="s"), True),
        ("12 %", share(mean=12.1, unit="%"), True),
        ("1.2e-8", share(mean=1.23e-8), True),
        ("1.3e-8", share(mean=1.23e-8), False),
        ("−0.5", share(mean=-0.52), True),
        ("0.5", share(mean=-0.52), False),
        ("about 0.87", share(), False),
        ("", share(), False),
    ],
)
def test_quantities_agree_at_the_precision_shown(text, record, expected):
    assert notebook_rules.agrees(text, record) is expected
