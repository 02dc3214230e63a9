"""Keys at the door: a real HTTPS client, and what opens at which moment; and other addresses than the loopback's."""

import re
import ssl
import threading
from contextlib import closing, contextmanager
from dataclasses import replace

import httpx
import pytest

from tests.integration.certificates import write_certificate
from tests.integration.command_line import run_in_process
from tests.integration.services import Services, log_of
from tests.integration.test_keys import DAY_MS, NOW_MS, _await, build
from tests.unit.inference.bundles import link_champion, write_bundle
from tests.unit.inference.test_api import World
from weir.access.key import Scope, hash_text, make_text
from weir.access.keyring import Keyring
from weir.access.store import KeyStore
from weir.inference.api.app import build_api
from weir.inference.api.web.listening import HOST, bind
from weir.inference.api.web.server import build_crowd, build_server
from weir.infra.database.engine import open_database
from weir.infra.settings import load_settings

pytestmark = pytest.mark.server
EVERYWHERE, ELSEWHERE = "0.0.0.0", "127.0.0.2"
"""All addresses of this machine, and one of them at which nothing is served that is bound to 127.0.0.1."""


class Door:
    """An API that asks for keys of a database, over TLS, at a time that a test sets."""

    def __init__(self, home, store):
        self.now_ms, self.store, self._home = NOW_MS, store, home

    @contextmanager
    def open(self):
        world, tls = World(self._home), write_certificate(self._home)
        trusted = ssl.create_default_context(cafile=tls.certificate)
        with (
            closing(Keyring(self.store, lambda: self.now_ms, look_seconds=0.01)) as ring,
            closing(world.guard),
            serving(replace(world.parts, find_key=ring.find), tls) as address,
            httpx.Client(base_url=address, verify=trusted, trust_env=False) as client,
        ):
            yield lambda **headers: client.get("/v1/models", headers=headers)


@pytest.fixture
def door(tmp_path):
    with closing(KeyStore(open_database(load_settings({"WEIR_HOME": str(tmp_path)})))) as store:
        yield Door(tmp_path, store)


def is_refused(answer):
    return answer.status_code == 401 and answer.json()["error"]["code"] == "unauthorized"


def test_a_key_opens_the_api_over_tls_until_it_is_revoked(door):
    key, text = build(scopes=[Scope.READ])
    door.store.add(key)
    with door.open() as ask:
        for headers in ({"authorization": f"Bearer {text}"}, {"x-api-key": text}):
            assert ask(**headers).status_code == 200
        assert is_refused(ask())
        door.store.revoke(key.id, now_ms=NOW_MS, by="me")
        _await(lambda: is_refused(ask(**{"x-api-key": text})))


def test_a_key_opens_the_api_until_its_last_millisecond(door):
    key, text = build(scopes=[Scope.READ], expires_ms=NOW_MS + DAY_MS)
    door.store.add(key)
    with door.open() as ask:
        for now_ms, opens in ((NOW_MS, True), (NOW_MS + DAY_MS - 1, True), (NOW_MS + DAY_MS, False)):
            door.now_ms = now_ms
            answer = ask(**{"x-api-key": text})
            assert (answer.status_code == 200, is_refused(answer)) == (opens, not opens), now_ms
        assert "expired" in answer.json()["error"]["message"]


def test_a_key_and_the_one_that_it_is_rotated_to_open_the_api_during_the_overlap(door):
    key, text = build(scopes=[Scope.READ])
    door.store.add(key)
    with door.open() as ask:
        new_id, new_text = make_text()
        ends_ms = NOW_MS + DAY_MS
        door.store.rotate(key.id, new_id, hash_text(new_text), now_ms=NOW_MS, ends_ms=ends_ms, by="ops")
        _await(lambda: ask(**{"x-api-key": new_text}).status_code == 200)
        for now_ms, old_opens in ((NOW_MS, True), (ends_ms - 1, True), (ends_ms, False), (ends_ms + DAY_MS, False)):
            door.now_ms = now_ms
            old, new = ask(**{"x-api-key": text}), ask(**{"x-api-key": new_text})
            assert (old.status_code == 200, is_refused(old)) == (old_opens, not old_opens), now_ms
            assert new.status_code == 200


