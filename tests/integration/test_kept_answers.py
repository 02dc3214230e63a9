"""Answers kept for idempotency keys, in a real Redis and through two APIs."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis.crc import key_slot

from weir.infra.redis.client import Client
from weir.infra.redis.kept_answers import (
    ANSWER_BYTES_MAX,
    KEPT_SECONDS,
    PENDING_SECONDS,
    Found,
    KeptAnswers,
    Request,
    name_keys,
)

FIRST, SECOND = b"1" * 32, b"2" * 32


def ask(name: str, fingerprint: bytes = FIRST, owner: str = "o") -> Request:
    return Request(owner, name, fingerprint, secrets.token_bytes(16))


@pytest.fixture
def kept(client: Client, space: str) -> KeptAnswers:
    return KeptAnswers(client, space=space, bytes_max=200_000)


def test_a_name_is_pending_until_it_is_answered_and_then_answers(kept: KeptAnswers) -> None:
    first = ask("k")
    assert [kept.begin(first), kept.begin(ask("k")), kept.begin(ask("k", SECOND))] == [
        Found("begun"),
        Found("pending"),
        Found("other"),
    ]
    kept.finish(first, b"\x00answer\n")
    assert kept.begin(ask("k")) == Found("answered", b"\x00answer\n")
    assert kept.begin(ask("k", SECOND)) == Found("other")
    assert [kept.begin(ask("k", owner="p")), kept.begin(ask("k2"))] == [Found("begun")] * 2


def test_what_is_not_final_or_too_large_leaves_the_name_free(kept: KeptAnswers) -> None:
    for answer in (None, b"x" * (ANSWER_BYTES_MAX + 1)):
        request = ask("k")
        assert kept.begin(request).state == "begun"
        kept.finish(request, answer)
    assert kept.begin(ask("k")).state == "begun"


def test_one_that_comes_late_takes_the_name_from_nobody(kept: KeptAnswers) -> None:
    late, second = ask("k"), ask("k")
    kept.finish(late, b"late")  # its pending entry has expired
    assert kept.begin(second).state == "begun"
    kept.finish(late, b"late")
    assert kept.begin(ask("k")).state == "pending"
    kept.finish(second, b"second")
    assert kept.begin(ask("k")).answer == b"second"


def test_of_many_that_begin_at_once_one_does(kept: KeptAnswers) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: kept.begin(ask("k")).state, range(40)))
    assert sorted(found) == ["begun", *["pending"] * 39]


def test_what_an_owner_keeps_is_bounded_and_everything_expires(client: Client, space: str, kept: KeptAnswers) -> None:
    for number in range(5):
        request = ask(f"k{number}")
        found = kept.begin(request)
        if found.state == "full":
            break
        kept.finish(request, b"x" * 60_000)
    assert (found.state, number) == ("full", 4)
    assert KEPT_SECONDS - 60 < found.wait_seconds <= KEPT_SECONDS
    assert kept.begin(ask("k0")).state == "answered", "what is kept is still given"
    assert kept.begin(ask("k", owner="p")).state == "begun"
    left = {key: client.ttl(key) for key in client.keys(f"weir:{space}:answer*")}
    assert len(left) == 6
    assert all(0 < seconds <= KEPT_SECONDS for seconds in left.values())
    assert min(left.values()) <= PENDING_SECONDS


@pytest.mark.parametrize("owner", ["", "0123abcd"])
def test_both_keys_of_an_answer_are_on_one_node_of_a_cluster(owner: str) -> None:
    entry, total = name_keys("space", ask("k", owner=owner))
    assert key_slot(entry.encode()) == key_slot(total.encode())
