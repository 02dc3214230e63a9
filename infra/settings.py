"""One frozen ``Settings`` object, read once in ``main`` from flags, environment and the running embedded stack.

Precedence: flags, then ``WEIR_`` environment variables (``__`` between levels), then the addresses that ``weir up``
wrote to ``<home>/stack.env``, then the defaults here. Unknown ``WEIR_`` names are refused, secrets are masked.
Only what differs between deployments is a setting; ``acks=all``, idempotence and ``read_committed`` are constants
in ``infra/kafka.py``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from schemas.errors import Refused

_PREFIX = "WEIR_"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(_Section):
    """Where the brokers are and how to be let in."""

    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    ssl_ca_location: str = ""
    ssl_certificate_location: str = ""
    ssl_key_location: str = ""
    ssl_key_password: SecretStr = SecretStr("")
    session_timeout_ms: int = Field(default=10_000, ge=6_000, le=300_000)
    transaction_timeout_ms: int = Field(default=6_000, ge=1_000, le=120_000)
    """Well under the session timeout: a hanging transaction is aborted before its owner is replaced."""


class RegistrySettings(_Section):
    """The schema registry, by the Confluent API."""

    url: str = "http://127.0.0.1:8081"
    username: str = ""
    password: SecretStr = SecretStr("")
    ssl_ca_location: str = ""
    timeout_seconds: float = Field(default=5.0, gt=0, le=60)


class RedisSettings(_Section):
    """Redis or Valkey, one server or a cluster."""

    url: str = "redis://127.0.0.1:6379/0"
    """Of a cluster, several nodes: ``redis://one:6379,two:6379/0``; the first that answers names the others."""
    username: str = ""
    password: SecretStr = SecretStr("")
    ssl_ca_location: str = ""
    cluster: bool = False
    timeout_seconds: float = Field(default=2.0, gt=0, le=60)

    @model_validator(mode="after")
    def _check_hosts(self) -> RedisSettings:
        if not self.cluster and "," in self.url.partition("://")[2].rpartition("@")[2]:
            raise ValueError("several hosts in url are nodes of a cluster, and cluster is false")
        return self


class TopicSettings(_Section):
    """Topic names, and how they are made where they do not exist."""

    transactions: str = "transactions"
    dlq: str = "transactions.dlq"
    dlq_done: str = "transactions.dlq.done"
    features: str = "features"
    features_dlq: str = "features.dlq"
    decisions: str = "decisions"
    labels: str = "labels"
    labels_dlq: str = "labels.dlq"
    clicks: str = "clicks"
    devices: str = "devices"
    partitions: int = Field(default=4, ge=1, le=256)
    replication_factor: int = Field(default=1, ge=1, le=7)
    retention_days: int = Field(default=60, ge=1)
    """Input and dead letters must outlive the look-back (37 d with the label hold) and 7 days of repair."""


class ProcessorSettings(_Section):
    """The stream processor."""

    group: str = "weir-processor"
    batch_records_max: int = Field(default=8_000, ge=1, le=100_000)
    linger_ms: int = Field(default=5, ge=0, le=1_000)
    """How long a batch that is not full waits for more records, from when its first one is in hand."""
    cache_entities_max: int = Field(default=500_000, ge=10)
    """Ids whose partials are kept in memory per process; it should exceed the entities of a busy hour."""
    cache_mb_max: int = Field(default=512, ge=1)
    """Megabytes of partials kept in memory per process; some 40 bytes for each partial come on top."""
    dlq_header_prefix: str = "__dlq.errors."
    """Of dead letters' header names as they are written; they are read back whatever it was then."""


class ScorerSettings(_Section):
    """The scorer and the decision index."""

    group: str = "weir-scorer"
    index_group: str = "weir-decision-index"
    batch_records_max: int = Field(default=4_000, ge=1, le=100_000)
    linger_ms: int = Field(default=2, ge=0, le=1_000)
    """As the processor's, and shorter: what comes was committed at once, so a wait only joins its partitions."""
    bundle_dir: Path | None = None
    """A model bundle; by default ``<home>/models/champion``."""
    lists_file: Path | None = None
    """JSON with allow and block lists; by default ``<home>/lists.json`` where it exists."""
    decision_ttl_days: int = Field(default=30, ge=1)


class ApiSettings(_Section):
    """The HTTP API. It has no keys yet, so it serves 127.0.0.1 alone."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)


class MonitoringSettings(_Section):
    """Metrics and logs."""

    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    """0 serves no metrics page; ``weir demo`` gives each process its own."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"


class Settings(_Section):
    """Everything that differs between deployments."""

    home: Path = Path(".weir")
    """Data of the embedded servers, models, logs; mode 0700."""
    cluster: str = "local"
    """Names the deployment in every Redis key, so that two can share a server."""
    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    redis: RedisSettings = RedisSettings()
    topics: TopicSettings = TopicSettings()
    processor: ProcessorSettings = ProcessorSettings()
    scorer: ScorerSettings = ScorerSettings()
    api: ApiSettings = ApiSettings()
    monitoring: MonitoringSettings = MonitoringSettings()


def home_dir() -> Path:
    """Return the home folder as the environment names it, without reading anything else."""
    return Path(os.environ.get("WEIR_HOME") or Settings.model_fields["home"].default)


def cache_dir() -> Path:
    """Return where downloads are kept for every home: ``XDG_CACHE_HOME`` or ``~/.cache``, then ``weir``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weir"


def java_home() -> Path | None:
    """Return ``JAVA_HOME`` where it is set."""
    return Path(os.environ["JAVA_HOME"]) if os.environ.get("JAVA_HOME") else None


def stack_env_path(home: Path) -> Path:
    """Return where ``weir up`` writes the addresses of the embedded servers, as ``NAME=value`` lines."""
    return home / "stack.env"


def load_settings(environ: dict[str, str] | None = None) -> Settings:
    """Build the settings of this process.

    Args:
        environ: the environment; ``os.environ`` when ``None``.

    Raises:
        Refused: a value is invalid or a ``WEIR_`` name unknown; the message names it and what was expected.
    """
    given = dict(os.environ if environ is None else environ)
    home = Path(given.get("WEIR_HOME") or Settings.model_fields["home"].default)
    merged = _read_env_file(stack_env_path(home)) | {k: v for k, v in given.items() if k.startswith(_PREFIX)}
    try:
        return Settings.model_validate(_nest(merged))
    except ValidationError as error:
        first = error.errors()[0]
        name = _PREFIX + "__".join(str(part).upper() for part in first["loc"])
        raise Refused(f"setting {name}: {first['msg'].lower()}; see .env.example for every name") from None


def _read_env_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = (line.strip() for line in path.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _nest(flat: dict[str, str]) -> dict[str, object]:
    """Turn ``WEIR_KAFKA__BOOTSTRAP_SERVERS`` into ``{"kafka": {"bootstrap_servers": ...}}``; empty means default."""
    tree: dict[str, object] = {}
    for name, value in flat.items():
        if value == "":
            continue
        level = tree
        *parents, leaf = name.removeprefix(_PREFIX).lower().split("__")
        for parent in parents:
            child = level.setdefault(parent, {})
            if not isinstance(child, dict):
                raise Refused(f"setting {name}: {parent} is not a section; see .env.example for every name")
            level = child
        level[leaf] = value
    return tree
