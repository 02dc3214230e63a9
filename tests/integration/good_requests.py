"""A good request for each operation of the API, on real servers, with a look at its answer.

An operation is named as the document names it. One of a stream is asked under both of its paths: ``Asking.prefix`` is
where it begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.integration.services import Services

DEFAULT = "/v1"


@dataclass
class Lab:
    """A deployment at work: one client with each of two keys, and what requests may use up.

    Attributes:
        cards: of which each has a case that nobody holds.
        letters: partition and offset of dead letters that nobody settled.
        stage: puts a model in shadow, and returns its version.
        numbers: other ones each time.
        stock: ids of things that were made and not used up, by their kind.
    """

    services: Services
    client: httpx.Client
    second: httpx.Client
    cards: Iterator[str]
    letters: Iterator[tuple[int, int]]
    stage: Callable[[], str]
    numbers: Iterator[int]
    stock: dict[str, list[str]] = field(default_factory=dict)

    def find(self, kind: str, make: Callable[[], str]) -> str:
        """Return the id of a thing that was made before, or make it: some take seconds."""
        made = self.stock.setdefault(kind, [])
        if not made:
            made.append(make())
        return made[-1]

    def take(self, kind: str, make: Callable[[], str]) -> str:
        """Likewise, of one that nobody gets any more."""
        self.find(kind, make)
        return self.stock[kind].pop()


@dataclass
class Asking:
    """One operation that is asked for under one path.

    Attributes:
        label: method and path, as the document has them under ``/v1``.
        prefix: what stands for ``/v1``.
        answered: the operations with a good answer.
    """

    lab: Lab
    label: str
    prefix: str = DEFAULT
    answered: set[str] = field(default_factory=set)

    def __call__(self, label: str = "", *, client: httpx.Client | None = None, **given: Any) -> httpx.Response:
        """Send a request for this operation, or another one that it needs; its answer is good.

        Args:
            label: of the other one.
            client: of the other key.
            **given: what stands for the names in the path; ``params``, ``json`` and the like are of the request.
        """
        answer = self.send(label or self.label, client or self.lab.client, given)
        assert answer.is_success, f"{label or self.label}: {answer.status_code} {answer.text[:500]}"
        self.answered.add(label or self.label)
        return answer

    def send(self, label: str, client: httpx.Client, given: dict[str, Any]) -> httpx.Response:
        """Send a request, whatever its answer is."""
        options = {name: given[name] for name in given if f"{{{name}}}" not in label}
        return client.request(*self._fill(label, given), **options)

    @contextmanager
    def stream(self) -> Iterator[httpx.Response]:
        """Send a request for this operation, whose answer has no end."""
        with self.lab.client.stream(*self._fill(self.label, {})) as answer:
            assert answer.is_success
            self.answered.add(self.label)
            yield answer

    def until(self, is_good: Callable[[httpx.Response], bool], **given: Any) -> Any:
        """Send the request again until its answer is good and as it is awaited; return what it says."""
        found: list[httpx.Response] = []

        def is_there() -> bool:
            found.append(self.send(self.label, self.lab.client, given))
            return found[-1].is_success and is_good(found[-1])

        self.lab.services.await_true(is_there, f"{self.label}, which answers {found[-1:]}")
        self.answered.add(self.label)
        return found[-1].json()

    def _fill(self, label: str, given: dict[str, Any]) -> tuple[str, str]:
        method, path = label.split()
        path = path.replace(DEFAULT, self.prefix, 1) if path.startswith(f"{DEFAULT}/") else path
        for name, value in given.items():
            path = path.replace(f"{{{name}}}", str(value))
        return method, path


Good = Callable[[Asking], None]
GOOD: dict[str, Good] = {}


def good(label: str) -> Callable[[Good], Good]:
    """Enter a function as the good request for an operation."""

    def enter(function: Good) -> Good:
        assert label not in GOOD, label
        GOOD[label] = function
        return function

    return enter
