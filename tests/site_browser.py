"""What the tests of the site share: one strict build, a server on this computer, and a real browser."""

import gzip
import os
import re
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from _ext import build, serve

ROOT = Path(__file__).parent.parent
QUIET = ("background-networking", "component-update", "sync", "gpu", "quic")
FLAGS = ["--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in QUIET)]
DESKTOP, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
LANGUAGES = ("en", "zh", "both")
CONTENTS = re.findall(r"(?:file|root): (\S+)", (ROOT / "_toc.yml").read_text(encoding="utf-8"))
PAGES = [*(f"{name}.html" for name in CONTENTS), "search.html"]
HAN = re.compile(r"[\u3400-\u9fff]")
THREE_WORDS = re.compile(r"[A-Za-z]{3,} [A-Za-z]{3,} [A-Za-z]{3,}")

# Every text that is seen, with the language that it is marked with, or "". Code, mathematics and the names in the
# glossary belong to no language.
SEEN = """(selector) => {
  const found = [];
  for (const root of document.querySelectorAll(selector)) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const parent = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
      if (!text || parent.closest("pre, code, .katex, .keep, script, style, .claim-evidence")) continue;
      if (parent.checkVisibility()) found.push([text, parent.closest("body [lang]")?.lang || ""]);
    }
  }
  return found;
}"""
CHROME = "header, nav, footer, summary, h1, h2, h3, h4"
WATCH = """new PerformanceObserver(list => {
  for (const shift of list.getEntries()) window.jumped = (window.jumped || 0) + shift.value;
}).observe({type: "layout-shift", buffered: true})"""


@pytest.fixture(scope="session")
def site():
    """The folder of the site, built from scratch once a test run, whatever the number of workers."""
    folder = ROOT / "_build" / "test"
    folder.parent.mkdir(exist_ok=True)
    stamp, run = folder / "run", os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    with FileLock(folder.with_suffix(".lock")):
        if not stamp.exists() or stamp.read_text() != run:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            repository = os.environ.pop("BOOK_REPOSITORY", None)
            assert build.build(folder) == 0, "the site does not build without a warning: see above"
            if repository is not None:
                os.environ["BOOK_REPOSITORY"] = repository
            stamp.write_text(run)
    return folder / "_build" / "html"


@pytest.fixture(scope="session")
def notebooks(site):
    """The files of all chapters that are notebooks, as the site offers them."""
    return sorted((site / "_sources" / "chapters").glob("*.ipynb"))


@pytest.fixture(scope="session")
def chapter(notebooks):
    """The file name of one chapter's page."""
    return notebooks[-1].with_suffix(".html").name


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium; skipped where there is none, except in CI."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if program is None:
        how = "no Chromium: install it (apt install chromium, brew install chromium) or set CHROMIUM to its path"
        pytest.fail(how) if os.environ.get("CI") else pytest.skip(how)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def address(site):
    """The address at which the site is served, with a final slash."""
    server = serve.make_server(site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def visit(browser, address):
    """Open a page in a fresh browser profile: `with visit("chapters/index.html", viewport=PHONE) as page`."""

    @contextmanager
    def opened(path, **profile):
        context = browser.new_context(**{"viewport": DESKTOP, "locale": "en-GB", **profile})
        page = context.new_page()
        page.problems, page.bytes, page.elsewhere = [], {}, []
        page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("requestfailed", lambda request: page.problems.append(f"failed: {request.url}"))
        page.on("request", lambda request: _note_request(page, request, address))
        page.on("response", lambda response: _note_response(page, response))
        try:
            page.goto(address + path, wait_until="load")
            yield page
        finally:
            context.close()

    return opened


def _note_request(page, request, address):
    if not request.url.startswith((address, "data:")):
        page.elsewhere.append(request.url)


def _note_response(page, response):
    if response.status >= 400:
        page.problems.append(f"{response.status}: {response.url}")
    page.bytes[response.url] = response


def weight(page):
    """Return how many bytes a page needs when its texts travel compressed."""
    page.wait_for_load_state("networkidle")
    compressed = {url: response.body() for url, response in list(page.bytes.items())}
    return sum(
        len(body) if url.endswith((".woff2", ".png")) else len(gzip.compress(body)) for url, body in compressed.items()
    )


def jumped(page):
    """Return how far the page has jumped since it was opened, as the browser counts it (cumulative layout shift)."""
    page.evaluate(WATCH)
    page.wait_for_load_state("networkidle")
    return page.evaluate("window.jumped || 0")


def choose(page, language):
    """Press the switch."""
    page.locator(f".languages button[data-language={language}]").click()


def seen(page, selector="body"):
    """Return every text that is seen, each with its language."""
    return page.evaluate(SEEN, selector)
