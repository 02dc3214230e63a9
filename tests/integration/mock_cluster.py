"""librdkafka's own mock brokers, told which requests to refuse.

The Python client exposes no way to them but ``test.mock.num.brokers``, which cannot be told anything. The library that
it is built on exports the rest, so it is called here as C. The brokers speak the wire protocol on a loopback port: the
clients under test are real ones and do not know.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import confluent_kafka

PRODUCE, ADD_PARTITIONS, ADD_OFFSETS, END, TXN_OFFSET_COMMIT = 0, 24, 25, 26, 28
"""Numbers of requests in Kafka's protocol."""
_PRODUCER = 0
_ERROR_BYTES = 512


class MockCluster:
    """A cluster of one broker."""

    def __init__(self, library: Any, handle: int) -> None:
        self._library = library
        self._cluster = library.rd_kafka_mock_cluster_new(handle, 1)
        self.bootstrap_servers: str = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create_topic(self, name: str) -> None:
        """Create a topic of one partition."""
        self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), 1, 1)

    def refuse(self, request: int, *errors: int) -> None:
        """Answer the next requests of a kind with these errors, one each; ``_TRANSPORT`` closes the connection."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, request, len(errors), codes)

    def close(self) -> None:
        """End the broker."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)


@contextmanager
def running_mock() -> Iterator[MockCluster]:
    """Run mock brokers; they live in a client of their own, which connects to nothing."""
    library = _load()
    error = ctypes.create_string_buffer(_ERROR_BYTES)
    conf = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(conf, b"log_level", b"0", error, _ERROR_BYTES)
    handle = library.rd_kafka_new(_PRODUCER, conf, error, _ERROR_BYTES)
    assert handle, error.value
    cluster = MockCluster(library, handle)
    try:
        yield cluster
    finally:
        cluster.close()
        library.rd_kafka_destroy(handle)


def _load() -> Any:
    (path,) = Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka-*.so*")
    library: Any = ctypes.CDLL(str(path))
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    results = {"rd_kafka_conf_new": pointer, "rd_kafka_new": pointer, "rd_kafka_mock_cluster_new": pointer}
    arguments: dict[str, list[Any]] = {
        "rd_kafka_conf_set": [pointer, text, text, text, size],
        "rd_kafka_new": [ctypes.c_int, pointer, text, size],
        "rd_kafka_destroy": [pointer],
        "rd_kafka_mock_cluster_new": [pointer, ctypes.c_int],
        "rd_kafka_mock_cluster_destroy": [pointer],
        "rd_kafka_mock_cluster_bootstraps": [pointer],
        "rd_kafka_mock_topic_create": [pointer, text, ctypes.c_int, ctypes.c_int],
        "rd_kafka_mock_push_request_errors_array": [pointer, ctypes.c_int16, size, ctypes.POINTER(ctypes.c_int)],
    }
    for name, kinds in arguments.items():
        getattr(library, name).argtypes = kinds
    for name, kind in (results | {"rd_kafka_mock_cluster_bootstraps": text}).items():
        getattr(library, name).restype = kind
    return library
