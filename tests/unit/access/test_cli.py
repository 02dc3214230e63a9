import json

import pytest

import weir.cli
from weir.access.key import hash_text
from weir.access.store import KeyStore
from weir.infra.database.engine import open_database
from weir.infra.settings import load_settings


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = weir.cli.main(["keys", *arguments])
        written = capsys.readouterr()
        return code, written.out.strip(), written.err.strip()

    return run


def read_keys(home):
    store = KeyStore(open_database(load_settings({"WEIR_HOME": str(home)})))
    try:
        return {key.name: key for key in store.list_keys()}
    finally:
        store.close()


def test_a_key_is_made_shown_rotated_and_revoked(run, home):
    assert run("list") == (0, "there is no key; `weir keys create NAME --scopes admin` makes the first", "")
    code, text, told = run(
        "create", "checkout", "--scopes", "score,read", "--stream", "transactions", "--expires", "90d", "--rate", "50",
        "--burst", "100",
    )  # fmt: skip
    key = read_keys(home)["checkout"]
    assert (code, key.hash) == (0, hash_text(text))
    assert key.expires_ms - key.created_ms == 90 * 86_400_000
    assert (key.rate_per_second, key.burst) == (50.0, 100)
    assert "scopes read, score; streams transactions; 50/s, 100 at once" in told
    listed = run("list")[1]
    assert key.id in listed
    assert text not in listed

    _, successor, told = run("rotate", key.id, "--overlap", "1h")
    (new,) = [each for each in json.loads(run("list", "--json")[1]) if each["replaces"] == key.id]
    assert (new["scopes"], new["streams"], new["valid"]) == (["read", "score"], ["transactions"], True)
    assert (new["rate_per_second"], new["burst"]) == (50.0, 100)
    assert successor != text
    assert key.id in told

    assert run("revoke", key.id)[0] == 0
    assert [each["valid"] for each in json.loads(run("list", "--json")[1])] == [False, True]


def test_json_has_the_key_where_a_script_finds_it(run, home):
    document = json.loads(run("create", "till", "--scopes", "score", "--json")[1])
    assert hash_text(document["key"]) == read_keys(home)["till"].hash
    assert "hash" not in document


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["create", "till", "--scopes", "scor"], "did you mean 'score'"),
        (["create", "till", "--scopes", "score", "--expires", "soon"], "12h or 90d"),
        (["create", "", "--scopes", "score"], "a name"),
        (["revoke", "nothing"], "weir keys list"),
        (["rotate", "nothing"], "weir keys list"),
    ],
)
def test_what_makes_no_sense_is_refused(run, arguments, expected):
    code, out, told = run(*arguments)
    assert (code, out) == (2, "")
    assert expected in told


def test_the_last_administrator_is_told_what_to_do_first(run, home):
    run("create", "ops", "--scopes", "admin")
    code, _, told = run("revoke", read_keys(home)["ops"].id)
    assert code == 2
    assert "weir keys create NAME --scopes admin" in told
