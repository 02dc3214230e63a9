"""Makes the README's picture: runs the demo in a terminal of its own and keeps one drawing of its live view.

``make picture``. The picture is an SVG of text in the reader's own monospace font; nothing in it comes from a network.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
from datetime import UTC, datetime
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from tests.house.source import ROOT

COLUMNS, ROWS = 118, 36
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
BYTES_MAX = 300_000
_FRAME = re.compile(r"(?:\r?\x1b\[2K|\x1b\[1A)+")
"""What comes before each drawing of the view: it goes up over the one before, and wipes it."""
_NOT_A_STYLE = re.compile(r"\x1b\[[0-9?]*[A-Za-ln-z]|\r")


def main() -> int:
    """Run the demo, write the picture, and return the demo's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of live traffic (default 60)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/pictures/demo.svg")
    arguments = parser.parse_args()
    code, shown = record(["-m", "weir", "demo", "--seconds", str(arguments.seconds)])
    if code == 0:
        arguments.out.write_text(draw(choose_view(shown), f"make demo, {datetime.now(UTC):%Y-%m-%d}"))
    return code


def record(words: list[str]) -> tuple[int, str]:
    """Run Python in a terminal, pass on what it writes, and return its exit code and all of that."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        os.execv(sys.executable, [sys.executable, *words])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    written = bytearray()
    while block := _read(terminal):
        written += block
        os.write(sys.stdout.fileno(), block)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), written.decode(errors="replace")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # how a terminal says that its program has ended
        return b""


def choose_view(shown: str) -> str:
    """Return the live view as it was after three quarters of its drawings, with its colours.

    Raises:
        ValueError: there is none.
    """
    drawings = [_NOT_A_STYLE.sub("", part).strip("\n") for part in _FRAME.split(shown)]
    whole = [drawing for drawing in drawings if drawing.count("\n") > ROWS // 2 and "latest declined" in drawing]
    if not whole:
        raise ValueError(f"expected the demo's view in {len(shown)} characters, found no drawing of it")
    return whole[len(whole) * 3 // 4]


def draw(view: str, title: str) -> str:
    """Return a drawing as an SVG whose fonts are the reader's.

    Raises:
        ValueError: it is too large, or would load something.
    """
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(view), no_wrap=True, crop=True)
    template = re.sub(r"@font-face \{\{.*?\}\}\n\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    template = template.replace("Fira Code, monospace", FONT)
    svg = console.export_svg(title=title, code_format=template, unique_id="demo")
    if len(svg) > BYTES_MAX or "url(http" in svg or "@font-face" in svg or 'url("http' in svg:
        raise ValueError(f"expected a picture below {BYTES_MAX} bytes that loads nothing, found {len(svg)} bytes")
    return svg


if __name__ == "__main__":
    sys.exit(main())
