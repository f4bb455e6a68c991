"""docs/models.md, as ``python -m outcrop.catalog.table`` writes it from the packaged catalog."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final

from outcrop.catalog.load import load_models
from outcrop.catalog.model import Model

_INTRODUCTION: Final = """\
# Models

This page is generated from `src/outcrop/catalog/data/` by
`python -m outcrop.catalog.table > docs/models.md`; a test keeps it current. The facts are those of
the service's own documents and of its recorded answers. What a model computes with is its *engine*:
by default a small embedded model answers for every text model and another for every text embedding
model, and each answer says so in `x-outcrop-served-by`. Bind a model to another engine with
`outcrop models bind` or `[[bind]]` in the configuration.

- *Called by*: `on demand` is the model's own ID or ARN, `profile` the ID or ARN of a cross-region
  profile (`us.`, `eu.` …, each from the regions of its geography), `provisioned` only as the base
  of provisioned throughput, `none` only as the base of a custom model.
- A model without engine is listed, and a call of it is refused with an error that says so.
- Quotas are those of the documents, a minute; prices are US dollars per 1,000 tokens (read,
  answered, trained by a customization job), and for a model unit of provisioned throughput US
  dollars an hour (without commitment, for one month, for six), as AWS published them in 2024.
  Where nothing is known, nothing is stated.
- No regions are stated: a deployment serves every model in each of its regions, unless the
  `regions` of a model in your own file say otherwise.

## Your own models

A TOML file named under `catalog` in the configuration adds models, or replaces those of the same
ID; it has the form of the packaged ones. `dialect` is the JSON that the model's callers speak, and
`parameters` are ranges and defaults under the names of that JSON.

```toml
provider = "Acme"

[families.chat]
dialect = "openai_chat"
input_modalities = ["TEXT"]
output_modalities = ["TEXT"]
streaming = true
context_tokens = 8192
max_output_tokens = 4096
supports = ["converse", "system"]
engine = "smollm2"
parameters = { temperature = { minimum = 0, maximum = 2, default = 1 } }

[[models]]
id = "acme.chat-v1:0"
family = "chat"
name = "Acme Chat"
profiles = ["us", "eu"]
variants = [{ suffix = ":32k", context_tokens = 32_768, customizations = ["FINE_TUNING"] }]
```
"""

_HEADER: Final = (
    "| Model ID | Name | In → out | Called by | Profiles | Context | Abilities | Dialect | Engine "
    "| Requests, tokens | Price in, out, trained | Unit price none, 1, 6 months |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|\n"
)
_CALLED_BY: Final[Mapping[str, str]] = {
    "ON_DEMAND": "on demand",
    "INFERENCE_PROFILE": "profile",
    "PROVISIONED": "provisioned",
}


def render(models: Iterable[Model]) -> str:
    ordered = sorted(models, key=lambda model: model.provider)
    return _INTRODUCTION + "".join(
        f"\n## {provider}\n\n{_HEADER}{''.join(map(_row, group))}"
        for provider, group in groupby(ordered, key=lambda model: model.provider)
    )


def _row(model: Model) -> str:
    cells = (
        f"`{model.id}`",
        model.name + (" (legacy)" if model.lifecycle == "LEGACY" else ""),
        f"{_words(model.input_modalities)} → {_words(model.output_modalities)}",
        ", ".join(_CALLED_BY[each] for each in model.inference_types) or "none",
        ", ".join(model.profiles),
        f"{model.context_tokens:,}",
        ", ".join(_abilities(model)),
        model.dialect,
        model.engine or "none",
        _numbers(model.quotas, ("requests_per_minute", "tokens_per_minute"), ",d"),
        _numbers(model.prices, ("input", "output", "training"), ".8f"),
        _numbers(model.unit_prices, ("none", "OneMonth", "SixMonths"), ".2f"),
    )
    return f"| {' | '.join(cells)} |\n"


def _words(modalities: Iterable[str]) -> str:
    return ", ".join(modalities).lower()


def _abilities(model: Model) -> Iterator[str]:
    if model.streaming:
        yield "streaming"
    yield from sorted(model.supports)
    if model.dimensions:
        yield f"dimensions {'/'.join(map(str, model.dimensions))}"
    yield from (f"customization {each.lower()}" for each in model.customizations)


def _numbers(values: Mapping[str, float], names: tuple[str, ...], form: str) -> str:
    return (
        ", ".join(_plain(format(values[name], form)) if name in values else "-" for name in names)
        if values
        else ""
    )


def _plain(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number


if __name__ == "__main__":
    sys.stdout.write(render(load_models().by_id.values()))
