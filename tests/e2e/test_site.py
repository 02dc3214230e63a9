"""The site of the documents in a real browser that cannot reach any other site."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import binaries
from tests.e2e.test_docs_page import visit
from tests.house.source import ROOT

SITE = ROOT / "build" / "site"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: what is asked for is in the browser's log."""


@pytest.fixture
def origin() -> Iterator[str]:
    if not (SITE / "index.html").is_file():
        binaries.leave_out(f"expected the site in {SITE.relative_to(ROOT)}, found none; `make docs` builds it")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("page", ["", "docs/architecture/"])
def test_a_page_of_the_site_loads_nothing_from_elsewhere_and_draws_its_drawings(
    page: str, origin: str, tmp_path: Path
) -> None:
    shown, asked, console = visit(f"{origin}/{page}", tmp_path)
    assert [url for url in asked if not url.startswith((f"{origin}/", "data:"))] == []
    assert console == ""
    drawings = (SITE / page / "index.html").read_text().count('<pre class="mermaid">')
    assert drawings == (6 if page else 0)
    assert ("mermaid.min.js" in "".join(asked)) == bool(page)
    assert '<pre class="mermaid">' not in shown  # each was replaced by what it draws
    assert shown.count('<div class="mermaid">') == drawings
