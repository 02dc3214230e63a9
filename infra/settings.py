"""One frozen ``Settings`` object, read once in ``main`` from flags, environment and the running embedded stack.

Precedence: flags, then ``WEIR_`` environment variables (``__`` between levels), then the addresses that ``weir up``
wrote to ``<home>/stack.env``, then the defaults here. Unknown ``WEIR_`` names are refused, secrets are masked.
Only what differs between deployments is a setting; ``acks=all``, idempotence and ``read_committed`` are constants
in ``infra/kafka/clients.py``.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError, model_validator

from weir.infra.console_settings import ConsoleSettings
from weir.infra.home import check_home, stack_env_path
from weir.infra.mlflow_store import MlflowSettings
from weir.infra.publishing_settings import PublishingSettings
from weir.infra.setting_names import PREFIX, build_tree, declared_names, read_env_file
from weir.infra.setting_values import BootstrapServers, Days, File, Host, Ids, Name, RedisUrl, RegistryUrl, Root, Topic
from weir.infra.upload_settings import UploadSettings
from weir.schemas.declarations_hash import with_placeholders
from weir.schemas.errors import Refused
from weir.schemas.placeholders import Placeholders
from weir.schemas.stream import Stream, Topics
from weir.schemas.streams.payments import payments

_SCORER_GROUPS, _GROUP_MAX = ("group", "index_group", "cases_group"), 230
"""A member's name has an ordinal and partition counts after the group's."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(_Section):
    """Where the brokers are and how to be let in."""

    bootstrap_servers: BootstrapServers = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    ssl_ca_location: File = ""
    ssl_certificate_location: File = ""
    ssl_key_location: File = ""
    ssl_key_password: SecretStr = SecretStr("")
    session_timeout_ms: int = Field(default=10_000, ge=6_000, le=300_000)
    transaction_timeout_ms: int = Field(default=6_000, ge=1_000, le=120_000)
    """Well under the session timeout: a hanging transaction is aborted before its owner is replaced."""


class RegistrySettings(_Section):
    """The schema registry, by the Confluent API."""

    url: RegistryUrl = "http://127.0.0.1:8081"
    username: str = ""
    password: SecretStr = SecretStr("")
    ssl_ca_location: File = ""
    timeout_seconds: float = Field(default=5.0, gt=0, le=60)


class RedisSettings(_Section):
    """Redis or Valkey, one server or a cluster."""

    url: RedisUrl = "redis://127.0.0.1:6379/0"
    """Of a cluster, several nodes: ``redis://one:6379,two:6379/0``; the first that answers names the others."""
    username: str = ""
    password: SecretStr = SecretStr("")
    ssl_ca_location: File = ""
    cluster: bool = False
    timeout_seconds: float = Field(default=2.0, gt=0, le=60)

    @model_validator(mode="after")
    def _check_hosts(self) -> RedisSettings:
        if not self.cluster and "," in self.url.partition("://")[2].rpartition("@")[2]:
            raise ValueError("several hosts in url are nodes of a cluster, and cluster is false")
        return self


class TopicSettings(_Section):
    """Names of the payments' topics, and how topics are made where they do not exist."""

    transactions: Topic = "transactions"
    dlq: Topic = "transactions.dlq"
    dlq_done: Topic = "transactions.dlq.done"
    features: Topic = "features"
    features_dlq: Topic = "features.dlq"
    decisions: Topic = "decisions"
    labels: Topic = "labels"
    labels_dlq: Topic = "labels.dlq"
    published: Topic = "transactions.published"
    audit: Topic = "weir.audit"
    partitions: int = Field(default=4, ge=1, le=256)
    replication_factor: int = Field(default=1, ge=1, le=7)
    retention_days: int = Field(default=60, ge=1)
    """Input and dead letters must outlive the look-back (37 d with the label hold) and 7 days of repair."""

    @model_validator(mode="after")
    def _check_names(self) -> TopicSettings:
        names = [value for value in vars(self).values() if isinstance(value, str)]
        if len(set(names)) < len(names):
            raise ValueError("every topic has a name of its own, and two of these are equal")
        return self

    def of(self, stream: Stream) -> Topics:
        """Return a stream's topics: those set here for the payments, and of any other stream its own.

        >>> TopicSettings(features="rows").of(payments).features
        'rows'
        """
        if stream.full_name != payments.name:
            return stream.topics
        dead = self.dlq, self.labels_dlq, self.features_dlq, self.dlq_done
        return Topics(self.transactions, self.labels, self.features, self.decisions, *dead, self.published)


