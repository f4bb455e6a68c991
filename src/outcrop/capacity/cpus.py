"""Who holds which CPUs of this machine. The first one always stays for the gateway and for what
runs on demand; reserved ones are given from the end."""

from collections.abc import Sequence

from outcrop.engines.placement import usable_cpus
from outcrop.processes.affinity import CAN_BIND, allowed_cpus


class CpuLedger:
    """``limit`` is how many may be reserved, None for all but one; ``cpus`` are the machine's."""

    def __init__(self, limit: int | None, cpus: Sequence[int] | None = None) -> None:
        self.cpus = allowed_cpus() if cpus is None else tuple(cpus)
        # A container's quota may be less than the CPUs it sees.
        most = usable_cpus(len(self.cpus)) - 1
        if cpus is None and not CAN_BIND:
            most = 0
        count = most if limit is None else min(limit, most)
        self.reservable = self.cpus[len(self.cpus) - count :]
        self._held: dict[str, tuple[int, ...]] = {}

    @property
    def free(self) -> tuple[int, ...]:
        held = self.reserved
        return tuple(cpu for cpu in self.reservable if cpu not in held)

    @property
    def reserved(self) -> frozenset[int]:
        return frozenset(cpu for cpus in self._held.values() for cpu in cpus)

    def by_holder(self) -> dict[str, tuple[int, ...]]:
        return dict(self._held)

    def take(self, holder: str, count: int) -> tuple[int, ...]:
        """Raises ValueError where so many are not free, or the holder has some already."""
        free = self.free
        if not 1 <= count <= len(free) or holder in self._held:
            raise ValueError(f"{holder} cannot take {count} of {len(free)} CPUs")
        self._held[holder] = free[len(free) - count :]
        return self._held[holder]

    def give_back(self, holder: str) -> None:
        self._held.pop(holder, None)
