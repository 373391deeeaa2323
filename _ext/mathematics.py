"""Typeset mathematics while the book is built: KaTeX in V8, so that a page needs no script for it."""

import html
from functools import cache
from pathlib import Path

from docutils import nodes
from py_mini_racer import JSEvalException, MiniRacer
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

logger = logging.getLogger(__name__)

KATEX = Path(__file__).parent / "katex" / "katex.min.js"


class MathError(ValueError):
    """KaTeX could not read a formula."""


@cache
def _engine() -> MiniRacer:
    engine = MiniRacer()
    engine.eval(KATEX.read_text(encoding="utf-8"))
    engine.eval(
        "var render = (tex, displayMode) => katex.renderToString("
        "tex, {displayMode, output: 'htmlAndMathml', throwOnError: true, strict: 'error', trust: false})"
    )
    return engine


@cache
def typeset(tex: str, *, display: bool) -> str:
    r"""Return a formula as HTML for the eye and MathML for a screen reader.

    Raises:
        MathError: KaTeX cannot read the formula; the message says where.

    Example:
        >>> "katex-mathml" in typeset(r"q^\top k", display=False)
        True
    """
    try:
        return _engine().call("render", tex, display)
    except JSEvalException as error:
        reason = next((line for line in str(error).splitlines() if "rror:" in line), str(error))
        raise MathError(reason.strip()) from error


def _html(node: nodes.Element, tex: str, *, display: bool) -> str:
    try:
        return typeset(tex, display=display)
    except MathError as error:
        logger.warning("formula %r: %s", tex, error, location=node)
        return html.escape(tex)


def visit_inline(self, node: nodes.math) -> None:
    """Write one inline formula."""
    self.body.append(f'<span class="math">{_html(node, node.astext(), display=False)}</span>')
    raise nodes.SkipNode


def visit_block(self, node: nodes.math_block) -> None:
    """Write one displayed formula with its number, in a box that scrolls by itself."""
    self.body.append(self.starttag(node, "div", "", CLASS="math math-block"))
    if node.get("number"):
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})</span>')
    self.body.append(_html(node, node.astext(), display=True) + "</div>\n")
    raise nodes.SkipNode


def _mark_pages_with_mathematics(_app, _pagename, _template, context, _doctree) -> None:
    context["has_mathematics"] = 'class="katex' in context.get("body", "")


def setup(app) -> None:
    """Register the renderer as `katex`."""
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_block, None))
    app.connect("html-page-context", _mark_pages_with_mathematics)