class ProcessorSettings(_Section):
    """The stream processor."""

    group: Name = "weir-processor"
    batch_records_max: int = Field(default=8_000, ge=1, le=100_000)
    linger_ms: int = Field(default=8, ge=0, le=1_000)
    """How long a batch that is not full waits for more records, from when its first one is in hand.

    Batches of few records are three to eight times that apart: each costs a transaction, however few it has."""
    cache_entities_max: int = Field(default=500_000, ge=10)
    """Ids whose partials are kept in memory per process; it should exceed the entities of a busy hour."""
    cache_mb_max: int = Field(default=512, ge=1)
    """Megabytes of partials kept in memory per process, with 8 bytes for each id and unit.

    What they lie in may be up to twice as large."""
    dlq_header_prefix: str = "__dlq.errors."
    """Of dead letters' header names as they are written; they are read back whatever it was then."""


class ScorerSettings(_Section):
    """The scorer, the decision index and the cases."""

    group: Name = "weir-scorer"
    index_group: Name = "weir-decision-index"
    cases_group: Name = "weir-cases"
    case_burst_minutes: int = Field(default=60, ge=0, le=10_080)
    """Decisions for review of one key that are no further apart are one case, until somebody gives a verdict on it."""
    batch_records_max: int = Field(default=4_000, ge=1, le=100_000)
    linger_ms: int = Field(default=2, ge=0, le=1_000)
    """As the processor's, and shorter: what comes was committed at once, so a wait only joins its partitions."""
    bundle_dir: Path | None = None
    """A model bundle; by default ``<home>/models/champion``, of another stream ``<home>/models/<stream>/champion``."""
    without_model: bool = False
    """Decide by rules and lists alone where a stream with labels has no bundle yet; one without labels does anyway."""
    lists_file: Path | None = None
    """JSON with allow and block lists; by default ``<home>/lists.json``, of others ``<home>/lists/<stream>.json``."""
    decision_ttl_days: int = Field(default=30, ge=1)


class ApiSettings(_Section):
    """The HTTP API. Without keys it serves 127.0.0.1 alone; see docs/keys.md."""

    host: Host = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    keys: Literal["off", "required"] = "off"
    """``required`` answers requests with a key alone, and may serve other addresses."""
    tls_certificate: File = ""
    """A PEM file with the certificate and its chain; with it the API speaks HTTPS."""
    tls_key: File = ""
    """A PEM file with its private key."""
    behind_proxy: bool = False
    """Whether a proxy of yours speaks HTTPS in front: other addresses than 127.0.0.1 are then served without it."""
    rate_per_second: float = Field(default=0, ge=0, le=100_000)
    """Requests that a key without a rate of its own may send on average; 0 for any number."""
    rate_burst: int = Field(default=0, ge=0, le=100_000)
    """How many at once, after a pause; 0 for those of a second."""
    idempotency_mb_max: int = Field(default=64, ge=1, le=65_536)
    """Answers that are kept for the idempotency keys of one API key within 24 hours take at most so much in Redis."""
    decide_wait_ms: int = Field(default=1_000, ge=0, le=60_000)
    """How long ``/v1/decide`` waits for the stream's decision where a request does not say."""
    decide_wait_ms_max: int = Field(default=10_000, ge=0, le=60_000)
    """How long a request may ask to wait; a stop of the process ends what waits after 10 s."""
    decide_waiting_max: int = Field(default=500, ge=1, le=100_000)
    """Requests that may wait at one time: half of the connections, so that others are answered."""
    decide_waiting_mb_max: int = Field(default=16, ge=1)
    """What they may take in memory together."""

    @model_validator(mode="after")
    def _check_wait(self) -> ApiSettings:
        if self.decide_wait_ms > self.decide_wait_ms_max:
            raise ValueError("decide_wait_ms is above decide_wait_ms_max")
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> ApiSettings:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key are given together or not at all")
        return self


