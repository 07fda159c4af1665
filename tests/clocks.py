"""An event loop on which hours pass at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        select = self._selector.select  # type: ignore[attr-defined] # a private one

        def jump(timeout: float | None) -> Any:
            self.now += timeout or 0
            return select(0 if timeout is not None else None)

        self._selector.select = jump  # type: ignore[attr-defined] # a private one

    def time(self) -> float:
        return self.now


def in_virtual_time(play: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run something on such a loop, and return what it comes to."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(play())
