"""Run pipeline stages in their own threads, connected by bounded queues."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue
from threading import Event
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T], Iterator[T]):
    """Run an iterable in a background thread, at most `depth` items ahead; a context manager.

    Order is kept. An exception of the iterable is raised by `next` once the items before it are consumed.
    Leaving the block early stops the thread after the item it is working on. The iterable is only ever
    touched by that thread until the block is left.
    """

    def __init__(self, items: Iterable[T], depth: int = 8) -> None:
        self._items = items
        self._queue: Queue[tuple[T] | None] = Queue(max(1, depth))  # None: the iterable has ended
        self._stop = Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._work: Future[None] | None = None
        self._ended = False

    def __enter__(self) -> Self:
        self._work = self._pool.submit(self._produce)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._ended = True
        self._pool.shutdown(wait=True)

    def __next__(self) -> T:
        if self._work is None:
            raise RuntimeError("Prefetch is used inside a `with` block")
        if self._ended:
            raise StopIteration
        item = self._queue.get()
        if item is None:
            self._ended = True
            self._work.result()  # raises what stopped the iterable, if anything did
            raise StopIteration
        return item[0]

    def _produce(self) -> None:
        try:
            for item in self._items:
                if not self._put((item,)):
                    return
        finally:
            self._put(None)

    def _put(self, item: tuple[T] | None) -> bool:
        """Queue the item. Return False when the consumer has left."""
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.05)
            except Full:
                continue
            return True
        return False
