"""What a committed notebook must keep to: each rule gives a list of problems, empty when it is kept."""

import ast
import io
import re
import tokenize

from prose_rules import CJK, UNFINISHED, repeated, typography

from _ext.pairs import drift

BANNED = re.compile(
    r"sys\.path|^\s*[!%]|os\.chdir|from \S+ import \*|\burlopen\b|\brequests\."
    r"|warnings\.(?:filterwarnings|simplefilter)|\btqdm\b",
    re.M,
)
LOCAL = re.compile(r"(?<![\w:/.<>])/[A-Za-z][\w.-]*/[\w.-]+|\b[A-Z]:\\|ipykernel_\d+|\b0x[0-9a-f]{8,}")
NUMBER = r"[-−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
QUANTITY = re.compile(rf"({NUMBER})(?:\s?±\s?({NUMBER}))?(?:\s?(%|×|[A-Za-zµ/]+))?")


def source(cell):
    return "".join(cell["source"])


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def markdown(notebook):
    return "\n\n".join(source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell["outputs"]]


def texts(output):
    """Every text of an output: what it printed and its plain and HTML forms."""
    data = output.get("data", {})
    found = [output.get("text", ""), *(data[kind] for kind in data if kind.startswith(("text/", "image/svg")))]
    return ["".join(text) for text in found]


def records(notebook, kind):
    """The records of `measure` or `verdict` in the outputs' metadata."""
    found = (output.get("metadata", {}).get("attention_highlights", {}).get(kind) for output in outputs(notebook))
    return [record for record in found if record]


def stored_as_run(notebook):
    """Executed in order from a fresh kernel, with nothing that went wrong."""
    cells, found = code_cells(notebook), []
    if [cell["execution_count"] for cell in cells] != list(range(1, len(cells) + 1)):
        found.append("not stored as run in order from a fresh kernel")
    if notebook["metadata"].get("kernelspec", {}).get("name") != "python3":
        found.append("the kernelspec is not python3")
    for cell in cells:
        for output in cell["outputs"]:
            if output["output_type"] == "error" and "raises-exception" not in cell["metadata"].get("tags", []):
                found.append(f"a stored error: {output['ename']}")
            if output.get("name") == "stderr":
                found.append(f"stored stderr: {''.join(output['text'])[:60]!r}")
            found += [f"of this machine: {match[0]!r}" for text in texts(output) for match in LOCAL.finditer(text)]
    return found


def plain_code(notebook):
    """Short cells without banned lines, comments in English, and something of lib in them."""
    found = []
    for cell in code_cells(notebook):
        code = source(cell)
        if not code.strip():
            found.append("an empty code cell")
        if len(code.splitlines()) > 30:
            found.append(f"a code cell of {len(code.splitlines())} lines")
        found += [f"banned: {match[0].strip()!r}" for match in BANNED.finditer(code)]
        found += [f"unfinished: {word}" for word in UNFINISHED.findall(code)]
        found += [f"a comment in Chinese: {comment}" for comment in _comments(code) if re.search(CJK, comment)]
    if not re.search(r"^(?:from|import) lib\b", "\n".join(map(source, code_cells(notebook))), re.M):
        found.append("does not import lib")
    return found


def _comments(code):
    try:
        return [
            token.string
            for token in tokenize.generate_tokens(io.StringIO(code).readline)
            if token.type == tokenize.COMMENT
        ]
    except (tokenize.TokenError, SyntaxError):  # a magic line, which is banned anyway
        return []


def figures(notebook):
    """At least one figure, and for each an alternative text in both languages."""
    cells = [
        cell
        for cell in code_cells(notebook)
        if any(kind.startswith("image/") for output in cell["outputs"] for kind in output.get("data", {}))
    ]
    found = [] if cells else ["no figure"]
    for cell in cells:
        text = cell["metadata"].get("alt", {})
        if len(text.get("en", "")) < 20 or len(re.findall(CJK, text.get("zh", ""))) < 8:
            found.append(f"a figure without alternative text in both languages: {source(cell)[:40]!r}")
    return found


