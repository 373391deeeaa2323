"""Numbers that cannot go stale: measured values with their bands, and the verdicts that stand on them.

`measure` shows a measured number, refuses it outside its band and stores it in the output's metadata. `verdict` closes
a claim of `chapters/claims.toml` with measured evidence. Experiments too long for a notebook are recorded by
`python -m lib.evidence run NAME` and read back with `recorded(NAME)` (see `lib.recorder`).
"""

import html
import math
import os
import re
import tomllib
from pathlib import Path

import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from lib.recorder import EvidenceError, main, recorded, spread

__all__ = ["EvidenceError", "measure", "recorded", "seeds", "verdict"]

CLAIMS = Path(__file__).resolve().parents[1] / "chapters" / "claims.toml"
DECISIONS = {"supported": "成立", "qualified": "有条件成立", "not supported": "不成立"}
BASES = {
    "measured": ("measured here", "本书实测"),
    "exact": ("exact: counted or proved here", "精确：本书计数或证明"),
    "published": ("published, not measured again here", "据文献，本书未重新测量"),
}
LINK = re.compile(r"\[([^\]]+)\]\((https://[^\s)]+)\)")
SHOWN = re.compile(r"≈ [\d.,e-]*\d(?: %)?")
PLACE = re.compile(r"\{([\w.]+)(?::\.(\d)(%?))?\}")

_measured: dict[str, dict] = {}  # what this kernel has measured, by name; running a cell again overwrites


def seeds(n: int) -> list[int]:
    """Give the `n` seeds to use; the environment variable BOOK_SEED=k moves to the k-th hundred.

    Example:
        >>> seeds(3)
        [0, 1, 2]
    """
    if not 1 <= n <= 100:
        raise ValueError(f"seeds(n) gives 1 to 100 seeds, not {n}")
    first = 100 * int(os.environ.get("BOOK_SEED", "0"))
    return list(range(first, first + n))


def measure(name, value, *, low, high, unit="", digits=3, recorded=False) -> None:
    """Show a measured number and guard it: every value must lie in `low` to `high`.

    With one value per seed it shows the mean, the sample standard deviation and the number of seeds, and *each* value
    has to lie in the band, not only the mean.

    Args:
        name: what the number is called in prose and verdicts, such as `vit.accuracy`.
        value: a finite number, or a sequence of them, one per seed.
        low: the smallest value that the claim allows.
        high: the largest value that the claim allows; low < high.
        unit: shown after the number.
        digits: decimal places; a mean too small for them is written as 1.2e-08.
        recorded: the values come from `recorded(...)`, which is then shown.

    Raises:
        EvidenceError: when a value lies outside the band.
        ValueError: when the name is malformed, a value is missing or not finite, or the band is empty.

    Example:
        >>> measure("coin.heads", [0.49, 0.51, 0.50], low=0.45, high=0.55, digits=2)
        coin.heads ≈ 0.50±0.01 (3 seeds)
    """
    if not re.fullmatch(r"\w+(\.\w+)*", name):
        raise ValueError(f"a measured name is words joined by dots, not {name!r}")
    if not low < high:
        raise ValueError(f"{name}: the band needs low < high, not low={low} and high={high}")
    values = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name}: expected a number or one number per seed, not shape {np.shape(value)}")
    for index, number in enumerate(values.tolist()):
        if not math.isfinite(number):
            raise ValueError(f"{name}: {number} at seed index {index} is not a finite number")
        if not low <= number <= high:
            raise EvidenceError(f"{name}: {number:.6g} at seed index {index} lies outside the band {low} to {high}")
    _measured[name] = record = {
        "name": name,
        "values": values.tolist(),
        "mean": float(values.mean()),
        "spread": spread(values.tolist()),
        "n": len(values),
        "low": float(low),
        "high": float(high),
        "unit": unit,
        "digits": digits,
        "recorded": recorded,
    }
    _show({"text/plain": _described(record)}, {"measure": record})


def verdict(claim, decision, *, en, zh, evidence, basis="measured") -> None:
    """Close a claim: draw its card in both languages and keep the record in the output's metadata.

    The texts are plain sentences. `[name](https://...)` makes a link; `{vit.accuracy}`, `{vit.accuracy:.1}` (decimals)
    or `{vit.accuracy:.0%}` puts in a measured mean, so that a number in a verdict cannot go stale either.

    Args:
        claim: an id of `chapters/claims.toml`, such as `4b`.
        decision: `supported`, `qualified` or `not supported`.
        en: the reason in English.
        zh: the same in Chinese, with the same links and measured numbers.
        evidence: names measured in this notebook.
        basis: `measured` (one of the evidence over at least 3 seeds), `exact` (counted or proved: no seed involved) or
            `published` (only a primary source can speak: both texts link to it).

    Raises:
        ValueError: when any of this does not hold.
    """
    with CLAIMS.open("rb") as file:
        claims = {entry["id"]: entry for entry in tomllib.load(file)["claim"]}
    if claim not in claims:
        raise ValueError(f"claim {claim!r} is not in {CLAIMS.name}")
    _refuse_unfounded(claim, decision, en, zh, evidence, basis)
    record = {
        "claim": claim,
        "decision": decision,
        "basis": basis,
        "en": PLACE.sub(_filled, en),
        "zh": PLACE.sub(_filled, zh),
        "evidence": [_measured[name] for name in evidence],
    }
    bundle = {"text/plain": _card_text(record, claims[claim]), "text/html": _card_html(record, claims[claim])}
    _show(bundle, {"verdict": record})