class DatabaseSettings(_Section):
    """The database of what people do: keys and cases."""

    url: SecretStr = SecretStr("")
    """``postgresql://user:password@host/name``, or ``sqlite:////path``; by default the file ``<home>/weir.db``."""


class ArchiveSettings(_Section):
    """The archive of every topic in Delta Lake tables."""

    root: Root = ""
    """A folder, or a URL such as ``s3://bucket/archive``; by default ``<home>/archive``."""
    storage_options: SecretStr = SecretStr("")
    """Of an object store: a JSON object of delta-rs' own names, such as ``{"AWS_REGION": "eu-west-1"}``."""
    commit_seconds: float = Field(default=30.0, gt=0, le=3_600)
    """How long rows may wait for their commit: a row is there within twice that."""
    commit_rows_max: int = Field(default=200_000, ge=1, le=5_000_000)
    keep_events_days: Days = 0
    """So many whole UTC days of events are kept; 0 keeps all. Of each kind of table by itself."""
    keep_labels_days: Days = 0
    keep_features_days: Days = 0
    keep_decisions_days: Days = 0
    keep_dead_letters_days: Days = 0
    keep_audit_days: Days = 0

    def keep_days(self, kind: str) -> int:
        """Return how many days of a kind of table are kept, such as ``events``; 0 for all."""
        return int(getattr(self, f"keep_{kind}_days"))


