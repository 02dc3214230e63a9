"""What axe-core says of a page, and whether a page is wider than its window."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
_OVERFLOW = """() => {
  const page = document.scrollingElement;
  if (page.scrollWidth <= page.clientWidth) return [];
  const out = [...document.querySelectorAll("body *")]
    .filter((each) => each.getBoundingClientRect().right > page.clientWidth)
    .map((each) => each.outerHTML.slice(0, 160));
  return [`${page.scrollWidth} px wide in ${page.clientWidth}`, ...out.slice(0, 3)];
}"""
_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


def find_violations(page: Page) -> list[str]:
    """Return what axe-core finds against WCAG AA on a page, each with the element."""
    page.evaluate(AXE)
    found = page.evaluate("rules => axe.run(document, rules)", _RULES)
    assert found["passes"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found["violations"]]


def find_overflow(page: Page) -> list[str]:
    """Return how much wider a page is than its window, and elements that stick out; nothing where none does."""
    found = page.evaluate(_OVERFLOW)
    return [str(each) for each in found]