def measured(notebook):
    """Something is measured, each name once, and each `≈ x` of an output and each quoted number is of a record."""
    known = {record["name"]: record for record in records(notebook, "measure")}
    found = [] if known else ["nothing is measured"]
    found += [f"{name} is measured twice" for name in repeated(one["name"] for one in records(notebook, "measure"))]
    for text in {text for output in outputs(notebook) for text in texts(output)}:
        for token in re.finditer(rf"≈ ?(?:({NUMBER}(?:±{NUMBER})?(?: ?%)?)|\S+)", text):
            if not any(agrees(token[1] or "", record) for record in known.values()):
                found.append(f"{token[0]!r} stems from no record of this chapter")
    return found


def quoted(notebook):
    """Prose quotes measured numbers as `<data>`, and each agrees with its record at the precision shown."""
    known = {record["name"]: record for record in records(notebook, "measure")}
    prose, found = markdown(notebook), []
    for name, text in re.findall(r'<data value="([^"]*)">(.*?)</data>', prose, re.S):
        if name not in known:
            found.append(f"{name} is quoted but not measured")
        elif not agrees(text, known[name]):
            found.append(f"{name} is quoted as {text!r}, measured {known[name]['mean']:.6g}")
    bare = re.sub(r"<data.*?</data>|```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|https?:\S+|<[^>]*>", " ", prose, flags=re.S)
    found += [f"write a measured number as <data>: {match[0]!r}" for match in re.finditer(r"[≈±]\s?\d\S*", bare)]
    bare += " ".join(re.sub(r"≈ \S+(?: %)?", "", one["en"] + " " + one["zh"]) for one in records(notebook, "verdict"))
    for match in re.finditer(r"(?<![\w.])(?:\d+\.\d+(?!\.?\d)(?:\s?%)?|\d{2,}\s?%)", bare):
        if len(re.sub(r"\D", "", match[0]).lstrip("0")) >= 2:
            owners = [name for name, record in known.items() if agrees(match[0], record)]
            found += [f"{match[0]!r} is the measured {name}: quote it by its name" for name in owners]
    return found


def agrees(text, record):
    """Whether a quoted quantity is the record's mean (and spread) at the precision shown, in its unit."""
    match = QUANTITY.fullmatch(" ".join(text.split()))
    if not match:
        return False
    mean, spread, unit = match.groups()
    scale = 100 if unit == "%" and record["unit"] != "%" else 1
    if scale == 1 and unit not in (None, record["unit"]) and not (unit == "×" and not record["unit"]):
        return False
    return _near(mean, scale * record["mean"]) and (spread is None or _near(spread, scale * record["spread"]))


def _near(shown, value):
    digits, _, exponent = shown.replace(",", "").replace("−", "-").partition("e")
    places = len(digits.partition(".")[2]) - int(exponent or 0)
    return abs(float(digits) * 10 ** int(exponent or 0) - value) <= 0.5000001 * 10.0**-places


def verdicts(notebook):
    """Each verdict stands on records of its own chapter and says the same in both languages."""
    known = {record["name"]: record for record in records(notebook, "measure")}
    found = []
    for record in records(notebook, "verdict"):
        claim, names = record["claim"], [one["name"] for one in record["evidence"] if known.get(one["name"]) != one]
        found += [f"the verdict on {claim} stands on {name} as this chapter has not measured it" for name in names]
        found += [f"the verdict on {claim}: {one}" for one in drift(record["en"], record["zh"])]
        found += [f"the verdict on {claim}: {one}" for one in typography(record["zh"])]
    return found


def definitions(notebook):
    """The names of the functions and classes that a notebook defines at top level."""
    trees = [ast.parse(source(cell)) for cell in code_cells(notebook)]
    return [node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]


RULES = [stored_as_run, plain_code, figures, measured, quoted, verdicts]
