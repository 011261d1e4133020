"""What the flags of several commands have in common: how they are read, and the panels of --help they stand in."""

from __future__ import annotations

from typing import Any

import typer

from .usage import number, whole

MODEL, DATA, OUTPUT = "The network", "The rows", "What is written"


def text(help: str, panel: str | None = None) -> Any:
    """A flag that takes words, or a path."""
    return typer.Option(help=help, rich_help_panel=panel)


def integer(help: str, panel: str | None = None, *names: str) -> Any:
    """A flag that takes a whole number."""
    return typer.Option(*names, parser=whole, metavar="<int>", help=help, rich_help_panel=panel)


def real(help: str, panel: str | None = None) -> Any:
    """A flag that takes a number."""
    return typer.Option(parser=number, metavar="<float>", help=help, rich_help_panel=panel)


def switch(name: str, help: str, panel: str | None = None) -> Any:
    """A flag that takes nothing, and has no opposite."""
    return typer.Option(name, help=help, rich_help_panel=panel)