class MonitoringSettings(_Section):
    """Metrics and logs."""

    metrics_host: Host = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    """0 serves no metrics page; ``weir demo`` gives each process its own."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"


class Settings(_Section):
    """Everything that differs between deployments."""

    home: Path = Path(".weir")
    """Data of the embedded servers, models, logs; mode 0700."""
    cluster: Name = "local"
    """Names the deployment in every Redis key, so that two can share a server."""
    placeholder_ids: Ids = ()
    """A JSON list of ids that name nobody here, added to ``schemas/placeholders.py``; another list is another view."""
    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    redis: RedisSettings = RedisSettings()
    topics: TopicSettings = TopicSettings()
    processor: ProcessorSettings = ProcessorSettings()
    scorer: ScorerSettings = ScorerSettings()
    api: ApiSettings = ApiSettings()
    uploads: UploadSettings = UploadSettings()
    console: ConsoleSettings = ConsoleSettings()
    database: DatabaseSettings = DatabaseSettings()
    archive: ArchiveSettings = ArchiveSettings()
    publishing: PublishingSettings = PublishingSettings()
    mlflow: MlflowSettings = MlflowSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    _stream: Stream | None = PrivateAttr(default=None)

    @property
    def models_dir(self) -> Path:
        """Return where the stream's bundles are: the payments' in ``<home>/models``, another's in a folder there."""
        return self._own(self.home / "models")

    @property
    def history_dir(self) -> Path:
        """Return where training looks for the stream's history."""
        return self._own(self.home / "history")

    @property
    def uploads_dir(self) -> Path:
        """Return where the stream's uploads are."""
        return self.home / "uploads" / self.stream.full_name

    @property
    def lists_path(self) -> Path:
        """Return where the stream's allow and block lists are."""
        own = self.home / "lists.json" if self._is_default else self.home / "lists" / f"{self.stream.full_name}.json"
        return self.scorer.lists_file or own

    @property
    def _is_default(self) -> bool:
        return self.stream.full_name == payments.name

    def _own(self, folder: Path) -> Path:
        return folder if self._is_default else folder / self.stream.full_name

    @property
    def stream(self) -> Stream:
        """Return the stream that a process with these settings works on; the payments by default."""
        return self._stream or payments

    def of_stream(self, stream: Stream) -> Settings:
        """Return the settings of a process that works on a stream: its own topics, and groups of its own.

        Those of the payments without a project are the ones that are set.

        Raises:
            ValueError: these are the settings of another stream already, whose names would be taken for the set ones.

        >>> from weir.schemas.project import load_shipped
        >>> clicks = Settings().of_stream(load_shipped("clicks").stream)
        >>> clicks.topics.features, clicks.processor.group
        ('clicks.features', 'weir-processor.clicks')
        """
        if stream is self.stream:
            return self
        if self._stream is not None:
            expected = f"expected settings that are set, to make those of {stream.full_name} of"
            raise ValueError(f"{expected}; found those of {self._stream.full_name}")
        own, name = asdict(self.topics.of(stream)), stream.full_name
        topics = self.topics.model_copy(update={"transactions": own.pop("events"), **own})
        changed: dict[str, _Section] = {"topics": topics}
        if name != payments.name:
            scorer = {each: _name_group(getattr(self.scorer, each), name) for each in _SCORER_GROUPS}
            changed["processor"] = self.processor.model_copy(update={"group": _name_group(self.processor.group, name)})
            changed["scorer"] = self.scorer.model_copy(update=scorer)
        settings = self.model_copy(update=changed)
        settings._stream = stream
        return settings

    @property
    def key_space(self) -> str:
        """Return what names the deployment and the stream in a Redis key; that of the payments has no name in it.

        >>> from weir.schemas.project import load_shipped
        >>> Settings().key_space, Settings().of_stream(load_shipped("clicks").stream).key_space
        ('local', 'local:clicks')
        """
        name = self.stream.full_name
        return self.cluster if name == payments.name else f"{self.cluster}:{name}"

    @cached_property
    def placeholders(self) -> Placeholders:
        """Return which ids name nobody in this deployment."""
        return Placeholders.adding(self.placeholder_ids)

    @property
    def declarations_hash(self) -> str:
        """Return the hash of what shapes state and features in this deployment."""
        return with_placeholders(self.stream.declarations_hash, self.placeholders)


def _name_group(group: str, stream: str) -> str:
    """Return the group of a stream.

    Raises:
        Refused: it is too long: members are called after it, and brokers take 249 characters.
    """
    name = f"{group}.{stream}"
    if len(name) > _GROUP_MAX:
        most = _GROUP_MAX - len(stream) - 1
        raise Refused(f"expected a group of at most {most} characters for {stream}, found one of {len(group)}")
    return name


def home_dir() -> Path:
    """Return the home folder as the environment names it, without reading anything else."""
    return Path(os.environ.get("WEIR_HOME") or Settings.model_fields["home"].default)


def load_settings(environ: dict[str, str] | None = None) -> Settings:
    """Build the settings of this process.

    Args:
        environ: the environment; ``os.environ`` when ``None``.

    Raises:
        Refused: a value is invalid or a ``WEIR_`` name unknown; the message names it and what was expected.
    """
    given = dict(os.environ if environ is None else environ)
    home = Path(given.get("WEIR_HOME") or Settings.model_fields["home"].default)
    check_home(home)
    merged = read_env_file(stack_env_path(home)) | given
    try:
        return Settings.model_validate(build_tree(merged, set(declared_names(Settings))))
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + "__".join(str(part).upper() for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise Refused(f"setting {name}: {reason[0].lower()}{reason[1:]}; see .env.example for every name") from None


def check_setting_names() -> None:
    """Refuse a ``WEIR_`` name of the environment that is no setting, whatever its value.

    For commands that need no setting, or few: `weir status` would otherwise look as if the name were right.

    Raises:
        Refused: naming it, and the nearest setting.
    """
    build_tree(dict(os.environ), set(declared_names(Settings)))
