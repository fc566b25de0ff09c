"""One answer for all who ask at the same time: a question that anybody may ask must not cost more the more ask it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Asks at most once at a time, and believes the answer for a while."""

    def __init__(
        self, ask: Callable[[], Awaitable[T]], keep: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`keep`: seconds an answer is believed."""
        self._ask = ask
        self._keep = keep
        self._monotonic = monotonic
        self._last: tuple[float, T] | None = None
        self._asking: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        """The answer. Raises what the question raises."""
        if self._last is not None and self._monotonic() - self._last[0] < self._keep:
            return self._last[1]
        if self._asking is None:
            self._asking = asyncio.create_task(self._answer())
        return await asyncio.shield(self._asking)  # it outlives an asker that goes away

    async def _answer(self) -> T:
        try:
            answer = await self._ask()
        finally:
            self._asking = None
        self._last = (self._monotonic(), answer)
        return answer
