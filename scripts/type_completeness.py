"""Check that type checkers know the types of the package's public symbols, as its users see them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = "airflow_provider_migration"
MIN_SCORE: Final = 0.98
"""The rest derives from classes of Airflow, whose providers ship without ``py.typed``."""


def main() -> None:
    """Print the symbols without a known type, and fail if they are too many."""
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "basedpyright", "--verifytypes", PACKAGE),
            *("--ignoreexternal", "--outputjson", "--pythonpath", sys.executable),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},  # it finds no editable installation
        check=False,  # it fails unless all types are known
        capture_output=True,
        text=True,
    )
    try:
        completeness = json.loads(checked.stdout)["typeCompleteness"]
    except (ValueError, KeyError):
        sys.exit(f"basedpyright has failed: {checked.stdout}{checked.stderr}")
    score = completeness["completenessScore"]
    print(f"Types known of {score:.1%} of the public symbols (basedpyright)")
    if score < MIN_SCORE:
        for symbol in completeness["symbols"]:
            if symbol["isExported"] and not symbol["isTypeKnown"]:
                print(
                    symbol["name"], *(problem["message"] for problem in symbol["diagnostics"]), sep="\n    "
                )
        sys.exit(f"At least {MIN_SCORE:.0%} are needed. Annotate the symbols above.")


if __name__ == "__main__":
    main()
