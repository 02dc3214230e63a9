"""``weir init``: a folder with a stream of your own, made from one that is shipped.

The declaration is the shipped one, word for word, with its imports from ``weir``; the rest is in ``templates/``.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from string import Template
from typing import Final

from weir.infra.arguments import Parser
from weir.schemas.errors import Refused
from weir.schemas.printable import escape
from weir.schemas.project import PROJECT_FILE, SHIPPED, LoadedStream, load_shipped, shipped_names

_TEMPLATES: Final = Path(__file__).parent / "templates"
_IMPORTS: Final = re.compile(r"^from weir\.schemas\.\w+ import ([\w, ]+)\n", re.MULTILINE)
_NOT_OF_A_NAME: Final = re.compile(r"[^a-z0-9_-]+")
_IGNORED: Final = ".weir/\n"
"""What commands keep in the folder is of one machine."""


def main(argv: list[str]) -> int:
    """Run ``weir init``. Exit codes: 0 done, 2 misused or refused."""
    arguments = _build_parser().parse_args(argv[1:])
    folder: Path = arguments.folder.absolute()
    _refuse_used(folder)
    files = build_project(folder.name, arguments.like)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    sys.stdout.write("".join(f"{escape(str(arguments.folder / name))}\n" for name in files))
    sys.stdout.write(f"next: cd {escape(str(arguments.folder))} && weir check && weir demo\n")
    return 0


def _build_parser() -> Parser:
    parser = Parser(prog="weir init", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder that is new or empty")
    parser.add_argument(
        "--like", choices=shipped_names(), default="payments", help="the stream to begin with (default: payments)"
    )
    return parser


def _refuse_used(folder: Path) -> None:
    """Refuse a folder in which something could be written over.

    Raises:
        Refused: it is a file, or has anything in it.
    """
    if folder.exists() and not folder.is_dir():
        raise Refused(f"expected a new or empty folder, found a file at {folder}")
    if folder.is_dir() and (there := sorted(path.name for path in folder.iterdir())):
        raise Refused(f"expected a new or empty folder, found {there[0]} in {folder}; nothing was written")


def build_project(folder_name: str, like: str) -> dict[str, str]:
    """Return the files of a project, by their paths in it.

    Args:
        folder_name: what the project is called, as far as a name can hold it.
        like: one of ``shipped_names()``.
    """
    loaded = load_shipped(like)
    stream = loaded.stream
    words = {"name": name_project(folder_name), "like": like, "schema": stream.schema}
    texts = {name: (_TEMPLATES / name).read_text(encoding="utf-8") for name in (PROJECT_FILE, "README.md")}
    return {
        **{name: Template(text).substitute(words) for name, text in texts.items()},
        ".gitignore": _IGNORED,
        f"streams/{like}.py": import_from_weir((SHIPPED / f"{like}.py").read_text(encoding="utf-8")),
        **{f"streams/{name}": text for name, text in _schemas_of(loaded)},
        "generator.toml": (_TEMPLATES / f"generator_{like}.toml").read_text(encoding="utf-8"),
        f"tests/test_{like}.py": (_TEMPLATES / f"test_{like}.py.txt").read_text(encoding="utf-8"),
    }


def name_project(folder_name: str) -> str:
    """Return a project's name for a folder's.

    >>> name_project("My Risk"), name_project("2026")
    ('my-risk', 'risk-2026')
    """
    name = _NOT_OF_A_NAME.sub("-", folder_name.lower()).strip("-_")[:58]
    return name if name[:1].isalpha() else f"risk-{name}".rstrip("-")


def import_from_weir(declaration: str) -> str:
    r"""Return a shipped declaration as a user writes it: all names of a stream's file come from ``weir``.

    >>> import_from_weir("from weir.schemas.entity import Entity\nfrom weir.schemas.expression import col\n")
    'from weir import Entity, col\n'
    """
    names = sorted({name for found in _IMPORTS.findall(declaration) for name in found.split(", ")})
    first, *others = _IMPORTS.split(declaration)[::2]
    return f"{first}from weir import {', '.join(names)}\n{''.join(others)}"


def _schemas_of(loaded: LoadedStream) -> list[tuple[str, str]]:
    """Return the newest schemas, to be read by people: the first version of the user's own."""
    newest = [(loaded.stream.schema, loaded.schemas[-1])]
    if loaded.stream.labels and loaded.labels_schema:
        newest.append((loaded.stream.labels.schema, loaded.labels_schema))
    return [(name, _lay_out(text)) for name, text in newest]


def _lay_out(schema_json: str) -> str:
    """Write a schema with a line for each field."""
    schema = json.loads(schema_json)
    fields = ",\n".join(f"    {json.dumps(field)}" for field in schema.pop("fields"))
    head = json.dumps(schema, indent=2).removesuffix("\n}")
    return f'{head},\n  "fields": [\n{fields}\n  ]\n}}\n'
