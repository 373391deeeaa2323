"""What notebooks bring: described images that keep their place while they load, boxes for wide tables, folded cells."""

import re
from pathlib import Path

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.transforms import SphinxTransform
from sphinx.util.images import get_image_size
from sphinx.writers.html5 import HTML5Translator

from _ext import bilingual

FOLDED = {"source": ("Code", "代码"), "output": ("Output", "输出"), "outputs": ("Output", "输出")}
SIDES = ("width", "height")
ALT = re.compile(r' alt="[^"]*"')


class DescribeImages(SphinxTransform):
    """Take `alt: {en, zh}` from the metadata of the code cell that drew the image."""

    default_priority = 530

    def apply(self) -> None:
        """Run on one page."""
        for cell in self.document.findall(nodes.container):
            alt = (cell.get("cell_metadata") or {}).get("alt")
            for image in cell.findall(nodes.image) if isinstance(alt, dict) else []:
                image["said"] = dict(alt)


def visit_image(self: HTML5Translator, node: nodes.image) -> None:
    """Write the image as Sphinx does, and add size, late loading and the text in each language."""
    source = Path(self.builder.srcdir, node["uri"])
    size = dict(zip(SIDES, (source.is_file() and get_image_size(source)) or (), strict=False))
    size |= {side: node.attributes.pop(side) for side in SIDES if side in node}
    HTML5Translator.visit_image(self, node)
    # As attributes, which keep the place while it loads and the shape on a narrow screen; Sphinx would write a style.
    more = "".join(f' {side}="{str(length).removesuffix("px")}"' for side, length in size.items())
    more += ' loading="lazy" decoding="async"'
    tag = self.body[-1].replace("<img", "<img" + more, 1)
    if said := node.get("said"):
        tag = ALT.sub(lambda _: f" {bilingual.said('alt', said['en'], said['zh'])}", tag)
    self.body[-1] = tag


class WrapTables(SphinxTransform):
    """Put each table in a box that scrolls by itself on a narrow screen."""

    default_priority = 540

    def apply(self) -> None:
        """Run on one page."""
        for table in list(self.document.findall(nodes.table)):
            box = nodes.container(classes=["table-box"])
            table.parent.replace(table, box)
            box += table


def visit_folded(self: HTML5Translator, node: HideCodeCellNode) -> None:
    """Open the fold of a cell whose code or output the author hides at first."""
    words = FOLDED.get(node["prompt_show"].split()[-1], ("Code and output", "代码与输出"))
    self.body.append(f"<details><summary>{bilingual.spans(*words)}</summary>\n")


def depart_folded(self: HTML5Translator, _node: HideCodeCellNode) -> None:
    """Close the fold."""
    self.body.append("</details>\n")


def setup(app) -> None:
    """Register the transforms and the writers."""
    app.add_node(HideCodeCellNode, override=True, html=(visit_folded, depart_folded))
    app.add_node(nodes.image, override=True, html=(visit_image, HTML5Translator.depart_image))
    app.add_transform(DescribeImages)
    app.add_transform(WrapTables)
