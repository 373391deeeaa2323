"""Give both languages of a page real nodes with a `lang` attribute.

The source is plain Markdown and HTML (`_ext/pairs.py` describes the format). Here `<div lang="en">` ... `</div>`
becomes a container, two neighbouring halves become one pair, `English · 中文` becomes two spans, and line breaks
between Chinese characters go, since a browser would show them as spaces.
"""

import html
import re

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

logger = logging.getLogger(__name__)

SEPARATOR = " · "
HAN = r"\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
HAS_HAN = re.compile(f"[{HAN}]")
WIDE = re.compile(r"[\u3000-\u3004\u3008-\u3020\u3030\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]")
CHINESE = re.compile(f"[{HAN}“”‘’—…]")
MARKER = re.compile(r'<div lang="(?:en|zh)">|</div>')
DIV = re.compile(r"</?div\b")
OPEN = re.compile(r'<div lang="(en|zh)">\Z')
NUMBER = re.compile(r"\d\d ")  # of a chapter; it belongs to both languages
SUMMARY = re.compile(r"(<summary>)([^<]*)(</summary>)")


class BilingualPair(nodes.General, nodes.Element):
    """The English and the Chinese half of one passage; `rows` is the number of blocks in the longer half."""


def split_title(text: str) -> tuple[str, str] | None:
    """Split `English · 中文` at the last separator whose right side holds Chinese; both keep a chapter's number.

    Example:
        >>> split_title("04 Why divide? · 为什么要除？")
        ('04 Why divide?', '04 为什么要除？')
        >>> split_title("A · B") is None
        True
    """
    position = text.rfind(SEPARATOR)
    while position > 0:
        left, right = text[:position].strip(), text[position + len(SEPARATOR) :].strip()
        if left and HAS_HAN.search(right):
            number = NUMBER.match(left)
            return left, (number[0] if number else "") + right
        position = text.rfind(SEPARATOR, 0, position)
    return None


def spans(english: str, chinese: str) -> str:
    """Return the HTML that shows one or both of two texts, as the reader's language asks."""
    return (
        f'<span lang="en">{english}</span><span class="sep" aria-hidden="true">{SEPARATOR}</span>'
        f'<span lang="zh">{chinese}</span>'
    )


def said(attributes: str, english: str, chinese: str) -> str:
    """Return attributes that hold both texts; the script keeps the one that the reader asked for."""
    english, chinese = html.escape(english), html.escape(chinese)
    both = " ".join(f'{name}="{english}{SEPARATOR}{chinese}"' for name in attributes.split())
    return f'{both} data-said="{attributes}" data-en="{english}" data-zh="{chinese}"'


def title_html(text: str) -> str:
    """Return `English · 中文` as HTML spans, or the escaped text when it holds one language only."""
    halves = split_title(text)
    return spans(html.escape(halves[0]), html.escape(halves[1])) if halves else html.escape(text)


def _language(language: str, *children: nodes.Node) -> nodes.inline:
    return nodes.inline("", "", *children, classes=[f"language-{language}"])  # docutils writes it as lang="..."


def _splice_title(title: nodes.TextElement) -> None:
    """Replace the children of a heading by an English span, a separator and a Chinese span."""
    for index in range(len(title.children) - 1, -1, -1):
        child = title.children[index]
        if not isinstance(child, nodes.Text) or SEPARATOR not in child:
            continue
        left, right = child.rsplit(SEPARATOR, 1)
        after = [nodes.Text(right), *title.children[index + 1 :]]
        if HAS_HAN.search("".join(node.astext() for node in after)):
            before = [*title.children[:index], nodes.Text(left)]
            number = NUMBER.match(before[0])
            if number:
                before[0] = nodes.Text(before[0][number.end() :])
            separator = nodes.inline("", SEPARATOR, classes=["sep"])
            title.clear()
            title.extend([_language("en", *before), separator, _language("zh", *after)])
            if number:
                title.insert(0, nodes.Text(number[0]))
            return


class SplitTitles(SphinxTransform):
    """Headings, folded summaries and the words of the theme's own admonitions in two languages."""

    default_priority = 500

    def apply(self) -> None:
        """Run on one page."""
        for title in list(self.document.findall(nodes.title)):
            _splice_title(title)
        for raw in self.document.findall(nodes.raw):
            text = raw.astext()
            if "<summary>" in text:
                new = SUMMARY.sub(lambda m: m[1] + title_html(html.unescape(m[2].strip())) + m[3], text)
                raw.clear()
                raw += nodes.Text(new)


def _is_unbalanced(text: str) -> bool:
    depth = 0
    for tag in DIV.findall(text):
        depth += -1 if tag == "</div" else 1
        if depth < 0:
            return True
    return depth != 0


def _pieces(raw: nodes.raw) -> list[nodes.Node]:
    """Cut a raw block that opens or closes a half into its markers and what stands between them."""
    text = raw.astext()
    if raw.get("format") != "html" or not _is_unbalanced(text):
        return [raw]
    parts = re.split(f"({MARKER.pattern})", text)
    return [nodes.raw("", part.strip(), format="html") for part in parts if part.strip()]


