import re
from typing import Any

import pytest

from weir.access.key import Scope, build_key, hash_text, make_text, parse_scopes, read_id
from weir.schemas.errors import Refused

NOW_MS = 1_767_268_800_000


def build(**changes):
    given: dict[str, Any] = {
        "name": "checkout",
        "scopes": [Scope.SCORE],
        "streams": [],
        "now_ms": NOW_MS,
        "by": "ops",
    } | changes
    return build_key("0123abcd", b"h", given.pop("name"), given.pop("scopes"), given.pop("streams"), **given)


def test_a_scanner_finds_a_key_by_its_form():
    _, text = make_text()
    assert re.fullmatch(r"weir_[0-9a-f]{8}_[0-9a-f]{64}", text)


def test_two_keys_share_nothing():
    (one, first), (two, second) = make_text(), make_text()
    assert one != two
    assert hash_text(first) != hash_text(second)


def test_the_text_names_its_key():
    key_id, text = make_text()
    assert read_id(text) == key_id


@pytest.mark.parametrize("text", ["", "weir_", "weir_0123abcd_" + "0" * 63, " weir_0123abcd_" + "0" * 64, "é"])
def test_other_text_names_none(text):
    assert read_id(text) is None


@pytest.mark.parametrize("scope", Scope)
def test_a_scope_opens_its_own_door_and_admin_all(scope):
    own, admin = build(scopes=[scope]), build(scopes=[Scope.ADMIN])
    assert [each for each in Scope if own.may(each)] == (list(Scope) if scope == Scope.ADMIN else [scope])
    assert admin.may(scope)


def test_a_key_is_valid_until_the_moment_it_expires():
    key = build(expires_ms=NOW_MS + 10)
    assert (key.find_fault(NOW_MS + 9), key.find_fault(NOW_MS + 10)) == (None, "expired")


def test_a_key_without_streams_reaches_all():
    assert build().reaches("clicks")
    assert not build(streams=["payments"]).reaches("clicks")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": ""}, "a name"),
        ({"name": "a" * 81}, "a name"),
        ({"name": "a\x1b[2J"}, "printable"),
        ({"scopes": []}, "at least one scope"),
        ({"expires_ms": NOW_MS}, "time of expiry"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(changes, expected):
    with pytest.raises(Refused, match=expected):
        build(**changes)


def test_an_unknown_scope_is_refused_with_the_nearest():
    with pytest.raises(Refused, match="score"):
        parse_scopes("scor")
