"""Settings that contradict each other are refused by name, before anything is connected."""

from __future__ import annotations

import pytest

from infra.settings import load_settings
from schemas.errors import Refused

SEVERAL = "redis://user:pass,word@one:6379,two:6379/0"


def test_several_hosts_are_refused_where_there_is_no_cluster() -> None:
    with pytest.raises(Refused, match="several hosts in url"):
        load_settings({"WEIR_HOME": "nowhere", "WEIR_REDIS__URL": SEVERAL})


def test_several_hosts_are_nodes_of_a_cluster() -> None:
    settings = load_settings({"WEIR_HOME": "nowhere", "WEIR_REDIS__URL": SEVERAL, "WEIR_REDIS__CLUSTER": "true"})
    assert settings.redis.url == SEVERAL


def test_a_comma_in_the_password_is_no_second_host() -> None:
    url = "redis://user:pass,word@one:6379/0"
    assert load_settings({"WEIR_HOME": "nowhere", "WEIR_REDIS__URL": url}).redis.url == url
