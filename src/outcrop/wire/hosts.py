"""What a host name says: a service, and with an object store perhaps a bucket."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from outcrop.wire.spec import Service

_PORT = re.compile(r":[0-9]*$")
_FAR = re.compile(r"s3(?:-fips)?(?:-[a-z]{2}(?:-[a-z]+)+-[0-9])?")
MAX_HOST_CHARS = 255


@dataclass(frozen=True, slots=True)
class Host:
    """``service`` is the name of a service, ``bucket`` the one in ``bucket.s3.…``."""

    service: str | None = None
    bucket: str | None = None


_NOBODY = Host()


class HostNames:
    """``<prefix>.<region>.…`` names the service of that endpoint prefix (``-fips`` too);
    ``s3.…`` the object store, and ``<bucket>.s3.…`` a bucket of it."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._by_prefix = {service.endpoint_prefix: service.name for service in services}
        self._store = next((one.name for one in services if one.is_object_store), None)

    def find(self, host: str) -> Host:
        labels = _PORT.sub("", host[:MAX_HOST_CHARS].lower()).split(".")
        if len(labels) < 2 or not labels[1]:
            return _NOBODY
        if self._store:
            places = [i for i, label in enumerate(labels[:-1]) if _FAR.fullmatch(label)]
            if places:
                # The last: a bucket's own name may hold such a part.
                return Host(self._store, ".".join(labels[: places[-1]]) or None)
        for size in (1, 2):
            prefix = ".".join(labels[:size]).removesuffix("-fips")
            if prefix in self._by_prefix and len(labels) > size:
                return Host(self._by_prefix[prefix])
        return _NOBODY
