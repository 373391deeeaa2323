"""The notebooks to take away, as the built site offers them."""

import json
import re

import pytest
from site_browser import PHONE

from _ext import downloads


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_site_holds_every_notebook_in_three_ways(site, notebooks):
    for source in notebooks:
        page = (site / "chapters" / f"{source.stem}.html").read_text(encoding="utf-8")
        links = re.findall(r'href="\.\./([^"]+\.ipynb)"[^>]*? download', page)
        assert links == [f"{downloads.FOLDER}/{source.stem}{ending}.ipynb" for ending in downloads.LANGUAGES.values()]
        for link, language in zip(links, downloads.LANGUAGES, strict=True):
            assert read(site / link) == downloads.in_language(read(source), language)


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_chapter_offers_its_notebook_in_three_ways(visit, notebooks, script):
    source = notebooks[-1]
    with visit(f"chapters/{source.stem}.html", viewport=PHONE, java_script_enabled=script) as page:
        links = page.locator("a[download]")
        addresses = links.evaluate_all("all => all.filter(link => link.checkVisibility()).map(link => link.href)")
        words = [" ".join(text.split()) for text in links.all_inner_texts()]
        assert words == (["English", "中文", "Both"] if script else ["English", "中文", "Both · 双语"])
        for address, language in zip(addresses, ("en", "zh", "both"), strict=True):
            assert page.request.get(address).json() == downloads.in_language(read(source), language)
        assert page.locator(".notebook-links li").count() == 1  # no repository is configured: no other link
