"""
Run the tests with every supported pair of Airflow and Python, each in its own environment.

Arguments such as ``3.1/3.12`` select single pairs; ``3.1`` selects the newest Python available for that
Airflow. Selected pairs run only the tests that can tell one Airflow from another. Without arguments all pairs
run all tests, and the result is written to ``docs/compatibility.md``.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

ROOT: Final = Path(__file__).resolve().parent.parent
WORK: Final = ROOT / ".matrix"
PAGE: Final = ROOT / "docs" / "compatibility.md"
RESULT: Final = re.compile(r"(?<=<!-- matrix -->\n).*(?=<!-- end of matrix -->)", re.DOTALL)
UV: Final = (sys.executable, "-m", "uv")
PIP: Final = (sys.executable, "-m", "pip")  # pip has the user's index and certificates configured

PYTHONS: Final = ("3.11", "3.12", "3.13")
LAST_PYTHON: Final[Mapping[str, str]] = {"2.11": "3.12", "3.0": "3.12"}
"""Newest Python of the releases that do not support the newest one here."""

RELEASES: Final = {
    ".".join(version.split(".")[:2]): version
    for path in sorted((ROOT / "constraints").glob("airflow-*.txt"))
    for version in [path.stem.removeprefix("airflow-")]
}
"""The version of each release that the constraints pin."""

NO_PYTHON: Final = "not run: no such Python here"

NEED_MORE: Final = (
    "tests/docs",
    "tests/ui/test_bad_answers.py",
    "tests/ui/test_objects.py",
    "tests/ui/test_pages.py",
    "tests/ui/test_verification.py",
    "tests/ui/test_waves.py",
    "tests/system/test_ui.py",
    "tests/system/test_bad_day.py",
    "tests/system/test_demo.py",
    "tests/test_dashboards.py",
    "tests/test_otel.py",
)
"""Tests that need a browser, Prometheus or the newest release, or take minutes: ``make test`` runs them with
that release."""

OF_ANY_AIRFLOW: Final = ("tests/auth", "tests/services")
"""Tests of modules that use no more of Airflow than its classes of exceptions."""


@dataclass(frozen=True)
class Pair:
    """A release of Airflow and a version of Python."""

    airflow: str
    python: str

    def __str__(self) -> str:
        return f"{self.airflow}/{self.python}"


def main() -> int:
    """Run the requested pairs and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", nargs="*", metavar="AIRFLOW[/PYTHON]", help=f"of {', '.join(RELEASES)}")
    asked = parser.parse_args().pairs
    everything = [Pair(airflow, python) for airflow in RELEASES for python in pythons_for(airflow)]
    pairs = [pair_of(name) for name in asked] or everything
    if unknown := [str(pair) for pair in pairs if pair not in everything]:
        parser.error(f"{unknown[0]} must be one of {', '.join(map(str, everything))}")
    WORK.mkdir(exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        left_out = (*NEED_MORE, *(OF_ANY_AIRFLOW if asked else ()))
        results = dict(zip(pairs, pool.map(partial(run, left_out=left_out), pairs), strict=True))
    table = table_of(results)
    print(f"\n{table}")
    if not asked:
        PAGE.write_text(RESULT.sub(f"\n{table}\n", PAGE.read_text()))
    return 0 if all(result == NO_PYTHON or result.endswith("passed") for result in results.values()) else 1


def pythons_for(airflow: str) -> tuple[str, ...]:
    """Return the versions of Python to test a release of Airflow with."""
    last = LAST_PYTHON.get(airflow, PYTHONS[-1])
    return PYTHONS[: PYTHONS.index(last) + 1]


def pair_of(name: str) -> Pair:
    """Return the pair that an argument names."""
    airflow, _, python = name.partition("/")
    possible = pythons_for(airflow)
    there = [version for version in possible if interpreter(version)]
    return Pair(airflow, python or (there or possible)[-1])


def run(pair: Pair, left_out: Sequence[str]) -> str:
    """Create an environment, run the tests in it except some, and return a short result."""
    python = interpreter(pair.python)
    if python is None:
        return NO_PYTHON
    name = f"airflow-{pair.airflow}-python-{pair.python}"
    environment, log, report = WORK / name, WORK / f"{name}.log", WORK / f"{name}.xml"
    binary = environment / "bin" / "python"
    constraints = ROOT / "constraints" / f"airflow-{RELEASES[pair.airflow]}.txt"
    steps: list[list[str | Path]] = [
        [*UV, "venv", "--quiet", "--clear", "--python", python, environment],
        [
            *(*PIP, "--python", binary, "install", "--quiet", "--disable-pip-version-check"),
            *("--constraint", constraints, "--group", "test", "--editable", ".[simulator]"),
        ],
        # Older releases warn about themselves and their dependencies, which is not ours to fix.
        [
            *(binary, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", "--disable-warnings"),
            *(f"--junitxml={report}", *(f"--ignore={path}" for path in left_out)),
        ],
    ]
    report.unlink(missing_ok=True)
    print(f"{pair}: running", flush=True)
    with log.open("w") as output:
        is_well = all(
            subprocess.run(step, cwd=ROOT, stdout=output, stderr=output, check=False).returncode == 0
            for step in steps
        )
    result = summary_of(report, is_well=is_well)
    print(f"{pair}: {result}", flush=True)
    if not is_well:
        print("".join(log.read_text().splitlines(keepends=True)[-60:]), flush=True)
    return result


def summary_of(report: Path, *, is_well: bool) -> str:
    """Summarise pytest's report."""
    if not report.exists():
        return "no tests run"
    (suite,) = ElementTree.parse(report).getroot()
    total, skipped = int(suite.attrib["tests"]), int(suite.attrib["skipped"])
    broken = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    if broken or not is_well:
        return f"{broken} of {total} failed"
    return (f"{skipped} skipped, " if skipped else "") + f"{total - skipped} passed"


def table_of(results: Mapping[Pair, str]) -> str:
    """Return the results as a table, with date and platform."""
    pythons = sorted({pair.python for pair in results})
    lines = [f"| Airflow | {' | '.join(f'Python {python}' for python in pythons)} |"]
    lines.append("|---" * (len(pythons) + 1) + "|")
    for airflow in dict.fromkeys(pair.airflow for pair in results):
        cells = [results.get(Pair(airflow, python), "–") for python in pythons]
        lines.append(f"| {RELEASES[airflow]} | {' | '.join(cells)} |")
    versions = [
        match[0] for python in pythons if (match := re.search(rf"{python}[.]\d+", str(interpreter(python))))
    ]
    lines.append(
        f"\nRun on {datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, "
        f"CPython {', '.join(versions or pythons)}."
    )
    return "\n".join(lines)


@cache
def interpreter(version: str) -> str | None:
    """Return the path of a version of Python, or None if it is not installed."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    environment = dict(os.environ)
    if pyenv := shutil.which("pyenv"):  # pyenv hides all but the selected versions
        installed = subprocess.run([pyenv, "versions", "--bare"], capture_output=True, text=True, check=True)
        environment["PYENV_VERSION"] = ":".join(installed.stdout.split())
    found = subprocess.run(
        [*UV, "python", "find", "--no-project", "--system", version],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or None


if __name__ == "__main__":
    sys.exit(main())
