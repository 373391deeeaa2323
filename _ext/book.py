"""The book's Sphinx extension: the theme, what its pages show, and the parts in the modules beside it.

The address of the repository is configured in one place, the environment variable BOOK_REPOSITORY
(https://github.com/OWNER/NAME), with BOOK_BRANCH beside it (`main`). Without it no page links to Colab, Binder or
the source.
"""

import hashlib
import html
import os
import re
from collections.abc import Iterable
from pathlib import Path

from docutils import nodes
from sphinx.errors import ConfigError

from _ext import (
    bilingual,
    book_pages,
    chapter_role,
    claims,
    downloads,
    first_use,
    glossary,
    mathematics,
    notebook,
    references,
    search_language,
)

HERE = Path(__file__).parent
STATIC = HERE.parent / "_static"
CAPTION = re.compile(r'<p class="caption"[^>]*><span class="caption-text">(.*?)</span></p>')
REPOSITORY = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+)")
ADMONITIONS = {
    "Note": "说明",
    "Tip": "提示",
    "Hint": "提示",
    "Important": "重要",
    "Attention": "注意",
    "Caution": "小心",
    "Warning": "警告",
    "Danger": "危险",
    "Error": "错误",
    "See also": "另见",
}
ADMONITION = re.compile(f'(<p class="admonition-title">)({"|".join(ADMONITIONS)})(</p>)')
START_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<script>location.replace("{target}" + location.search + location.hash)</script>
<meta http-equiv="refresh" content="0; url={target}"></head>
<body><p><a href="{target}">{title}</a></p></body></html>
"""


def repository_links(repository: str, branch: str, source: str) -> list[dict[str, str]]:
    """Return the links by which a notebook is run or edited elsewhere; none without a repository.

    Args:
        repository: address of the repository, or "".
        branch: branch that is published.
        source: path of the notebook or page inside the repository.

    Raises:
        ConfigError: the address is not of the form https://github.com/OWNER/NAME.

    Example:
        >>> repository_links("", "main", "chapters/01_introduction.ipynb")
        []
    """
    if not repository:
        return []
    match = REPOSITORY.fullmatch(repository.rstrip("/").removesuffix(".git"))
    if not match:
        raise ConfigError(f"BOOK_REPOSITORY is {repository!r}, but should look like https://github.com/OWNER/NAME")
    name = match[1]
    links = [{"url": f"https://github.com/{name}/edit/{branch}/{source}", "en": "Edit", "zh": "编辑"}]
    if source.endswith(".ipynb"):
        colab = f"https://colab.research.google.com/github/{name}/blob/{branch}/{source}"
        binder = f"https://mybinder.org/v2/gh/{name}/{branch}?urlpath=lab/tree/{source}"
        links = [{"url": colab, "en": "Colab", "zh": "Colab"}, {"url": binder, "en": "Binder", "zh": "Binder"}, *links]
    return links


def _navigation(toctree_html: str | None) -> str:
    """Split the part captions of the chapter list and mark the page that is open."""
    split = CAPTION.sub(
        lambda m: f'<p class="part">{bilingual.title_html(html.unescape(m[1]))}</p>', toctree_html or ""
    )
    return split.replace('<a class="current reference internal"', '<a class="current" aria-current="page"')


def _contents(toc: str) -> str:
    """Return the list of a page's sections without the page's own title."""
    inner = toc[toc.find("</a>") + len("</a>") : toc.rfind("</li>")].strip() if "</a>" in toc else ""
    return inner if inner.startswith("<ul") else ""


def _description(doctree: nodes.document | None) -> str:
    """Return the first English sentence or two of a page."""
    for half in doctree.findall(nodes.container) if doctree else []:
        if "language-en" in half["classes"] and (paragraph := half.next_node(nodes.paragraph)):
            return " ".join(paragraph.astext().split())[:200]
    return "A bilingual course on attention in which every claim is proved by an experiment."


def _notebook_links(app, pagename: str) -> list[dict[str, str]]:
    source = Path(app.env.doc2path(pagename)).relative_to(app.srcdir).as_posix()
    return repository_links(app.config.book_repository, app.config.book_branch, source)


def _page_context(app, pagename: str, _template, context, doctree) -> None:
    """Hand the templates what they show."""
    is_page = pagename in app.env.titles
    context["body"] = _translated(context.get("body", ""))
    site = app.config.html_title
    title = app.env.titles[pagename].astext() if is_page else "Search · 搜索"
    names = bilingual.split_title(title) or (title, title)
    sites = bilingual.split_title(site) or (site, site)
    root = pagename == app.config.root_doc
    context["page_titles"] = {
        "both": site if root else f"{title} | {site}",
        "en": sites[0] if root else f"{names[0]} | {sites[0]}",
        "zh": sites[1] if root else f"{names[1]} | {sites[1]}",
    }
    context["description"] = _description(doctree)
    context["page_contents"] = _contents(context.get("toc", "")) if is_page else ""
    context["notebook_links"] = _notebook_links(app, pagename) if is_page else []
    context["downloads"] = downloads.links(app, pagename)
    context["repository"] = app.config.book_repository
    context["first_paint_script"] = (HERE / "theme" / "first_paint.js").read_text(encoding="utf-8").strip()
    context["has_claims"] = 'id="claims-table"' in context["body"]
    context["version_of"] = _versions()


def _translated(body: str) -> str:
    """Give the words that Sphinx itself writes into a page in both languages."""
    body = body.replace('title="Link to this heading"', bilingual.said("title", "Link to this heading", "本节链接"))
    return ADMONITION.sub(lambda m: m[1] + bilingual.spans(m[2], ADMONITIONS[m[2]]) + m[3], body)


def _versions() -> dict[str, str]:
    """Return a short hash of each style sheet and script, so that a browser never keeps an old one."""
    files = [*STATIC.glob("*.css"), *STATIC.glob("*.js"), STATIC / "katex" / "katex.min.css"]
    return {file.relative_to(STATIC).as_posix(): _hash([file]) for file in files}


def _hash(files: Iterable[Path]) -> str:
    """Return a hash of what some files hold."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()[:12]


