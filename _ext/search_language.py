"""Index both languages for the offline search: English words stemmed, Chinese as single characters and bigrams."""

import re
from functools import cache
from typing import ClassVar

from docutils import nodes
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.search.en import SearchEnglish

from _ext.bilingual import HAN

RUN = re.compile(f"[{HAN}]+")
WORD = re.compile(r"\w+")

# The same cut in the browser; a query keeps the pairs only, so that its words must stand next to each other.
JS_HAN = HAN.replace(r"\U00020000-\U0003ffff", r"\u{20000}-\u{3ffff}")
SPLITTER = f"""
function splitQuery(query) {{
  const words = [];
  for (const part of query.match(/[{JS_HAN}]+|[^{JS_HAN}]+/gu) || []) {{
    if (!/[{JS_HAN}]/u.test(part)) words.push(...(part.match(/[\\p{{Letter}}\\p{{Number}}_]+/gu) || []));
    else if ([...part].length === 1) words.push(part);
    else [...part].slice(1).forEach((character, index) => words.push([...part][index] + character));
  }}
  return words;
}}
"""


class EnglishAndChinese(SearchEnglish):
    """English search in which every run of Chinese characters is cut into overlapping pairs."""

    lang = "en-zh"
    language_name = "English and Chinese"
    stopwords: ClassVar[set[str]] = SearchEnglish.stopwords

    js_splitter_code = SPLITTER
    stem = cache(SearchEnglish.stem)  # a word stands in a book many times

    def split(self, text: str) -> list[str]:
        """Return the words of a text.

        Example:
            >>> EnglishAndChinese({}).split("自注意力 scores, 键")
            ['自', '自注', '注', '注意', '意', '意力', '力', 'scores', '键']
        """
        words: list[str] = []
        position = 0
        for run in RUN.finditer(text):
            words += WORD.findall(text[position : run.start()])
            characters = run[0]
            for index, character in enumerate(characters):
                words.append(character)
                words += [characters[index : index + 2]] if index + 1 < len(characters) else []
            position = run.end()
        return words + WORD.findall(text[position:])


class Builder(StandaloneHTMLBuilder):
    """Sphinx's builder, whose index also holds a pair of characters that a link, bold or code divides."""

    def index_page(self, pagename: str, doctree: nodes.document, title: str) -> None:
        """Feed a page to the index, each paragraph in one piece; Sphinx would cut it at every change of markup."""
        page = doctree.deepcopy()
        for block in page.findall(
            lambda node: isinstance(node, nodes.TextElement) and not isinstance(node, nodes.Inline)
        ):
            block.children = whole(block)
        super().index_page(pagename, page, title)


def whole(block: nodes.TextElement) -> list[nodes.Node]:
    """Return the text of a paragraph without its markup; raw HTML stays as it is and divides the text.

    Example:
        >>> parts = nodes.Text("的"), nodes.strong("", "梯度"), nodes.raw("", "<br>"), nodes.Text("。")
        >>> block = nodes.paragraph("", "", *parts)
        >>> [node.astext() for node in whole(block)]
        ['的梯度', '<br>', '。']
    """
    pieces: list[nodes.Node] = []
    for text in block.findall(nodes.Text):
        if isinstance(text.parent, nodes.raw):
            pieces.append(text.parent)
        elif pieces and isinstance(pieces[-1], nodes.Text):
            pieces[-1] = nodes.Text(pieces[-1] + text)
        else:
            pieces.append(text)
    return pieces
