"""The claims are complete: all 53 stand in `claims.toml`, and each that is due has one verdict in its chapter."""

import json
import re
import tomllib
from pathlib import Path

import notebook_rules
import prose_rules
import pytest

CHAPTERS = Path(__file__).resolve().parents[1] / "chapters"
LETTERS = {1: 2, 2: 3, 3: 2, 4: 2, 5: 2, 6: 3, 7: 2, 8: 2, 9: 3, 10: 3, 11: 2, 12: 3, 13: 3, 14: 3, 15: 4, 16: 4, 17: 6}
LETTERS |= {18: 4}  # how many claims each chapter makes
CLAIMS = tomllib.loads((CHAPTERS / "claims.toml").read_text(encoding="utf-8"))["claim"]


def chapters():
    """The notebooks that exist, by number."""
    return {int(path.name[:2]): path for path in CHAPTERS.glob("[0-9][0-9]_*.ipynb")}


def settled(paths):
    """The verdicts stored in each chapter, by number."""
    notebooks = {number: json.loads(path.read_text(encoding="utf-8")) for number, path in paths.items()}
    return {
        number: [record["claim"] for record in notebook_rules.records(notebook, "verdict")]
        for number, notebook in notebooks.items()
    }


def unsettled(claims, found):
    """What is wrong with the verdicts `found` in the chapters that exist: missing, repeated or misplaced."""
    due = {
        claim["id"]: claim["chapter"] for claim in claims if {claim["chapter"], *claim.get("after", [])} <= found.keys()
    }
    places = [(claim, number) for number, verdicts in found.items() for claim in verdicts]
    missing = [(claim, number) for claim, number in due.items() if (claim, number) not in places]
    misplaced = [(claim, number) for claim, number in places if due.get(claim) != number]
    return [
        *(f"claim {claim} has no verdict in chapter {number}" for claim, number in missing),
        *(f"claim {claim} has two verdicts in chapter {number}" for claim, number in prose_rules.repeated(places)),
        *(f"chapter {number} settles claim {claim}, which is not due there" for claim, number in misplaced),
    ]


def test_every_claim_of_the_highlights_is_listed_once():
    listed = [(claim["id"], claim["chapter"]) for claim in CLAIMS]
    assert len(listed) == 53
    assert sorted(listed) == sorted(
        (f"{number}{letter}", number) for number, many in LETTERS.items() for letter in "abcdef"[:many]
    )


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["id"])
def test_claim_is_written_in_both_languages(claim):
    assert re.search(r"[A-Za-z]{3}", claim["text_en"])
    assert re.search(r"[\u4e00-\u9fff]{3}", claim["text_zh"])
    assert prose_rules.typography(claim["text_zh"]) == []
    assert prose_rules.drift(claim["text_en"], claim["text_zh"]) == []
    assert not [wrong for wrong in prose_rules.forbidden_renderings() if wrong in claim["text_zh"]]


def test_every_due_claim_has_one_verdict_in_its_chapter():
    found = settled(chapters())
    assert found
    assert unsettled(CLAIMS, found) == []


def test_with_all_chapters_all_claims_are_settled():
    """Whatever `after` says: a claim that waits for a chapter which will never come would never be due."""
    found = settled(chapters())
    assert all({*claim.get("after", [])} <= LETTERS.keys() for claim in CLAIMS)
    if found.keys() == LETTERS.keys():
        assert sorted(one for verdicts in found.values() for one in verdicts) == sorted(one["id"] for one in CLAIMS)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({1: ["1a"], 4: ["4a", "4b"]}, []),
        ({1: ["1a"], 4: ["4a"]}, ["claim 4b has no verdict in chapter 4"]),
        ({1: ["1a", "1a"]}, ["claim 1a has two verdicts in chapter 1"]),
        (
            {1: ["1a", "4b"], 4: ["4a"]},
            ["claim 4b has no verdict in chapter 4", "chapter 1 settles claim 4b, which is not due there"],
        ),
        ({1: ["1a", "1b"]}, ["chapter 1 settles claim 1b, which is not due there"]),
        ({1: ["1a"], 4: ["4a", "4b"], 2: ["2a"]}, ["claim 1b has no verdict in chapter 1"]),
    ],
)
def test_planted_gaps_are_found(found, said):
    claims = [
        {"id": "1a", "chapter": 1},
        {"id": "1b", "chapter": 1, "after": [2]},
        {"id": "2a", "chapter": 2},
        {"id": "4a", "chapter": 4},
        {"id": "4b", "chapter": 4},
    ]
    assert unsettled(claims, found) == said
