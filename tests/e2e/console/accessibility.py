"""What axe-core says of a page."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


def find_violations(page: Page) -> list[str]:
    """Return what axe-core finds against WCAG AA on a page, each with the element."""
    page.evaluate(AXE)
    found = page.evaluate("rules => axe.run(document, rules)", _RULES)
    assert found["passes"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found["violations"]]
