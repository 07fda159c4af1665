"""Run every benchmark, show the tables, and write them to RESULTS.md."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent

BENCHMARKS: Final = ("deferred_poll.py", "sync_poll.py", "dag_parse.py", "drs_pages.py", "density.py")

PACKAGES: Final = (
    "apache-airflow",
    "aiohttp",
    "requests",
    "urllib3",
    "pydantic",
    "apache-airflow-providers-amazon",
    "apache-airflow-providers-databricks",
    "apache-airflow-providers-http",
    "airflow-provider-fivetran-async",
    "alibabacloud-dts20200101",
    "huaweicloudsdkdrs",
)

HEAD: Final = """# Side by side

Written by `make bench` on {date}, on {cpus} CPUs, with Python {python}:
{packages}.

CPU is user and system time of the measuring process, in milliseconds. A ratio is of two cases in the same
round; of all rounds the table has the median, the lowest and the highest. Only the ratios say something: the
milliseconds are of one machine on one day.
"""


def main() -> None:
    """Run them one after the other, each in a process of its own."""
    head = HEAD.format(
        date=dt.date.today().isoformat(),
        cpus=os.cpu_count(),
        python=platform.python_version(),
        packages=",\n".join(f"{name} {version(name)}" for name in PACKAGES),
    )
    tables = []
    for name in BENCHMARKS:
        done = subprocess.run([sys.executable, str(HERE / name)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name} failed:\n{done.stderr}")
        print(done.stdout, flush=True)
        tables.append(done.stdout)
    (HERE / "RESULTS.md").write_text("\n".join([head, *tables]))


if __name__ == "__main__":
    main()
