"""What a request's headers say of its body: only JSON in plain UTF-8 is read."""

from __future__ import annotations

from collections.abc import Mapping

_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii"})
_CODINGS = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress"})
"""Content codings that an answer names; another could be anything."""


def find_wrong_content(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Return code and message of what is wrong with a body by its headers, or nothing.

    >>> find_wrong_content({"content-type": "application/json", "content-encoding": "gzip"})
    ('unsupported_encoding', 'expected a body as it is, found content-encoding gzip')
    """
    kind, _, parameters = headers.get("content-type", "").lower().partition(";")
    # a browser may send text/plain from any page; application/json it has to ask for first, and is refused
    if kind.strip() != "application/json":
        return "unsupported_media_type", "expected content-type application/json"
    charset = parameters.partition("charset=")[2].partition(";")[0].strip(" \"'")
    if charset not in _CHARSETS:
        return "unsupported_encoding", "expected charset utf-8, found another"
    coding = headers.get("content-encoding", "").strip().lower()
    if coding not in {"", "identity"}:
        found = coding if coding in _CODINGS else "another"
        return "unsupported_encoding", f"expected a body as it is, found content-encoding {found}"
    return None
