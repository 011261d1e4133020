"""The page of a report: one HTML file that holds its pictures and needs nothing from anywhere else."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Of one section: title, caption, and its picture as PNG on a light and on a dark ground.
Part = tuple[str, str, bytes, bytes]

#: Characters of the longest name; a cell with more holds a text.
PROSE = 40


@dataclass(frozen=True)
class Grid:
    """A section with a table.

    Attributes:
        title, caption: of the section.
        columns: names.
        rows: cells, as words.
        numbers: the columns that hold numbers, and stand at the right.
        strong: the row that stands out, or None.
    """

    title: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] = ()
    strong: int | None = None


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{ --ground: #ffffff; --text: #22272e; --quiet: #5a646f; --line: #d5dae0; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ground: #16191d; --text: #e6eaee; --quiet: #9aa5b1; --line: #3a424c; }}
}}
body {{ margin: 0 auto; max-width: 1200px; padding: 1.5rem; background: var(--ground); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 1.5rem; }}
h2 {{ font-size: 1.15rem; margin: 2.5rem 0 0.25rem; border-top: 1px solid var(--line); padding-top: 1.25rem; }}
p {{ color: var(--quiet); margin: 0 0 0.75rem; max-width: 70ch; }}
li {{ margin: 0.2rem 0; }}
img {{ width: 100%; min-width: 800px; height: auto; display: block; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 0.92rem; }}
th, td {{ padding: 0.25rem 0.75rem 0.25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }}
.prose {{ min-width: 30ch; overflow-wrap: anywhere; }}
.number {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
.strong td {{ font-weight: 600; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<ul>
{sentences}
</ul>
{parts}
</main>
</body>
</html>
"""

_PART = """<section>
<h2>{title}</h2>
<p>{caption}</p>
<div><picture>
<source media="(prefers-color-scheme: dark)" srcset="{dark}">
<img src="{light}" alt="{title}. {caption}">
</picture></div>
</section>"""


_GRID = """<section>
<h2>{title}</h2>
<p>{caption}</p>
<div><table>
<thead><tr>{columns}</tr></thead>
<tbody>
{rows}
</tbody>
</table></div>
</section>"""


def page(title: str, sentences: Sequence[str], parts: Sequence[Part | Grid]) -> str:
    """The whole file."""
    made = [_grid(part) if isinstance(part, Grid) else _picture(part) for part in parts]
    told = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return _PAGE.format(title=escape(title), sentences=told, parts="\n".join(made))


def png(figure: Figure) -> bytes:
    """A figure as the file that a section holds."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _picture(part: Part) -> str:
    title, caption, light, dark = part
    return _PART.format(title=escape(title), caption=escape(caption), light=_embedded(light), dark=_embedded(dark))


def _grid(grid: Grid) -> str:
    kinds = [_kind(grid, column) for column in range(len(grid.columns))]
    marks = [f' class="{kind}"' if kind else "" for kind in kinds]

    def cells(kind: str, words: Sequence[str]) -> str:
        return "".join(f"<{kind}{mark}>{escape(word)}</{kind}>" for mark, word in zip(marks, words, strict=True))

    strong = ' class="strong"'
    rows = [
        f"<tr{strong if number == grid.strong else ''}>{cells('td', row)}</tr>" for number, row in enumerate(grid.rows)
    ]
    return _GRID.format(
        title=escape(grid.title), caption=escape(grid.caption), columns=cells("th", grid.columns), rows="\n".join(rows)
    )


def _kind(grid: Grid, column: int) -> str:
    """Numbers stay in one line, and so do names, where they can; only whole texts may be broken anywhere."""
    if column in grid.numbers:
        return "number"
    return "prose" if any(len(row[column]) > PROSE for row in grid.rows) else ""


def _embedded(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode('ascii')}"
