"""How fast a key may ask."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("api_keys", sa.Column("rate_per_second", sa.Float()))
    op.add_column("api_keys", sa.Column("burst", sa.Integer()))
