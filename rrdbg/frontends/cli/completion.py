"""``rrdbg completion``: what makes a shell complete rrdbg's command line; and the other half, which answers it.

The words come from the parser itself, by the package ``argcomplete``: the shell's function starts rrdbg once more with
what was typed so far, and is told what could come next.
"""

from __future__ import annotations

import argparse

from rrdbg.errors import UsageError
from rrdbg.store.library import Library

_SHELLS = ("bash", "zsh", "fish")
_DESCRIPTION = """
Print what makes a shell complete subcommands, options, files and the names of recordings. Load it where your shell
starts: eval "$(rrdbg completion bash)" in ~/.bashrc, the same with zsh in ~/.zshrc behind compinit, or for fish: rrdbg
completion fish > ~/.config/fish/completions/rrdbg.fish
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the subcommand."""
    parser = commands.add_parser("completion", help="print completions for your shell", description=_DESCRIPTION)
    parser.add_argument("shell", choices=_SHELLS, help="whose")
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    try:
        from argcomplete.shell_integration import shellcode
    except ImportError:
        raise UsageError(
            "Completions need the Python package 'argcomplete'; install it with: pip install 'rrdbg[completion]'"
        ) from None
    print(shellcode(["rrdbg"], shell=arguments.shell))
    return 0


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell that asks what may come next on the line for ``parser``, and end."""
    from argcomplete import autocomplete
    from argcomplete.completers import BaseCompleter, FilesCompleter

    class Words(BaseCompleter):
        """Recordings where one is asked for, and files."""

        def __call__(self, *, prefix: str, action: argparse.Action, **_: object) -> list[str]:
            names = [path.name for path in Library.default().recordings()] if action.dest == "recording" else []
            return [*(name for name in names if name.startswith(prefix)), *FilesCompleter()(prefix)]

    autocomplete(parser, default_completer=Words())
