"""Who revoked a key; of keys that were revoked before, nobody is known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column."""
    op.add_column("api_keys", sa.Column("revoked_by", sa.String(200)))
