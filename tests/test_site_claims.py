"""The claims page says what the notebooks have stored: every claim, its verdict, its numbers, and the sum of all."""

import html
import json
import re
from collections import Counter

import notebook_rules
import pytest
from site_browser import DESKTOP, PHONE, ROOT, choose, seen

from _ext import claims
from lib.evidence import BASES, DECISIONS, _described

CLAIMS = claims.load_claims(ROOT / "chapters" / "claims.toml")
PAGE = "chapters/claims.html"
IN_ORDER = {
    "claim": [claim["id"] for claim in CLAIMS],
    "verdict": ["Supported", "Qualified", "Not supported", "Open"],
}
ROWS = """all => all.map(row => ({
  id: row.querySelector(".id").textContent.trim(), said: row.querySelector(".said [lang=en]").textContent,
  zh: row.querySelector(".said [lang=zh]").textContent, link: row.querySelector(".id a")?.getAttribute("href"),
  verdict: [...row.querySelectorAll(".badge [lang]")].map(word => word.textContent),
  basis: row.querySelector("small [lang=en]")?.textContent, chapter: row.dataset.chapter,
  lines: [...row.querySelectorAll(".claim-evidence li")].map(line => line.textContent),
  reason: [...row.querySelectorAll("details p")].map(reason => reason.textContent)}))"""


@pytest.fixture(scope="module")
def stored(notebooks):
    """The verdict of each claim as the notebooks of the book hold it, with the page of its chapter."""
    found = {}
    for notebook in notebooks:
        for record in notebook_rules.records(json.loads(notebook.read_text(encoding="utf-8")), "verdict"):
            found[record["claim"]] = (notebook.stem, record)
    return found


def test_the_page_shows_what_the_notebooks_have_stored(visit, stored):
    plain = re.compile(r"\[([^\]]+)\]\(https://[^\s)]+\)")
    with visit(f"{PAGE}?lang=both") as page:
        rows = page.locator("#claims-table tbody tr").evaluate_all(ROWS)
    assert [row["id"] for row in rows] == IN_ORDER["claim"]
    for row, claim in zip(rows, CLAIMS, strict=True):
        assert (row["said"], row["zh"]) == (claim["text_en"], claim["text_zh"])
        assert row["chapter"] == str(claim["chapter"])
        if claim["id"] not in stored:
            assert row["verdict"] == ["Open", "未定"], claim["id"]
            assert not row["link"]
            assert not row["lines"]
            continue
        chapter, record = stored[claim["id"]]
        assert row["link"] == f"{chapter}.html#claim-{claim['id']}"
        assert row["verdict"] == [record["decision"].capitalize(), DECISIONS[record["decision"]]]
        assert BASES[record["basis"]][0].startswith(row["basis"])
        assert row["lines"] == [_described(evidence) for evidence in record["evidence"]]
        assert row["reason"] == [plain.sub(r"\1", record[language]) for language in ("en", "zh")]


def test_the_sum_counts_every_claim_once(visit, stored):
    count = Counter(record["decision"] for _, record in stored.values())
    shown_ones = ["supported", "qualified", "not supported", *(["open"] if len(stored) < len(CLAIMS) else [])]
    count["open"] = len(CLAIMS) - len(stored)
    with visit(f"{PAGE}?lang=both") as page:
        shown = page.locator(".claims-sum li").evaluate_all("all => all.map(item => [item.className, item.innerText])")
    assert [int(re.match(r"\d+", text)[0]) for _, text in shown] == [count[decision] for decision in shown_ones]
    assert sum(count.values()) == 53
    for (_, text), decision in zip(shown, shown_ones, strict=True):
        assert all(word in text for word in claims.SUMS[decision])


def test_the_sum_speaks_of_open_claims_only_where_there_are_some():
    three = [{"id": f"1{letter}"} for letter in "abc"]
    settled = {f"1{letter}": {"decision": "supported"} for letter in "abc"}
    assert "尚未检验" not in claims._sum(three, settled)
    del settled["1b"]
    assert re.search(r'<li class="claim-open" style="--share:1"><b>1</b>.*尚未检验', claims._sum(three, settled))


def test_each_number_leads_to_the_cell(visit, stored):
    claim, (chapter, record) = max(stored.items())
    with visit(f"{PAGE}?lang=en") as page:
        page.locator(f"#row-{claim} .id a").click()
        page.wait_for_url(f"**/{chapter}.html#claim-{claim}")
        card = page.locator(f"#claim-{claim}")
        assert record["decision"].capitalize() in card.inner_text()
        page.wait_for_function(
            "id => document.getElementById(id).getBoundingClientRect().top < innerHeight", arg=card.get_attribute("id")
        )


def column(page, key):
    return page.locator(f"#claims-table tbody tr .{key}").evaluate_all(
        "all => all.map(cell => (cell.querySelector('[lang=en]') || cell).textContent.trim())"
    )


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_table_is_sorted_from_the_keyboard(visit, viewport):
    with visit(f"{PAGE}?lang=en", viewport=viewport) as page:
        heads = {key: page.locator(f"th[data-sort={key}]") for key in ("claim", "chapter", "verdict")}
        heads["verdict"].locator("button").focus()
        page.keyboard.press("Enter")
        words = column(page, "badge")
        assert words == sorted(words, key=IN_ORDER["verdict"].index)
        assert len(set(words)) > 2
        page.keyboard.press("Space")
        assert column(page, "badge") == sorted(words, key=IN_ORDER["verdict"].index, reverse=True)
        assert [head.get_attribute("aria-sort") for head in heads.values()] == ["none", "none", "descending"]
        heads["chapter"].locator("button").press("Enter")  # stable: within a chapter still by verdict
        rows = page.locator("#claims-table tbody tr").evaluate_all(
            "all => all.map(row => [Number(row.dataset.chapter), -Number(row.dataset.verdict)])"
        )
        assert rows == sorted(rows)
        heads["claim"].locator("button").click()
        assert column(page, "id") == IN_ORDER["claim"]
        choose(page, "zh")
        assert heads["claim"].inner_text().startswith("论断")
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_without_a_script_it_is_a_plain_table(visit):
    with visit(PAGE, java_script_enabled=False, viewport=PHONE) as page:
        assert page.locator("#claims-table tbody tr").count() == 53
        assert page.locator("#claims-table tbody .badge [lang=zh]").first.is_visible()
        assert not page.locator("#claims-table button").count()
        page.locator("#claims-table details summary").first.click()
        assert page.locator("#claims-table details p[lang=en]").first.is_visible()


def test_a_row_shows_one_language_at_a_time(visit):
    with visit(f"{PAGE}?lang=en") as page:
        english = " ".join(text for text, _ in seen(page, "#claims-table"))
        assert html.unescape(CLAIMS[0]["text_en"]) in english
        assert CLAIMS[0]["text_zh"] not in english