def _add_filters(app) -> None:
    filters = app.builder.templates.environment.filters
    app.builder.templates.environment.globals["said"] = bilingual.said
    filters["bilingual"] = bilingual.title_html
    filters["navigation"] = _navigation


def _write_start_page(app, error) -> None:
    """Let the site's bare address lead to the first page, with ?lang= kept."""
    if error is None and app.builder.name == "html":
        target = f"{app.config.root_doc}.html"
        page = START_PAGE.format(title=html.escape(app.config.html_title), target=target)
        Path(app.outdir, "index.html").write_text(page, encoding="utf-8")


# In the order in which their transforms of equal priority run.
PARTS = (
    bilingual,
    notebook,
    mathematics,
    glossary,
    book_pages,
    chapter_role,
    claims,
    downloads,
    first_use,
    references,
)


def setup(app) -> dict[str, bool]:
    """Register the theme, the configuration and the parts."""
    app.add_html_theme("bilingual_book", str(HERE / "theme"))
    app.add_config_value("book_repository", os.environ.get("BOOK_REPOSITORY", ""), "html", str)
    app.add_config_value("book_branch", os.environ.get("BOOK_BRANCH", "main"), "html", str)
    # A change of the extension reads every page again, one of style, script or template writes it again.
    app.add_config_value("book_code", _hash(HERE.glob("*.py")), "env", str)
    app.add_config_value("book_look", _hash([*STATIC.rglob("*.*"), *HERE.glob("theme/*")]), "html", str)
    app.add_config_value("comments_config", {}, "")  # Jupyter Book always passes it on
    app.add_search_language(search_language.EnglishAndChinese)
    app.add_builder(search_language.Builder, override=True)
    for part in PARTS:
        part.setup(app)
    app.connect("builder-inited", _add_filters)
    app.connect("html-page-context", _page_context)
    app.connect("build-finished", _write_start_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
