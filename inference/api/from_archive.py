"""What is answered from the archive: in threads of their own, so that its process keeps no other request waiting."""

from __future__ import annotations

from collections.abc import Callable

from anyio import CapacityLimiter, to_thread
from fastapi.responses import Response

from weir.inference.api.answers import answer_error
from weir.schemas.errors import Transient

THREADS_MAX = 16
"""More than may wait (``archive/search/worker.py``), so that one too many is refused and does not wait."""
ERRORS = ("no_archive", "busy", "unavailable", "damaged", "refused")
_NO_ARCHIVE = "no decision of this stream is archived: `weir archive` archives them"


class FromArchive:
    """Asks the archive for one stream."""

    def __init__(self) -> None:
        """Ask nothing yet."""
        self._limiter: CapacityLimiter | None = None

    async def ask(self, ask: Callable[[], bytes | None] | None) -> bytes | Response:
        """Return JSON bytes, or the error that is answered.

        Args:
            ask: waits, and finds nothing where nothing is archived; None in an installation without the archive.
        """
        limiter = self._limiter = self._limiter or CapacityLimiter(THREADS_MAX)  # belongs to the event loop
        try:
            found = None if ask is None else await to_thread.run_sync(ask, limiter=limiter)
        except Transient as error:
            if error.cause != "busy":
                raise
            return answer_error(503, "busy", str(error), {"retry-after": "1"})
        return answer_error(404, "no_archive", _NO_ARCHIVE) if found is None else found
