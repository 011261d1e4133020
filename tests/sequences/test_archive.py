"""The `.ts` files of the UCR and UEA archives."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.sequences import read_pair, read_ts

UNEQUAL = """#two sensors
@problemName Steps
@timeStamps false
@missing false
@univariate false
@dimensions 2
@equalLength false
@classLabel true up down
@data
1,2,3:4,5,6.5:up
% a comment

-1e2,0:7,8:down
"""


def written(tmp_path: Path, text: str, name: str = "Steps_TRAIN.ts") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_dimensions_of_unequal_lengths_and_classes(tmp_path: Path) -> None:
    found = read_ts(written(tmp_path, UNEQUAL))
    assert [one.tolist() for one in found.sequences] == [[[1, 4], [2, 5], [3, 6.5]], [[-100, 7], [0, 8]]]
    assert found.labels is not None
    assert found.labels.tolist() == ["up", "down"]
    assert found.features == ("dimension 1", "dimension 2")


def test_equal_lengths_and_targets(tmp_path: Path) -> None:
    text = "@univariate true\n@equalLength true\n@seriesLength 2\n@TargetLabel true\n@DATA\n1,2:0.5\n3,4:-1e3\n"
    found = read_ts(written(tmp_path, text))
    assert found.labels is not None
    assert found.labels.tolist() == [0.5, -1000]
    assert [one.tolist() for one in found.sequences] == [[[1], [2]], [[3], [4]]]


def test_no_labels(tmp_path: Path) -> None:
    found = read_ts(written(tmp_path, "@classLabel false\n@data\n1,2:3,4\n"))
    assert found.labels is None
    assert found.sequences[0].tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("2,3:4", "?,3:4", r"line 10 has a missing value \(\?\) in dimension 1; fill it in, or leave the line out"),
        ("2,3:4", "NaN,3:4", r"line 10 has a missing value \(NaN\) in dimension 1"),
        ("2,3:4", ",3:4", "line 10 has an empty value in dimension 1"),
        ("2,3:4", "inf,3:4", "line 10 has a value in dimension 1 that is not finite"),
        ("7,8", "7,x8", r"line 13 has 'x8' in dimension 2; expected a number"),
        ("7,8", "7,8,9", "line 13 has dimensions of 2 and of 3 values; expected one length"),
        (":7,8", "", "line 13 has 1 dimensions; the header says 2"),
        (":down", "", "line 13 has 1 dimensions; the header says 2, a colon before each and before the label"),
        (":down", ":sideways", "line 13 has the class 'sideways'; the header has up, down"),
        ("@equalLength false", "@equalLength true\n@seriesLength 3", "line 14 has 2 steps; the header says 3"),
        ("@timeStamps false", "@timeStamps true", r"has time stamps \(@timeStamps true\)"),
        ("@timeStamps false", "@timeStamps perhaps", "line 3: @timestamps is perhaps; expected true or false"),
        ("@dimensions 2", "@dimensions two", "line 6: @dimensions is two; expected a whole number"),
        ("@classLabel true up down", "@classLabel true", "@classLabel true names no class"),
        ("@data", "data", "line 9 is not of a header; expected lines that begin with @"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    assert old in UNEQUAL
    with pytest.raises(InputError, match=sentence):
        read_ts(written(tmp_path, UNEQUAL.replace(old, new, 1)))


def test_dimensions_must_agree_where_the_header_does_not_say(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 3 has 2 dimensions; the first has 1"):
        read_ts(written(tmp_path, "@data\n1,2\n1,2:3,4\n"))


def test_a_target_must_be_a_number(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 3 has a missing value \(\?\) in its target"):
        read_ts(written(tmp_path, "@targetLabel true\n@data\n1,2:?\n"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no line @data"),
        ("@data\n", "has no sequence after @data"),
        ("@univariate true\n", "has no line @data"),
    ],
)
def test_files_without_sequences_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_ts(written(tmp_path, text))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No such file or directory; expected a .ts file"):
        read_ts(tmp_path / "nowhere.ts")
    (tmp_path / "binary.ts").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="is no text in UTF-8"):
        read_ts(tmp_path / "binary.ts")


@pytest.mark.parametrize("given", ["Steps", "Steps_TRAIN.ts", "Steps_TEST.ts"])
def test_a_pair_is_found_from_either_file(tmp_path: Path, given: str) -> None:
    written(tmp_path, UNEQUAL)
    written(tmp_path, UNEQUAL.replace("1,2,3", "9,9,9"), "Steps_TEST.ts")
    train, test = read_pair(tmp_path / given)
    assert (train.sequences[0][0, 0], test.sequences[0][0, 0]) == (1, 9)


def test_a_pair_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    written(tmp_path, UNEQUAL)
    with pytest.raises(InputError, match=r"Steps_TEST.ts not found; expected the pair"):
        read_pair(tmp_path / "Steps")
    written(tmp_path, "@classLabel true up\n@data\n1:up\n", "Steps_TEST.ts")
    with pytest.raises(InputError, match=r"has 1 dimensions; expected 2, as"):
        read_pair(tmp_path / "Steps")
    written(tmp_path, "@targetLabel true\n@data\n1:2:3\n", "Steps_TEST.ts")
    with pytest.raises(InputError, match="do not have the same kind of labels"):
        read_pair(tmp_path / "Steps")


@pytest.mark.slow
def test_speakers_of_japanese_vowels_are_told(project: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("japanese_vowels", project / "benchmarks" / "japanese_vowels.py")
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    try:
        program.fetch(tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("pip cannot download the wheel of aeon, which carries the data")
    assert np.mean(program.measure(tmp_path, 2)) > 0.95
