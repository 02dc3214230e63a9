"""The Merkle tree: against RFC 6962 as it is written, and against the roots that its reference code publishes."""

from __future__ import annotations

import hashlib
import hmac
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weir.archive.tree import Tree, fold, leaf, row_bytes

# the entries and roots of Certificate Transparency's reference tests
ENTRIES = [bytes.fromhex(e) for e in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")] + [
    bytes.fromhex("606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
ROW = {"topic": "t", "partition": 0, "offset": 5, "append_ms": 7, "key": b"k", "value": b"v", "headers": [("h", b"x")]}
HEADERS = st.lists(st.tuples(st.text(max_size=3), st.none() | st.binary(max_size=3)), max_size=3)
ROWS = st.tuples(
    st.text(max_size=4),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.none() | st.binary(max_size=6),
    st.none() | st.binary(max_size=6),
    HEADERS,
)


def _split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def _mth(entries: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word by word."""
    n = len(entries)
    if n == 0:
        return hashlib.sha256().digest()
    if n == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = _split(n)
    return hashlib.sha256(b"\x01" + _mth(entries[:k]) + _mth(entries[k:])).digest()


def _path(m: int, entries: list[bytes]) -> list[bytes]:
    """RFC 6962, section 2.1.1, word by word."""
    n = len(entries)
    if n == 1:
        return []
    k = _split(n)
    if m < k:
        return [*_path(m, entries[:k]), _mth(entries[k:])]
    return [*_path(m - k, entries[k:]), _mth(entries[:k])]


@pytest.mark.parametrize("count", range(9))
def test_the_roots_are_those_of_the_reference_tests(count: int) -> None:
    assert Tree(ENTRIES[:count]).root.hex() == ROOTS[count]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=70))
def test_roots_and_proofs_are_those_of_the_rfc(entries: list[bytes]) -> None:
    tree = Tree(entries)
    assert tree.root == _mth(entries)
    for index, entry in enumerate(entries):
        assert tree.prove(index) == _path(index, entries)
        assert fold(entry, index, tree.size, tree.prove(index)) == tree.root


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.data())
def test_a_proof_holds_for_its_entry_place_size_and_path_alone(size: int, data: st.DataObject) -> None:
    entries = [bytes([n]) for n in range(size)]
    tree, index = Tree(entries), data.draw(st.integers(0, size - 1))
    path = tree.prove(index)
    assert fold(b"other", index, size, path) != tree.root
    assert all(fold(entries[index], other, size, path) != tree.root for other in range(size) if other != index)
    assert fold(entries[index], index, size, [*path, b"\0" * 32]) is None
    for at in range(len(path)):
        assert fold(entries[index], index, size, path[:at] + path[at + 1 :]) != tree.root
        bent = bytes([path[at][0] ^ 1]) + path[at][1:]
        assert fold(entries[index], index, size, [*path[:at], bent, *path[at + 1 :]]) != tree.root


@pytest.mark.parametrize("index", [-1, 3])
def test_a_proof_of_a_place_outside_the_tree_gives_no_root(index: int) -> None:
    assert fold(b"a", index, 3, []) is None


def test_an_inner_node_does_not_pass_for_an_entry() -> None:
    a, b = (hashlib.sha256(b"\x00" + entry).digest() for entry in (b"a", b"b"))
    assert Tree([a + b]).root != Tree([b"a", b"b"]).root


def test_a_leaf_is_the_keyed_hash_of_salt_and_row() -> None:
    assert leaf(b"s" * 16, b"row") == hmac.new(b"s" * 16, b"\x00row", hashlib.sha256).digest()


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("topic", "u"),
        ("partition", 1),
        ("offset", 6),
        ("append_ms", 8),
        ("key", b"l"),
        ("key", None),
        ("value", b""),
        ("value", None),
        ("headers", []),
        ("headers", [("h", None)]),
        ("headers", [("h", b"")]),
        ("headers", [("i", b"x")]),
        ("headers", [("h", b"x"), ("h", b"x")]),
    ],
)
def test_every_part_of_a_record_changes_its_bytes(name: str, other: object) -> None:
    assert row_bytes(**{**ROW, name: other}) != row_bytes(**ROW)  # type: ignore[arg-type]


def test_a_byte_does_not_wander_from_one_part_to_the_next() -> None:
    parts = [(b"ab", b""), (b"a", b"b"), (b"", b"ab"), (None, b"ab"), (b"ab", None)]
    written = {row_bytes("t", 0, 0, 0, key, value, []) for key, value in parts}
    assert len(written) == len(parts)


@given(st.lists(ROWS, unique_by=repr, min_size=2, max_size=8))
def test_no_two_records_have_the_same_bytes(rows: list[tuple]) -> None:
    written = sorted(row_bytes(*row) for row in rows)
    assert all(one != other for one, other in pairwise(written))


def test_a_batch_of_100_000_leaves_is_hashed_in_half_a_second() -> None:
    leaves = [n.to_bytes(32, "big") for n in range(100_000)]
    best = min(_seconds_of(leaves) for _ in range(3))
    assert best < 0.5


def _seconds_of(leaves: list[bytes]) -> float:
    began = time.process_time()
    Tree(leaves)
    return time.process_time() - began
