"""What a request's headers say of its body: JSON in plain UTF-8, or of an upload a file, and nothing compressed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii"})
_CODINGS = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress"})
"""Content codings that an answer names; another could be anything."""


_JSON = frozenset({"application/json"})


def read_kind(headers: Mapping[str, str]) -> str:
    """Return the media type of a body, without its parameters.

    >>> read_kind({"content-type": "Text/CSV; charset=utf-8"})
    'text/csv'
    """
    return headers.get("content-type", "").lower().partition(";")[0].strip()


def find_wrong_content(headers: Mapping[str, str], kinds: Collection[str] = _JSON) -> tuple[str, str] | None:
    """Return code and message of what is wrong with a body by its headers, or nothing.

    >>> find_wrong_content({"content-type": "application/json", "content-encoding": "gzip"})
    ('unsupported_encoding', 'expected a body as it is, found content-encoding gzip')
    """
    parameters = headers.get("content-type", "").lower().partition(";")[2]
    # a browser may send text/plain from any page; application/json it has to ask for first, and is refused
    if read_kind(headers) not in kinds:
        return "unsupported_media_type", f"expected content-type {' or '.join(sorted(kinds))}"
    charset = parameters.partition("charset=")[2].partition(";")[0].strip(" \"'")
    if charset not in _CHARSETS:
        return "unsupported_encoding", "expected charset utf-8, found another"
    coding = headers.get("content-encoding", "").strip().lower()
    if coding not in {"", "identity"}:
        found = coding if coding in _CODINGS else "another"
        return "unsupported_encoding", f"expected a body as it is, found content-encoding {found}"
    return None
