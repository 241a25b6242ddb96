"""The HTML edition: one file, whole, with a target for every link and headers for every table."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from lxml import html as lxml_html

from cnnpaper.files import UserError
from cnnpaper.paper.html import inline_svg, numbered
from tests.paper.conftest import ARMS
from tests.paper.invent import paper


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return paper(tmp_path_factory.mktemp("web"), "html", arms=ARMS).files["paper.html"]


def test_it_is_whole_and_needs_no_network(page: str) -> None:
    assert re.findall(r'(?:src|href)="(?!#|data:)[^"]*"|url\((?!#)', page) == []
    assert "<script" not in page
    tree = lxml_html.fromstring(page)
    ids = tree.xpath("//@id")
    assert len(ids) == len(set(ids))
    links = [href[1:] for href in tree.xpath("//a/@href") if href.startswith("#")]
    assert len(links) > 200
    assert set(links) <= set(ids)


def test_parts_are_numbered_in_order_with_headers_and_languages(page: str) -> None:
    tree = lxml_html.fromstring(page)
    assert [e.text for e in tree.xpath("//h2/span[@class='n']")][:10] == [*"123456789A"]
    captions = [c.text_content() for c in tree.xpath("//figure//caption")]
    shown = [re.match(r"Table\s(\d+)", c) for c in captions]
    assert [int(m[1]) for m in shown if m] == list(range(1, len(captions) + 1))
    tables = tree.xpath("//figure//table")
    assert len(tables) > 10
    for wanted in ("./caption", ".//th[@scope='col']", ".//th[@scope='row']"):
        assert all(item.xpath(wanted) for item in tables), wanted
    assert tree.get("lang") == "en"
    assert "초록" in "".join(tree.xpath("//p[@lang='ko']//text()"))


def test_a_reference_to_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="refers to 'tab:x'"):
        numbered("<p><!--n:tab:x--></p>")


def test_figures_describe_themselves() -> None:
    svg = b'<?xml version="1.0"?><svg width="9pt" height="9pt" viewBox="0 0 360 200"><defs>' \
          b'<path id="m1"/></defs><use href="#m1"/></svg>'  # fmt: skip
    text = inline_svg(svg, "fig:a", "Accuracy", "Four bars & more")
    assert '<title id="fig-a-title">Accuracy</title>' in text
    assert "Four bars &amp; more</desc>" in text
    assert 'id="fig-a-m1"' in text
    assert 'href="#fig-a-m1"' in text
    assert "max-width:450px" in text


AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
REPORT = """axe.run(document, {resultTypes: ["violations"]}).then(found => {
  document.title = "axe: " + JSON.stringify(found.violations.map(v => [v.id, v.nodes[0].html]));
});"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium (Debian: chromium)")
@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core (npm install --no-save axe-core)")
@pytest.mark.parametrize("width", [1200, 500])
def test_axe_finds_no_violation(tmp_path: Path, page: str, width: int) -> None:
    script = f"<script>{AXE.read_text('utf-8')}</script><script>{REPORT}</script></body>"
    file = tmp_path / "page.html"
    file.write_text(page.replace("</body>", script), "utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
               f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900",
               "--virtual-time-budget=60000", file.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert re.findall(r"<title>(axe: .*?)</title>", done.stdout) == ["axe: []"], done.stderr[-500:]
