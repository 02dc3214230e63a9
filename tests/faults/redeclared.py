"""A worker of the next release: one feature is declared with another window.

``weir.schemas.streams.payments`` is executed from changed source before anything imports it, so that everything
derived from the declarations (hash, view, layout of partials, compiled kernel, schema of the rows) is that release's
own.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import pickle
import sys
from pathlib import Path

DECLARED = 'card.merchant.distinct("1h 1d 7d", '
REDECLARED = 'card.merchant.distinct("1h 1d 30d", '
GONE, NEW = "card_merchant_distinct_7d", "card_merchant_distinct_30d"
_MODULE = "weir.schemas.streams.payments"


def redeclare() -> None:
    """Put the changed declarations in place of the others.

    Raises:
        AssertionError: they were imported already, or are no longer written like that.
    """
    assert _MODULE not in sys.modules, "the declarations were imported before they were changed"
    spec = importlib.util.find_spec(_MODULE)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    assert source.count(DECLARED) == 1, "the declaration that was to be changed has moved"
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    exec(compile(source.replace(DECLARED, REDECLARED), spec.origin, "exec"), module.__dict__)
    importlib.import_module("weir.schemas.streams").payments = module  # type: ignore[attr-defined] # as an import would


def main() -> None:
    """Run the worker that the first argument describes."""
    redeclare()
    orders = pickle.loads(base64.b64decode(sys.argv[1]))
    importlib.import_module("tests.faults.worker").run(orders)


if __name__ == "__main__":
    main()