class PairHalves(SphinxTransform):
    """`<div lang="en">` ... `</div>` becomes a container; neighbouring halves become a pair."""

    default_priority = 510

    def apply(self) -> None:
        """Run on one page."""
        parents = {raw.parent for raw in self.document.findall(nodes.raw) if MARKER.search(raw.astext())}
        for parent in parents:
            if not isinstance(parent, nodes.TextElement):
                children = [piece for child in parent.children for piece in self._cut(child)]
                parent.clear()
                parent.extend(self._pair(self._halves(children)))

    @staticmethod
    def _cut(child: nodes.Node) -> list[nodes.Node]:
        return _pieces(child) if isinstance(child, nodes.raw) else [child]

    def _halves(self, children: list[nodes.Node]) -> list[nodes.Node]:
        done: list[nodes.Node] = []
        half: nodes.container | None = None
        for child in children:
            text = child.astext() if isinstance(child, nodes.raw) else ""
            if opening := OPEN.match(text):
                if half is not None:
                    logger.warning("a half opens inside another half", location=child)
                half = nodes.container(classes=["half", f"language-{opening[1]}"])
                half.source, half.line = self.document.current_source, child.line
            elif text == "</div>" and half is not None:
                done.append(half)
                half = None
            elif half is None:
                done.append(child)
            else:
                half.append(child)
        if half is not None:
            logger.warning("a half is not closed before the next heading or the end of the page", location=half)
            done.append(half)
        return done

    @staticmethod
    def _pair(children: list[nodes.Node]) -> list[nodes.Node]:
        done: list[nodes.Node] = []
        for child in children:
            previous = done[-1] if done else None
            if _is_half(previous, "en") and _is_half(child, "zh"):
                done[-1] = BilingualPair("", previous, child, rows=max(len(previous), len(child)))
            else:
                done.append(child)
        return done


def _is_half(node: nodes.Node | None, language: str) -> bool:
    return isinstance(node, nodes.container) and {"half", f"language-{language}"} <= set(node["classes"])


class JoinChineseLines(SphinxTransform):
    """A line break beside Chinese is no space: not between two characters, not beside full-width punctuation."""

    default_priority = 520

    def apply(self) -> None:
        """Run on one page."""
        for parent in {text.parent for text in self.document.findall(nodes.Text) if "\n" in text}:
            if not isinstance(parent, (nodes.FixedTextElement, nodes.raw, nodes.literal, nodes.math)):
                self._join(parent)

    def _join(self, parent: nodes.Element) -> None:
        children: list[nodes.Node] = []
        for index, child in enumerate(parent.children):
            if isinstance(child, nodes.Text):
                child = nodes.Text(self._joined(parent.children, index))
                if children and isinstance(children[-1], nodes.Text):
                    child = nodes.Text(children.pop() + child)
            children.append(child)
        parent.clear()
        parent.extend(children)

    @staticmethod
    def _joined(siblings: list[nodes.Node], index: int) -> str:
        lines = siblings[index].split("\n")
        before = next((_edge(node, -1) for node in siblings[:index][::-1] if not isinstance(node, nodes.raw)), "")
        after = next((_edge(node, 0) for node in siblings[index + 1 :] if not isinstance(node, nodes.raw)), "")
        out = lines[0]
        for number, line in enumerate(lines[1:], start=1):
            left = out[-1:] or before
            right = line[:1] or (after if number == len(lines) - 1 else "")
            out += ("" if _touching(left, right) else "\n") + line
        return out


def _edge(node: nodes.Node, index: int) -> str:
    """Return the character that a sibling shows at its near end; a formula counts as a Latin letter."""
    text = "x" if isinstance(node, nodes.math) else node.astext()
    return text[index] if text else ""


def _touching(left: str, right: str) -> bool:
    if not left or not right:
        return False
    if WIDE.match(left) or WIDE.match(right):
        return True
    return bool(CHINESE.match(left) and CHINESE.match(right) and HAS_HAN.search(left + right))


class KeepPunctuation(SphinxTransform):
    """A comma behind a short formula stays on its line: a browser may break between the two."""

    default_priority = 530
    longest = 24  # a long formula has to be able to break

    def apply(self) -> None:
        """Run on one page."""
        for formula in list(self.document.findall(nodes.math)):
            parent, place = formula.parent, formula.parent.index(formula)
            following = parent[place + 1] if place + 1 < len(parent) else None
            if len(formula.astext()) > self.longest or not isinstance(following, nodes.Text):
                continue
            if mark := re.match("[，。：；！？、）,.;:)]+", following):
                parent[place + 1] = nodes.Text(following[mark.end() :])
                parent[place] = nodes.inline("", "", formula, nodes.Text(mark[0]), classes=["kept"])


def visit_pair(self, node: BilingualPair) -> None:
    """Write the pair's opening tag; its style tells the side-by-side grid how many rows to line up."""
    self.body.append(f'<div class="pair" style="--rows:{node["rows"]}">\n')


def depart_pair(self, _node: BilingualPair) -> None:
    """Write the pair's closing tag."""
    self.body.append("</div>\n")


def setup(app) -> None:
    """Register the transforms and the node."""
    app.add_node(BilingualPair, html=(visit_pair, depart_pair))
    for transform in (SplitTitles, PairHalves, JoinChineseLines, KeepPunctuation):
        app.add_transform(transform)
