"""Answers from the vendors' documentation, and requests that their SDKs make."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Any]:
    """Load a fresh copy of a sample from a vendor's documentation."""
    return lambda name: json.loads((TESTS / "samples" / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Any]:
    """Read the requests that a vendor's SDK makes."""
    return lambda name: json.loads((TESTS / "vectors" / f"{name}.json").read_text())
