"""Settings of what is published: see docs/rules.md."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from weir.infra.setting_values import FourEyes


class PublishingSettings(BaseModel):
    """How far rules, lists and thresholds that are published may go, by a trial on the archived past."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trial_days: int = Field(default=30, ge=1, le=3_650)
    """Of which decisions they are tried."""
    declined_points_max: float = Field(default=0.5, ge=0, le=100)
    """By so many percentage points the share declined may grow."""
    good_hurt_percent_max: float = Field(default=20.0, ge=0, le=1_000_000)
    """So many percent more good events may be declined, by labels that have matured."""
    four_eyes: FourEyes = ()
    """A JSON list of ``rules``, ``allow`` and ``lists``: what one person proposes there, another has to approve."""
