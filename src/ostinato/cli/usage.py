"""Words that the command does not understand: one sentence and exit code 2, as for data that do not do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

#: The base of what typer raises for them, which has no public name.
UsageError: Any = typer.BadParameter.__mro__[1]
#: No flag makes sense of more, and no tensor has as many entries along a side.
MOST = 2**32 - 1


class Commands(TyperGroup):
    """A group of commands that answers in a sentence rather than in typer's box."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """See typer; exits unless `standalone_mode` is false."""
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except UsageError as error:
            print(f"ostinato: {_sentence(error)}", file=sys.stderr)
            code = error.exit_code
        if standalone_mode:
            sys.exit(code)
        return code


def _sentence(error: Any) -> str:
    refused = type(error) is typer.BadParameter and error.param is not None
    said = f"{error.param.opts[0]} {error.message}" if refused else error.format_message()
    command = error.ctx.command_path if error.ctx else "ostinato"
    said = said.rstrip(".").replace(". Did you mean", "; did you mean")
    return f"{said[0].lower()}{said[1:]}; see {command} --help"


def whole(text: str) -> int:
    """The whole number that a flag was given."""
    try:
        value = int(text)
    except ValueError:
        raise typer.BadParameter(f"is {text!r}; expected a whole number such as 30") from None
    if abs(value) > MOST:
        raise typer.BadParameter(f"is {text!r}; expected a whole number of at most {MOST:,}")
    return value


def number(text: str) -> float:
    """The number that a flag was given."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"is {text!r}; expected a number such as 0.2") from None
