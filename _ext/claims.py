"""The `{claims-table}` directive: every claim of claims.toml with the verdict that its chapter's notebook has stored.

A verdict is read from the metadata of the output that shows its card (`lib.evidence.verdict`); the list of what was
measured is taken from that card, so that a number is written in one place only. A claim without a verdict is open.
"""

import html
import json
import re
import tomllib
from collections import Counter
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from _ext.bilingual import spans, title_html
from _ext.book_pages import written
from _ext.chapter_role import title_of

DECISIONS = {  # in the order of the sum above the table
    "supported": ("Supported", "成立"),
    "qualified": ("Qualified", "有条件成立"),
    "not supported": ("Not supported", "不成立"),
    "open": ("Open", "未定"),
}
SUMS = {
    "supported": ("hold", "成立"),
    "qualified": ("hold with conditions", "有条件成立"),
    "not supported": ("do not hold", "不成立"),
    "open": ("not settled yet", "尚未检验"),
}
BASES = {"measured": ("measured here", "本书实测"), "exact": ("exact", "精确"), "published": ("published", "据文献")}
COLUMNS = {"claim": ("Claim", "论断"), "chapter": ("Chapter", "章"), "verdict": ("Verdict", "结论")}
SHOWN = 3  # lines of what was measured; the others are folded
LINK = re.compile(r"\[([^\]]+)\]\((https://[^\s)]+)\)")
EVIDENCE = re.compile(r'<ul class="claim-evidence">(.*?)</ul>', re.S)


def load_claims(path: Path) -> list[dict]:
    """Return the claims of a file, in its order."""
    with path.open("rb") as file:
        return tomllib.load(file)["claim"]


def stored_verdicts(notebook: dict) -> dict[str, dict]:
    """Return the verdicts in the outputs of a notebook by claim, each with the lines of its card as HTML, `lines`.

    Example:
        >>> card = {"text/html": '<ul class="claim-evidence"><li>a ≈ 1</li></ul>'}
        >>> output = {"data": card, "metadata": {"attention_highlights": {"verdict": {"claim": "4b"}}}}
        >>> stored_verdicts({"cells": [{"outputs": [output]}]})
        {'4b': {'claim': '4b', 'lines': ['a ≈ 1']}}
    """
    found = {}
    for output in (output for cell in notebook["cells"] for output in cell.get("outputs", [])):
        record = output.get("metadata", {}).get("attention_highlights", {}).get("verdict")
        if record:
            card = EVIDENCE.search("".join(output["data"].get("text/html", "")))
            lines = re.findall(r"<li>(.*?)</li>", card[1], re.S) if card else []
            found[record["claim"]] = {**record, "lines": lines}
    return found


class Claims(SphinxDirective):
    """Print the sum of the verdicts and the table of all claims."""

    def run(self) -> list[nodes.Node]:
        """Build both and note the files, so that a change rebuilds the page."""
        relative, absolute = self.env.relfn2path("claims.toml")
        self.env.note_dependency(relative)
        claims, chapters, verdicts = load_claims(Path(absolute)), {}, {}
        for number, path in written(self.env, Path(absolute).parent).items():
            self.env.note_dependency(str(path))
            notebook = json.loads(path.read_text(encoding="utf-8"))
            chapters[number] = (f"{path.stem}.html", title_of(notebook))
            verdicts |= stored_verdicts(notebook)
        return [
            nodes.raw("", _sum(claims, verdicts), format="html"),
            nodes.raw("", _table(claims, chapters, verdicts), format="html"),
        ]


def _decision(claim: dict, verdicts: dict[str, dict]) -> str:
    return verdicts.get(claim["id"], {"decision": "open"})["decision"]


def _class(decision: str) -> str:
    return f"claim-{decision.replace(' ', '-')}"


def _sum(claims: list[dict], verdicts: dict[str, dict]) -> str:
    """How many claims hold, hold with conditions and do not hold, and how many are open if any: numbers above a bar."""
    count = Counter(_decision(claim, verdicts) for claim in claims)
    items = "".join(
        f'<li class="{_class(decision)}" style="--share:{count[decision]}"><b>{count[decision]}</b> '
        f"{spans(*words)}</li>"
        for decision, words in SUMS.items()
        if decision != "open" or count[decision]
    )
    return f'<ul class="claims-sum">{items}</ul>'


def _table(claims: list[dict], chapters: dict[int, tuple[str, str]], verdicts: dict[str, dict]) -> str:
    heads = "".join(f'<th scope="col" data-sort="{key}">{spans(*words)}</th>' for key, words in COLUMNS.items())
    heads += f'<th scope="col">{spans("What was measured", "测得的结果")}</th>'
    rows = "\n".join(_row(place, claim, chapters, verdicts) for place, claim in enumerate(claims))
    caption = spans("All claims with their verdicts", "全部论断及其结论")
    return (
        f'<table class="claims" id="claims-table"><caption class="unseen">{caption}</caption>'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>"
    )


def _row(place: int, claim: dict, chapters: dict[int, tuple[str, str]], verdicts: dict[str, dict]) -> str:
    """One claim; `data-` holds what the columns are sorted by."""
    decision, verdict = _decision(claim, verdicts), verdicts.get(claim["id"])
    page, title = chapters.get(claim["chapter"], (None, None))
    name = f'<a href="{page}#claim-{claim["id"]}">{claim["id"]}</a>' if verdict else claim["id"]
    text = spans(html.escape(claim["text_en"]), html.escape(claim["text_zh"]))
    number = f"{claim['chapter']:02d}"
    chapter = f'<a href="{page}">{title_html(title)}</a>' if page else spans(f"Chapter {number}", f"第 {number} 章")
    if verdict:
        effect, basis = _effect(verdict), f"<small>{spans(*BASES[verdict['basis']])}</small>"
    else:
        waiting = ("The chapter is not written yet.", "这一章还没有写。")
        if page:
            waiting = ("Waits for other chapters.", "要等别的章节。")
        effect, basis = f"<p>{spans(*waiting)}</p>", ""
    cells = (
        f'<th scope="row" class="said"><b class="id">{name}</b> {text}</th><td class="chapter">{chapter}</td>'
        f'<td class="decision"><b class="badge">{spans(*DECISIONS[decision])}</b> {basis}</td>'
        f'<td class="effect">{effect}</td>'
    )
    order = list(DECISIONS).index(decision)
    return (
        f'<tr class="{_class(decision)}" id="row-{claim["id"]}" data-claim="{place}" data-chapter="{claim["chapter"]}"'
        f' data-verdict="{order}">{cells}</tr>'
    )


def _effect(verdict: dict) -> str:
    """The first lines of what was measured; folded, the reason and the other lines."""
    lines = [f"<li>{line}</li>" for line in verdict["lines"]]
    first, others = "".join(lines[:SHOWN]), "".join(lines[SHOWN:])
    reasons = "".join(
        f'<p lang="{language}">' + LINK.sub(r'<a href="\2">\1</a>', html.escape(verdict[language])) + "</p>"
        for language in ("en", "zh")
    )
    more = len(lines) - SHOWN
    words = ("Reason", "理由") if more <= 0 else (f"Reason, and {more} more results", f"理由，另有 {more} 项结果")
    return (
        (f'<ul class="claim-evidence">{first}</ul>' if first else "")
        + f"<details><summary>{spans(*words)}</summary>{reasons}"
        + (f'<ul class="claim-evidence">{others}</ul>' if others else "")
        + "</details>"
    )


def setup(app) -> None:
    """Register the directive."""
    app.add_directive("claims-table", Claims)
