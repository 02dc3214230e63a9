"""The text of a canary's act: the manifest of its bundle, which share of the keys it decides for, and their seed. Pure.

The seed is in the text, so that every process has the same keys by the content alone, whichever act names it.
"""

from __future__ import annotations

import argparse

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from weir.inference.published.act import Kind
from weir.schemas.errors import Refused

SHARE_MAX = 0.5
"""One that decides for most is no canary: promote it."""


class CanaryText(BaseModel):
    """What is published of a canary.

    Attributes:
        manifest: the text of the bundle's ``manifest.json``.
        share: of the keys.
        seed: says which ones; 32 hexadecimal digits, drawn for each canary.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: str
    share: float = Field(gt=0.0, le=SHARE_MAX)
    seed: str = Field(pattern=r"^[0-9a-f]{32}$")


def parse_canary(text: str) -> CanaryText:
    """Read the text of a canary.

    Raises:
        Refused: it is none.
    """
    try:
        return CanaryText.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "$"
        raise Refused(
            f"canary: expected a manifest, a seed and a share above 0, up to {SHARE_MAX:.0%}, found at {where:.60}: "
            f"{first['msg'].lower():.120}"
        ) from None


def parse_share(text: str) -> float:
    """Read a share of the keys from a flag, such as 5% or 0.05."""
    value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 < value <= SHARE_MAX:
        raise argparse.ArgumentTypeError(f"expected a share above 0, up to {SHARE_MAX:.0%}, found {text}")
    return value


def manifest_of(kind: Kind, text: str) -> str:
    """Return the manifest in the text of a model's act.

    Raises:
        Refused: the text is no canary's, of one.
    """
    return parse_canary(text).manifest if kind == "canary" else text
