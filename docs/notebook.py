"""Runs a page of docs/ as a notebook: its Python programs in their order, in one namespace and in the page's folder, so
that the pictures which they save are those that the page shows. What a program prints is written into the block of text
behind it.

python docs/notebook.py docs/guide.md
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

PROGRAM = re.compile(r"^```python\n(?P<text>.*?)^```\n(?:\n```text\n(?P<printed>.*?)^```\n)?", re.DOTALL | re.MULTILINE)


def run(page: Path) -> tuple[dict[str, Any], list[str]]:
    """Run a page in the current folder.

    Returns:
        What its programs leave behind, by name; and what each printed.
    """
    names: dict[str, Any] = {}
    printed = []
    content = page.read_text(encoding="utf-8")
    for found in PROGRAM.finditer(content):
        # so that a traceback has the lines of the page
        above = "\n" * content.count("\n", 0, found.start("text"))
        with redirect_stdout(StringIO()) as output:
            exec(compile(above + found["text"], str(page), "exec"), names)
        printed.append(output.getvalue())
    return names, printed


def printed(page: Path) -> list[str]:
    """What the page says that its programs print."""
    return [found["printed"] or "" for found in PROGRAM.finditer(page.read_text(encoding="utf-8"))]


def main() -> None:
    page = Path(sys.argv[1]).resolve()
    os.chdir(page.parent)
    rest = iter(run(page)[1])

    def filled(found: re.Match[str]) -> str:
        output = next(rest)
        return f"```python\n{found['text']}```\n" + (f"\n```text\n{output}```\n" if output else "")

    page.write_text(PROGRAM.sub(filled, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
