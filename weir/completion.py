"""``weir completion bash|zsh|fish``: a script that completes commands in a shell, made from the table of commands.

Bash takes it by ``source <(weir completion bash)``. After ``--stream`` it asks ``weir completion streams`` for the
names in the folder. What else follows a command is left to the shell: names of files.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from weir.infra.arguments import STREAM_FLAG, Parser

_STREAMS: Final = "weir completion streams 2>/dev/null"
Commands = Mapping[str, str]
"""Name of a command to its line of help."""


def render_bash(commands: Commands) -> str:
    """Return the script for bash."""
    return f"""_weir() {{
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W {shlex.quote(" ".join(commands))} -- "${{COMP_WORDS[1]}}"))
    elif [[ ${{COMP_WORDS[COMP_CWORD-1]}} == {STREAM_FLAG} ]]; then
        COMPREPLY=($(compgen -W "$({_STREAMS})" -- "${{COMP_WORDS[COMP_CWORD]}}"))
    fi
}}
complete -o default -F _weir weir
"""


def render_zsh(commands: Commands) -> str:
    """Return the script for zsh."""
    described = "\n".join(f"        {shlex.quote(f'{name}:{text}')}" for name, text in commands.items())
    return f"""#compdef weir
_weir() {{
    local -a commands=(
{described}
    )
    if ((CURRENT == 2)); then _describe command commands
    elif [[ ${{words[CURRENT-1]}} == {STREAM_FLAG} ]]; then compadd -- ${{(f)"$({_STREAMS})"}}
    else _files; fi
}}
compdef _weir weir
"""


def render_fish(commands: Commands) -> str:
    """Return the script for fish."""
    rows = (f"-a {name} -d {shlex.quote(text)}" for name, text in commands.items())
    streams = f"complete -c weir -l {STREAM_FLAG.removeprefix('--')} -x -a '({_STREAMS})'\n"
    return "".join(f"complete -c weir -n __fish_use_subcommand -f {row}\n" for row in rows) + streams


SHELLS: Final[Mapping[str, Callable[[Commands], str]]] = {"bash": render_bash, "zsh": render_zsh, "fish": render_fish}


def main(argv: list[str]) -> int:
    """Print the script of a shell."""
    from weir.cli import VERBS  # noqa: PLC0415  (the command line imports a command, and this one lists them all)

    parser = Parser(prog="weir completion", description="Print a script that completes commands in your shell.")
    parser.add_argument("shell", choices=(*SHELLS, "streams"), help="or the names of the streams in this folder")
    shell = parser.parse_args(argv[1:]).shell
    if shell == "streams":
        return _print_streams()
    sys.stdout.write(SHELLS[shell]({name: text for name, (_, text) in VERBS.items()}))
    return 0


def _print_streams() -> int:
    from weir.schemas.project import load_streams  # noqa: PLC0415  (a script of a shell needs none)

    sys.stdout.writelines(f"{name}\n" for name in load_streams(Path.cwd())[0])
    return 0
