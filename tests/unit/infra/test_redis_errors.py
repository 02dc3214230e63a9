"""Error replies of Redis are named for what they are, and quote nothing of ours."""

from __future__ import annotations

import pytest
import redis
from redis import exceptions

from weir.infra.redis.client import transient_errors
from weir.infra.redis.errors import explain, find_cause
from weir.schemas.errors import Transient

OOM = "OOM command not allowed when used memory > 'maxmemory'."
MISCONF = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."
REPLIES = [
    (exceptions.OutOfMemoryError(OOM), "full", "maxmemory"),
    (redis.ResponseError(OOM), "full", "maxmemory"),
    (redis.ResponseError(f"{OOM} script: 5f, on @user_script:1."), "full", "maxmemory"),
    (redis.ResponseError(MISCONF), "unsaved", "disk"),
    (exceptions.AuthenticationError("Authentication required."), "forbidden", "WEIR_REDIS__PASSWORD"),
    (redis.ResponseError("WRONGPASS invalid username-password pair or user is disabled."), "forbidden", "PASSWORD"),
    (exceptions.NoPermissionError("this user has no permissions to run the 'info' command"), "forbidden", "ACL"),
    (exceptions.BusyLoadingError("LOADING Redis is loading the dataset in memory"), "loading", "loading"),
    (exceptions.ReadOnlyError("You can't write against a read only replica."), "replica", "replica"),
    (exceptions.ClusterDownError("CLUSTERDOWN Hash slot not served"), "incomplete", "cluster"),
    (redis.ConnectionError("Error 111 connecting to 127.0.0.1:6379. Connection refused."), "away", "refused"),
    (redis.TimeoutError("Timeout reading from socket"), "away", "Timeout"),
    (OSError("network is unreachable"), "away", "unreachable"),
    (redis.ResponseError("ERR unknown command"), "refused", "unknown command"),
]


@pytest.mark.parametrize(("error", "cause", "words"), REPLIES)
def test_an_error_names_its_cause(error: Exception, cause: str, words: str) -> None:
    assert find_cause(error) == cause
    with pytest.raises(Transient, match=words) as caught, transient_errors("applying a batch"):
        raise error
    assert caught.value.cause == cause


@pytest.mark.parametrize("reply", [OOM, MISCONF, "ERR value is not an integer"])
def test_an_error_of_a_pipeline_quotes_no_key(reply: str) -> None:
    quoted = f"Command # 1 (SET weir:local:decision:{{i07}}:4111111111111111 x) of pipeline caused error: {reply}"
    assert "4111111111111111" not in explain(redis.ResponseError(quoted))
    assert find_cause(redis.ResponseError(quoted)) == find_cause(redis.ResponseError(reply))
