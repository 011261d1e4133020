"""What the repository says of itself is true: commands, versions, links, and nothing of one machine in it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import ostinato

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")])
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def tracked() -> list[Path]:
    """The text files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [PROJECT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()]


def documents() -> list[object]:
    return [pytest.param(path, id=str(path.relative_to(PROJECT))) for path in DOCUMENTS]


@pytest.mark.parametrize("document", documents())
def test_every_make_command_exists(document: Path) -> None:
    code = "\n".join(re.findall(r"```.*?```|`[^`]+`", document.read_text(), re.DOTALL))
    assert set(re.findall(r"\bmake ([a-z-]+)", code)) <= MAKE_TARGETS


def test_the_readme_names_the_two_commands() -> None:
    assert {"make demo", "make test"} <= set(re.findall(r"make \w+", (PROJECT / "README.md").read_text()))


def test_the_build_checks_run_what_the_readme_says() -> None:
    commands = (PROJECT / ".ci" / "run").read_text()
    assert (PROJECT / ".ci" / "run").stat().st_mode & 0o111
    assert "make test" in commands
    assert set(re.findall(r"^make ([a-z-]+)", commands, re.MULTILINE)) <= MAKE_TARGETS


@pytest.mark.parametrize("document", documents())
def test_every_link_leads_somewhere(document: Path) -> None:
    prose = re.sub(r"^( *)```.*?^\1```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)\s]+)\)", prose)
    local = [link.partition("#")[0] for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if link and not (document.parent / link).exists()] == []


def test_the_changelog_has_this_version() -> None:
    assert f"## [{ostinato.__version__}]" in (PROJECT / "CHANGELOG.md").read_text()


def test_the_license_is_the_declared_one() -> None:
    assert 'license = "Apache-2.0"' in (PROJECT / "pyproject.toml").read_text().splitlines()
    assert "Apache License\n" in (PROJECT / "LICENSE").read_text()


def test_every_pinned_dependency_is_exact() -> None:
    files = ("constraints.txt", "benchmarks/requirements.txt")
    lines = [line for name in files for line in (PROJECT / name).read_text().splitlines()]
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    assert [
        pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*(; python_version [<>]=? '3\.11')?", pin)
    ] == []


def test_no_file_names_a_machine_or_a_registry() -> None:
    paths = "|".join(["root", "home", "work", "Users", "tmp"])
    hosts = "|".join(["pypi" + r"\.org", "pythonhosted", r"download\.pytorch", "extra-index-url"])
    pattern = re.compile(rf"(?<![\w.}}/~-])/(?:{paths})/\w|{hosts}")
    found = [
        f"{path.relative_to(PROJECT)}:{number}: {line.strip()}"
        for path in tracked()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line) and path != Path(__file__)
    ]
    assert found == []


def test_nothing_is_compiled_for_one_machine_only() -> None:
    sources = [
        p for p in tracked() if p.name in ("CMakeLists.txt", "Makefile", "pyproject.toml") or p.suffix == ".cmake"
    ]
    assert sources
    assert [path.name for path in sources if "march=" + "native" in path.read_text()] == []


def test_every_folder_of_tests_is_collected(pytestconfig: pytest.Config) -> None:
    folders = {path for path in (PROJECT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert [folder.name for folder in folders if not any(folder.rglob("test_*.py"))] == []
    assert pytestconfig.getini("testpaths") == ["tests"]
    strays = [path for path in tracked() if re.fullmatch(r"test_\w+\.py|\w+_test\.py", path.name)]
    assert [path for path in strays if PROJECT / "tests" not in path.parents] == []