@contextmanager
def serving(parts, tls):
    listening = bind(HOST, 0)
    server = build_server(build_api(parts), build_crowd(), tls=tls)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        _await(lambda: server.started)
        yield f"https://localhost:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def home(deployment, tmp_path):
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    return deployment.model_copy(update={"home": tmp_path})


@pytest.fixture
def keyed(home, tmp_path):
    """The deployment with keys and a certificate, for the API and for the console."""
    tls = write_certificate(tmp_path, ELSEWHERE)
    files = {"tls_certificate": tls.certificate, "tls_key": tls.key}
    api = home.api.model_copy(update={"keys": "required", **files})
    console = home.console.model_copy(update={**files, "api_ca_location": tls.certificate})
    return home.model_copy(update={"api": api, "console": console})


@pytest.fixture
def services(keyed, tmp_path):
    running = Services(keyed, tmp_path / "logs")
    yield running
    running.stop()


@pytest.fixture
def weir(monkeypatch, capsys):
    yield from run_in_process(monkeypatch, capsys)


def read_port(child):
    found = re.search(r"https://0\.0\.0\.0:(\d+)", log_of(child))
    assert found, log_of(child)
    return int(found[1])


def test_the_api_is_served_over_tls_beyond_the_loopbacks_own_address(services, keyed):
    key = services.run("keys", "create", "till", "--scopes", "read,score").strip()
    port = read_port(services.start("serve", "--host", EVERYWHERE, "--port", "0", ready="serving https"))
    trusted = ssl.create_default_context(cafile=keyed.api.tls_certificate)
    url = f"https://{ELSEWHERE}:{port}"
    with httpx.Client(base_url=url, verify=trusted, timeout=30, trust_env=False) as client:
        assert client.get("/v1/models", headers={"x-api-key": key}).json()["champion"]["version"] == "1"
        assert is_refused(client.get("/v1/models"))
        assert client.get("/healthz").json() == {"alive": True}
    with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"), httpx.Client(trust_env=False) as strange:
        strange.get(f"{url}/healthz")
    with pytest.raises(httpx.TransportError), httpx.Client(trust_env=False) as plain:
        plain.get(f"http://{ELSEWHERE}:{port}/healthz", headers={"x-api-key": key})


def log_in(client, key):
    """Send the form of the login page."""
    page = client.get("/login")
    (token,) = re.findall(r'name="token" value="([^"]+)"', page.text)
    return client.post(
        "/login", data={"key": key, "token": token}, headers={"origin": str(client.base_url).rstrip("/")}
    )


def test_the_console_is_served_over_tls_beyond_the_loopbacks_own_address(services, keyed):
    key = services.run("keys", "create", "anna", "--scopes", "read,review").strip()
    port = read_port(services.start("console", "--host", EVERYWHERE, "--port", "0", ready="serving the console"))
    trusted = ssl.create_default_context(cafile=keyed.console.tls_certificate)
    url = f"https://{ELSEWHERE}:{port}"
    with httpx.Client(base_url=url, verify=trusted, timeout=30, trust_env=False) as client:
        other = key[:-1] + ("0" if key[-1] != "0" else "1")
        wrong, opened = (log_in(client, each) for each in (other, key))
        assert (wrong.status_code, opened.status_code) == (403, 303), (wrong.text, opened.text)
        cookie = opened.headers["set-cookie"].lower()
        assert "secure" in cookie
        assert "httponly" in cookie


def test_another_address_is_refused_without_keys_and_without_tls(home, weir):
    refusals = {
        ("serve",): ({}, ["WEIR_API__KEYS=required", EVERYWHERE]),
        ("serve", "--port", "0"): ({"WEIR_API__KEYS": "required"}, ["WEIR_API__TLS_CERTIFICATE", EVERYWHERE]),
        ("console", "--port", "0"): ({}, ["WEIR_CONSOLE__TLS_CERTIFICATE", EVERYWHERE]),
    }
    for verb, (changed, says) in refusals.items():
        weir.assert_refused(home, *verb, "--host", EVERYWHERE, says=says, **changed)
