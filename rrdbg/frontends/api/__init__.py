"""The Python API: a recording as an object, for scripts (:class:`Replay`) and for asyncio (:class:`AsyncReplay`).

What is here is offered as ``rrdbg.NAME``.
"""

from rrdbg.frontends.api.asynchronous import AsyncReplay
from rrdbg.frontends.api.opening import open_recording, record, record_async
from rrdbg.frontends.api.queries import Call, Line
from rrdbg.frontends.api.synchronous import Replay

__all__ = ["AsyncReplay", "Call", "Line", "Replay", "open_recording", "record", "record_async"]
