"""A browser without a browser, for tests of pages."""

from __future__ import annotations

import re
from typing import Any

import httpx
from fastapi import FastAPI

from tests.unit.inference.twins import Client

BASE = "/streams/transactions"
EVIL = "<script>alert(1)</script>\u202egnp.exe\x07"


class Browser:
    """Keeps cookies and sends forms as a browser does."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.client = Client(app)
        self.cookies: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self._ask("GET", path, headers=headers)

    def post(self, path: str, **fields: str) -> httpx.Response:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return self._ask("POST", path, content=str(httpx.QueryParams(fields)), headers=headers)

    def send(self, path: str, page: str, **fields: str) -> httpx.Response:
        """Send a form of a page, with its token."""
        return self.post(path, token=token_in(self.get(page)), **fields)

    def log_in(self, key: str) -> httpx.Response:
        return self.send("/login", "/login", key=key)

    def _ask(self, method: str, path: str, *, headers: dict[str, str], **given: Any) -> httpx.Response:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer: httpx.Response = getattr(self.client, method.lower())(
            path, headers=headers | {"cookie": cookie}, **given
        )
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies.pop(name, None)
            if "Max-Age=0" not in line:
                self.cookies[name] = value
        return answer


def token_in(answer: httpx.Response) -> str:
    return re.search(r'name="token" value="([0-9a-f]+)"', answer.text)[1]  # type: ignore[index]