def _refuse_unfounded(claim, decision, en, zh, evidence, basis) -> None:
    if decision not in DECISIONS:
        raise ValueError(f"claim {claim}: decision {decision!r} is none of {', '.join(DECISIONS)}")
    if basis not in BASES:
        raise ValueError(f"claim {claim}: basis {basis!r} is none of {', '.join(BASES)}")
    if isinstance(evidence, str):
        raise ValueError(f"claim {claim}: evidence is a list of names, not the text {evidence!r}")
    if not en.strip() or not zh.strip():
        raise ValueError(f"claim {claim}: the reason is needed in both languages")
    for name in [*evidence, *(place[1] for place in PLACE.finditer(en + zh))]:
        if name not in _measured:
            raise ValueError(f"claim {claim}: {name!r} was not measured in this notebook")
    for what, pattern in (("links", LINK), ("measured numbers", PLACE)):
        in_en, in_zh = (sorted(m[2] if pattern is LINK else m[0] for m in pattern.finditer(t)) for t in (en, zh))
        if in_en != in_zh:
            raise ValueError(f"claim {claim}: {what} differ between the languages: {in_en} and {in_zh}")
    if basis == "published":
        if not LINK.search(en):
            raise ValueError(f"claim {claim}: a published basis needs a link [name](https://...) in both languages")
    elif not evidence:
        raise ValueError(f"claim {claim}: basis {basis!r} needs evidence")
    elif basis == "measured" and max(_measured[name]["n"] for name in evidence) < 3:
        raise ValueError(f"claim {claim}: none of the evidence has 3 seeds or more")


def _number(value, digits, mean) -> str:
    tiny = mean != 0 and abs(mean) < 0.5 * 10**-digits
    return f"{value:.1e}" if tiny else f"{value:,.{digits}f}"


def _described(record) -> str:
    """Write a record as `name ≈ mean±spread unit (n seeds)`."""
    number = _number(record["mean"], record["digits"], record["mean"])
    if record["n"] > 1:
        number += "±" + _number(record["spread"], record["digits"], record["mean"])
    notes = [f"{record['n']} seeds"] * (record["n"] > 1) + ["recorded"] * record["recorded"]
    words = [record["name"], "≈", number, record["unit"], f"({', '.join(notes)})" if notes else ""]
    return " ".join(word for word in words if word)


def _filled(place) -> str:
    """Turn a `{name:.0%}` into `≈ 87 %`."""
    record = _measured[place[1]]
    if place[3]:
        return f"≈ {100 * record['mean']:,.{place[2]}f} %"
    digits = int(place[2] or record["digits"])
    return f"≈ {_number(record['mean'], digits, record['mean'])} {record['unit']}".strip()


def _card_text(record, claim) -> str:
    decision, (basis_en, basis_zh) = record["decision"], BASES[record["basis"]]
    return "\n".join(
        [
            f"{claim['id']} {claim['text_en']} · {claim['text_zh']}",
            f"{decision} ({basis_en}) · {DECISIONS[decision]}（{basis_zh}）",
            record["en"],
            record["zh"],
            *(_described(evidence) for evidence in record["evidence"]),
        ]
    )


def _card_html(record, claim) -> str:
    decision, (basis_en, basis_zh) = record["decision"], BASES[record["basis"]]
    colour = {"supported": "#009E73", "qualified": "#E69F00", "not supported": "#D55E00"}[decision]

    def half(language, label, said, text, basis):
        linked = LINK.sub(r'<a href="\2">\1</a>', html.escape(record[language]))
        linked = SHOWN.sub(r'<span style="white-space: nowrap">\g<0></span>', linked)
        return (
            f'<div lang="{language}"><p><strong>{label}</strong> {html.escape(text)}</p>'
            f"<p><strong>{said}</strong>{basis}</p><p>{linked}</p></div>"
        )

    evidence = "".join(f"<li>{html.escape(_described(one))}</li>" for one in record["evidence"])
    look = f"border-left: 4px solid {colour}; padding: 0.2em 1em; margin: 1em 0; background: rgba(128, 128, 128, 0.1)"
    return (
        f'<div class="claim-card claim-{decision.replace(" ", "-")}" id="claim-{claim["id"]}" style="{look}">'
        + half("en", f"Claim {claim['id']}", decision.capitalize(), claim["text_en"], f" ({basis_en})")
        + half("zh", f"论断 {claim['id']}", DECISIONS[decision], claim["text_zh"], f"（{basis_zh}）")
        + (f'<ul class="claim-evidence">{evidence}</ul>' if evidence else "")
        + "</div>"
    )


def _show(bundle, record) -> None:
    """Display the bundle with the record in its metadata; outside a notebook print its text."""
    if InteractiveShell.initialized():
        display(bundle, raw=True, metadata={"attention_highlights": record})
    else:
        print(bundle["text/plain"])


if __name__ == "__main__":
    main()
