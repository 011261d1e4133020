"""The page of a report: one HTML file that holds its pictures and needs nothing from anywhere else."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape

#: Of one section: title, caption, and its picture as PNG on a light and on a dark ground.
Part = tuple[str, str, bytes, bytes]

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
img {{ width: 100%; height: auto; display: block; }}
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
<picture>
<source media="(prefers-color-scheme: dark)" srcset="{dark}">
<img src="{light}" alt="{title}. {caption}">
</picture>
</section>"""


def page(title: str, sentences: Sequence[str], parts: Sequence[Part]) -> str:
    """The whole file."""
    made = [
        _PART.format(title=escape(title), caption=escape(caption), light=_embedded(light), dark=_embedded(dark))
        for title, caption, light, dark in parts
    ]
    told = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return _PAGE.format(title=escape(title), sentences=told, parts="\n".join(made))


def _embedded(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode('ascii')}"
