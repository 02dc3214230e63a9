"""Settings of uploads: see docs/api.md."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class UploadSettings(BaseModel):
    """Files of events that clients of the API have scored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mb_max: int = Field(default=100, ge=1, le=10_240)
    """As large as one file may be."""
    rows_max: int = Field(default=500_000, ge=1, le=100_000_000)
    """As many events as one file may hold."""
    seconds_max: int = Field(default=1_800, ge=1, le=86_400)
    """How long one file may be worked on; one that takes longer fails."""
    kept_max: int = Field(default=20, ge=1, le=10_000)
    """How many uploads a stream keeps; one more is refused until one is deleted or its time is over."""
    keep_hours: int = Field(default=24, ge=1, le=1_440)
    """How long after an upload ended it is kept; its file is deleted as soon as it ended."""
