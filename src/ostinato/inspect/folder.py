"""A report on disk, whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InspectError

FORMAT = "ostinato.look"
DATA, PAGE = "report.json", "report.html"


@contextmanager
def staged(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """A folder to write into, which becomes `path` when the block ends, and vanishes when it fails.

    An older report in its place stays until the new one is whole.

    Raises:
        InspectError: `path` exists and may not be overwritten, or cannot be written.
    """
    check_free(path, overwrite)
    place = path.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    except OSError as error:
        raise InspectError(f"{path} cannot be written: {error.strerror or error}; choose another folder") from None
    try:
        whole = beside / place.name
        whole.mkdir()
        yield whole
        check_free(path, overwrite)
        if place.exists():
            place.rename(beside / "old")
            try:
                whole.rename(place)
            except BaseException:
                (beside / "old").rename(place)
                raise
        else:
            whole.rename(place)
    except OSError as error:
        raise InspectError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside)


def check_free(path: Path, overwrite: bool) -> None:
    """Whether a report may be written there.

    Raises:
        InspectError: it may not.
    """
    if not path.exists():
        return
    if not overwrite:
        raise InspectError(f"{path} exists already; choose another folder, or overwrite it (--overwrite)")
    if not _is_report(path) and not (path.is_dir() and not any(path.iterdir())):
        raise InspectError(f"{path} exists and is not a report of this command, so it stays; choose another folder")


def _is_report(path: Path) -> bool:
    try:
        content = json.loads((path / DATA).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT
