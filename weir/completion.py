"""``weir completion bash|zsh|fish``: a script that completes commands in a shell, made from the table of commands.

Bash takes it by ``source <(weir completion bash)``. What follows a command is left to the shell: names of files.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from typing import Final

from weir.infra.arguments import Parser

Commands = Mapping[str, str]
"""Name of a command to its line of help."""


def render_bash(commands: Commands) -> str:
    """Return the script for bash."""
    return f"""_weir() {{
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W {shlex.quote(" ".join(commands))} -- "${{COMP_WORDS[1]}}"))
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
    if ((CURRENT == 2)); then _describe command commands; else _files; fi
}}
compdef _weir weir
"""


def render_fish(commands: Commands) -> str:
    """Return the script for fish."""
    rows = (f"-a {name} -d {shlex.quote(text)}" for name, text in commands.items())
    return "".join(f"complete -c weir -n __fish_use_subcommand -f {row}\n" for row in rows)


SHELLS: Final[Mapping[str, Callable[[Commands], str]]] = {"bash": render_bash, "zsh": render_zsh, "fish": render_fish}


def main(argv: list[str]) -> int:
    """Print the script of a shell."""
    from weir.cli import VERBS  # noqa: PLC0415  (the command line imports a command, and this one lists them all)

    parser = Parser(prog="weir completion", description="Print a script that completes commands in your shell.")
    parser.add_argument("shell", choices=SHELLS)
    shell = parser.parse_args(argv[1:]).shell
    sys.stdout.write(SHELLS[shell]({name: text for name, (_, text) in VERBS.items()}))
    return 0
