"""A view of partials on the servers of the tests."""

from __future__ import annotations

from tests.payments import DECLARATIONS_HASH
from weir.infra.redis.client import Client, connect
from weir.infra.redis.state_view import StateView
from weir.infra.settings import Settings


def open_view(own: Settings, client: Client | None = None, declared: str = DECLARATIONS_HASH) -> StateView:
    """Return the view of a deployment whose topics need not exist.

    Args:
        own: settings.
        client: connected for this view by default.
        declared: hash of declarations.
    """
    return StateView(
        client or connect(own.redis),
        cluster=own.cluster,
        group=own.processor.group,
        topic_ids={"t": "x", "l": "y"},
        declarations_hash=declared,
    )
