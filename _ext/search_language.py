"""Index both languages for the offline search: English words stemmed, Chinese as single characters and bigrams."""

import re
from typing import ClassVar

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
