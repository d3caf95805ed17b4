"""In which address spaces a location counts, and how a hit says in which it was."""

from __future__ import annotations

from dataclasses import dataclass, field

from rrdbg.commands.session import Session
from rrdbg.errors import UsageError
from rrdbg.model.hits.address_space import AddressSpace


@dataclass(slots=True)
class Scope:
    """Hits of one location: in the address space ``only``, or in all if that is None.

    They are ``told`` apart where it matters: where the location depends on the address space at the cursor, and from
    where a second one has been met, if it is no kernel's (``by_process``).
    """

    only: AddressSpace | None = None
    told: bool = False
    by_process: bool = False
    met: set[int | None] = field(default_factory=set)

    @classmethod
    async def at(cls, session: Session, address: int, *, here: bool) -> Scope:
        """The scope of a location at ``address``: the one at the cursor alone if it is to be ``here``.

        :raises UsageError: the address means the same in all.
        """
        space = await session.replay.space_of(address)
        if here and space is None:
            raise UsageError(
                f"No process's page tables decide here what is at {address:#x}, so --here says nothing; leave it out, "
                "or go to where the process runs."
            )
        return cls(space if here else None, space is not None and not here, not address >> 63)

    def said(self, root: int | None) -> tuple[str, dict[str, str]]:
        """What a hit in the address space of ``root`` says of it, in words and as a field."""
        self.met.add(root)
        if root is None or not (self.told or (self.by_process and len(self.met) > 1)):
            return "", {}
        return f"  in address space {root:#x}", {"space": f"{root:#x}"}
