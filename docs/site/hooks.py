"""How the site is made: its pages lie where they lie in the repository, so every link of one holds in the other.

MkDocs reads one folder, and the README is not in it. So the files that the site has are linked into a folder of the
same layout under ``build/`` first. Nothing of a page is loaded from another host: the drawings' library comes from a
locked package, and a page that asks for anything else ends the build.
"""

from __future__ import annotations

import re
import shutil
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).resolve().parents[2]
STAGED = ROOT / "build" / "docs-source"
TREES = ("docs", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "tests/README.md")
LINKED = ("LICENSE", "monitoring/alerts.yml")
"""Files that pages link to and that are no pages: a reader of the site gets them as they are."""
DRAWER = "assets/mermaid.min.js"
_TAGS = r"<(?:script|img|iframe|link|source)\b[^>]*?\b(?:src|href|srcset)="
_LOADS = re.compile(_TAGS + r"""["']?((?:https?:)?//[^"'\s>]+)""")
_STYLE_LOADS = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


def on_config(config: Any) -> Any:
    """Link the files of the site into one folder, and name each page of the folders in its table of contents."""
    shutil.rmtree(STAGED, ignore_errors=True)
    for name in (*TREES, *LINKED):
        (STAGED / name).parent.mkdir(parents=True, exist_ok=True)
        (STAGED / name).symlink_to(ROOT / name)
    drawer = STAGED / DRAWER
    drawer.parent.mkdir()
    drawer.write_bytes(files("mermaidx").joinpath("assets", "mermaid.js").read_bytes())
    config.docs_dir = str(STAGED)
    config.nav = [expand(entry) for entry in config.nav]
    return config


def expand(entry: Any) -> Any:
    """Return an entry of the table of contents with the pages of a folder in the place of its name."""
    if isinstance(entry, list):
        return [expand(each) for each in entry]
    if isinstance(entry, dict):
        return {title: expand(each) for title, each in entry.items()}
    return pages_of(entry) if entry.endswith("/") else entry


def pages_of(folder: str) -> list[str]:
    """Return the pages of a folder in the order of their names, its own page first."""
    names = sorted(path.name for path in (ROOT / folder).glob("*.md"))
    return [f"{folder}{name}" for name in sorted(names, key=lambda name: name != "README.md")]


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Give a page with drawings the library that draws them; the theme would ask another host for it."""
    del config
    if 'class="mermaid"' not in output:
        return output
    up = "../" * len(PurePosixPath(page.url).parts)
    return output.replace("</head>", f'<script src="{up}{DRAWER}"></script></head>', 1)


def on_post_build(config: Any) -> None:
    """Refuse a site of which a page or a style loads something from another host."""
    site = Path(config.site_dir)
    found = [f"{path.relative_to(site)}: {url}" for path in sorted(site.rglob("*")) for url in loaded(path)]
    if found:
        raise PluginError(f"expected pages that load nothing from other hosts, found {'; '.join(found)}")


def loaded(path: Path) -> list[str]:
    """Return the addresses of other hosts that a file of the site loads something from."""
    pattern = {".html": _LOADS, ".css": _STYLE_LOADS}.get(path.suffix)
    return pattern.findall(path.read_text()) if pattern and path.is_file() else []
