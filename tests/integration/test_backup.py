"""The commands of docs/backup.md, followed to the letter: what is put back is what was there when it was copied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.handbook import blocks
from tests.house.source import ROOT
from tests.integration.test_readers import run
from weir.infra.embedded.stack import Stack

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.timeout(600)]

BEGIN = """
weir up
weir topics create && weir schemas register
weir keys create before --scopes admin
"""
PAYMENT = """
cat > {name}.csv <<END
transaction_id,card_id,customer_id,merchant_id,mcc,channel,amount_minor,currency,country,event_time_ms,outcome
{name}-$(date +%s),card_{name},cust_1,mer_1,5411,ECOM,2599,EUR,DE,$(date +%s)000,ACCEPTED
END
weir publish {name}.csv
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder as a checkout is; its servers are stopped in the end."""
    yield tmp_path
    for home in (tmp_path / ".weir", tmp_path / ".weir.before"):
        if home.is_dir():
            Stack(home).stop()


def _ends(folder: Path) -> int:
    lag = json.loads(run("weir inspect lag --json", folder))
    return sum(row["end"] for row in lag if row["topic"] == "transactions")


def _list_names(folder: Path) -> list[str]:
    return [key["name"] for key in json.loads(run("weir keys list --json", folder))]


def test_what_is_put_back_is_what_was_copied(folder: Path) -> None:
    back_up, put_back, copy, copy_back = blocks((ROOT / "docs/backup.md").read_text(), "sh")
    run(BEGIN + PAYMENT.format(name="first"), folder)
    run(back_up, folder)
    run("weir keys create after --scopes read", folder)
    assert _list_names(folder) == ["before", "after"]
    run(put_back, folder)
    assert _list_names(folder) == ["before"]
    run(copy, folder)
    ends = _ends(folder)
    run("weir keys create later --scopes read" + PAYMENT.format(name="second"), folder)
    assert _ends(folder) > ends
    run(copy_back, folder)
    assert _ends(folder) == ends
    assert _list_names(folder) == ["before"]
