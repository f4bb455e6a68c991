"""Whose terms hold for the models of a provider, and what adding access to them takes.

The facts are in ``terms.toml``; the text is served by the gateway, so that it is read offline too.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    url: str | None = None
    marketplace: bool = False
    use_case: bool = False


PATH: Final = "/_outcrop/eula/"
"""Where the gateway serves the text; the provider's slug follows."""

_NO_TERMS: Final = Terms()
_TEXT: Final = """\
Terms of use: models of {provider}

{theirs}

Here the name of a model says whose API it speaks. What computes its answers is the engine that this
deployment has bound to it, and every answer names that in the header x-outcrop-served-by:

- An open model that runs here answers under its own licence, which comes with the model.
- Where the deployment passes calls on, to AWS or to another server, the terms of that service hold.

Whoever runs this deployment decides what is bound, and answers for it.
"""
_PUBLISHED: Final = """\
{provider} or AWS publish the end user licence agreement of these models at
{url}
It holds for the models themselves, wherever they are really called."""
_UNPUBLISHED: Final = "No end user licence agreement is known of {provider}."


def terms_of(provider: str) -> Terms:
    return _table().get(provider, _NO_TERMS)


def slug_of(provider: str) -> str:
    """``AI21 Labs`` is ``ai21-labs``."""
    return re.sub(r"[^a-z0-9]+", "-", provider.lower()).strip("-")


def render_terms(provider: str) -> str:
    url = terms_of(provider).url
    theirs = _PUBLISHED if url else _UNPUBLISHED
    return _TEXT.format(provider=provider, theirs=theirs.format(provider=provider, url=url))


@cache
def _table() -> Mapping[str, Terms]:
    text = files("outcrop.catalog").joinpath("terms.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Terms])
