"""The requests of a client, by name: declared beside the code that answers them, with what the client may expect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rrdbg.frontends.dap.channel import Body
from rrdbg.model.document import Document

if TYPE_CHECKING:
    from rrdbg.frontends.dap.session import Session

Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Then:
    """An answer, and what is done when the client has it: a movement, whose end is an event."""

    work: Work
    body: Body | None = None


Handler = Callable[["Session", Document], Awaitable["Body | Then | None"]]


class Requests:
    """A set of requests; ``capabilities`` are what a client is told that it may use."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._early: set[str] = set()
        self.capabilities: Body = {}

    def answers(self, name: str, *capabilities: str, early: bool = False) -> Callable[[Handler], Handler]:
        """Declare the decorated handler for requests of this name; ``early`` ones may come before a recording is open.

        It refuses by raising an :class:`~rrdbg.errors.RrdbgError`, whose sentence the user is shown.
        """

        def declare(handler: Handler) -> Handler:
            self._handlers[name] = handler
            self.capabilities |= dict.fromkeys(capabilities, True)
            if early:
                self._early.add(name)
            return handler

        return declare

    def include(self, other: Requests) -> None:
        """Add all requests of another set."""
        self._handlers |= other._handlers
        self._early |= other._early
        self.capabilities |= other.capabilities

    def find(self, name: str) -> Handler | None:
        """Who answers requests of this name."""
        return self._handlers.get(name)

    def is_early(self, name: str) -> bool:
        """True if it may come before a recording is open."""
        return name in self._early
