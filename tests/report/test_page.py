"""The page: what may be broken across lines, what may be moved, and that words are words."""

from __future__ import annotations

import re

from ostinato.report.page import PROSE, Grid, page

LONG = "a review of many words, and more of them than a name has " * 3


def cells(html: str, tag: str) -> list[tuple[str, str]]:
    """The class and the words of each."""
    return re.findall(rf'<{tag}(?: class="(\w+)")?>([^<]*)</{tag}>', html)


def test_numbers_and_names_stay_whole_and_only_texts_are_broken() -> None:
    rows = [("majority", "50.1%", "short"), ("bag of n-grams", "49.4%", LONG)]
    html = page("a title", [], [Grid("Scores", "", ("name", "accuracy", "text"), rows, (1,), 1)])
    assert [kind for kind, _ in cells(html, "td")] == ["", "number", "prose"] * 2
    assert [kind for kind, _ in cells(html, "th")] == ["", "number", "prose"]
    style = html[html.index("<style>") : html.index("</style>")]
    breaking = [rule for rule in style.split("}") if "anywhere" in rule]
    assert len(breaking) == 1
    assert breaking[0].strip().startswith(".prose")


def test_a_name_is_no_text() -> None:
    for length, kind in ((PROSE, ""), (PROSE + 1, "prose")):
        html = page("a title", [], [Grid("Classes", "", ("class",), [("x" * length,)])])
        assert [found for found, _ in cells(html, "td")] == [kind]


def test_a_grid_without_rows_has_its_header() -> None:
    html = page("a title", [], [Grid("Classes", "", ("class", "rows"), [], (1,))])
    assert cells(html, "th") == [("", "class"), ("number", "rows")]


def test_words_are_no_markup() -> None:
    html = page("<b>", ["a < b & c"], [Grid("<i>", "<u>", ("<s>",), [("<td>",)]), ("<p>", '"quoted"', b"1", b"2")])
    for word in ("<b>", "<i>", "<u>", "<s>"):
        assert word not in html
    assert "a &lt; b &amp; c" in html
    assert 'alt="&lt;p&gt;. &quot;quoted&quot;"' in html


def test_a_picture_is_wider_than_a_phone_and_moves_in_its_frame() -> None:
    html = page("a title", [], [("Loss", "over time", b"light", b"dark")])
    assert re.search(r"img \{[^}]*min-width: 800px", html)
    assert re.search(r"div \{[^}]*overflow-x: auto", html)
    assert re.search(r"<div><picture>.*?</picture></div>", html, re.S)
