"""The built site for those who see, hear or read it otherwise: what axe-core finds, and the contrast of coloured code.

A file of its own, so that another worker takes it than the rest of the site's tests.
"""

from axe_playwright_python.sync_playwright import Axe
from site_browser import DESKTOP, PHONE

# Inline formulas have the colour of their text, and coloured code has a test of its own: thousands of elements less.
# The rule left out takes a column headed by a formula for one without a head.
PLAIN = """() => {
  for (const formula of document.querySelectorAll("article :not(.math-block) > .katex")) formula.remove();
  for (const code of document.querySelectorAll("article pre")) code.textContent = code.textContent;
}"""
RUN_AXE = """() => axe.run({
  resultTypes: ["violations"], rules: {"empty-table-header": {enabled: false}, "color-contrast": {enabled: false}}
})"""
# Contrast costs most of axe's time. Of all elements that look alike one is enough.
RUN_CONTRAST = """() => {
  const looks = new Map(), clear = "rgba(0, 0, 0, 0)";
  for (const element of document.querySelectorAll("body *")) {
    if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
    if (!element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    let ground = element;
    while (ground.parentElement && getComputedStyle(ground).backgroundColor === clear) ground = ground.parentElement;
    const ink = getComputedStyle(element), paper = getComputedStyle(ground).backgroundColor;
    const kinds = [element, element.parentElement].map(one => [one.tagName, one.className]);
    const look = [kinds, ink.color, ink.fontSize, ink.fontWeight, paper].join();
    if (!looks.has(look)) looks.set(look, element);
  }
  return axe.run([...looks.values()], {resultTypes: ["violations"], runOnly: ["color-contrast"]});
}"""


def test_accessibility(visit, pages, chapter):
    """axe-core finds nothing: each page with both languages, one chapter in each language; contrast light and dark."""
    looks = [(f"chapters/{chapter}", *look) for look in (("en", PHONE), ("zh", DESKTOP), ("both", PHONE))]
    for path, language, viewport in [*looks, *((path, "both", DESKTOP) for path in [*pages, "search.html"])]:
        with visit(f"{path}?lang={language}&q=softmax", viewport=viewport) as page:
            page.evaluate(PLAIN)
            page.evaluate(Axe().axe_script)
            found = page.evaluate(RUN_AXE)["violations"]
            for colours in ("light", "dark"):
                page.emulate_media(color_scheme=colours)
                found += page.evaluate(RUN_CONTRAST)["violations"]
            short = [(rule["id"], [node["html"][:120] for node in rule["nodes"][:3]]) for rule in found]
            assert not short, (path, language, viewport)


def test_coloured_code_is_legible(visit, notebooks):
    """Each kind of token has a contrast of 4.5 or more (WCAG AA) with what it stands on, light and dark."""
    contrasts = """() => {
      const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
      const light = colour => {
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(
          part => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const ground = light(getComputedStyle(document.querySelector(".cell_input .highlight")).backgroundColor);
      const tokens = [...document.querySelectorAll(".cell_input .highlight span[class]")];
      return [...new Map(tokens.map(token => [token.className, token]))].map(([kind, token]) => {
        const ink = light(getComputedStyle(token).color);
        return [kind, (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05)];
      });
    }"""
    for notebook in notebooks:
        with visit(f"chapters/{notebook.stem}.html") as page:
            for colours in ("light", "dark"):
                page.emulate_media(color_scheme=colours)
                tokens = dict(page.evaluate(contrasts))
                assert len(tokens) > 5
                assert not {kind: ratio for kind, ratio in tokens.items() if ratio < 4.5}, (notebook.stem, colours)
