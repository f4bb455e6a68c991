"""The jobs behind custom models: what gets them to serve, and what is left of those deleted."""

from collections.abc import Callable, Mapping

from outcrop.catalog.catalog import Catalog
from outcrop.engines.pool import EnginePool
from outcrop.jobs.queue import JobKind
from outcrop.services.background import Background
from outcrop.services.bedrock.customization import deploying, discarding
from outcrop.stores.artifacts import Artifacts
from outcrop.stores.opened import Stores


def custom_model_jobs(
    stores: Stores,
    engines: EnginePool,
    artifacts: Artifacts,
    background: Background,
    catalog: Callable[[], Catalog],
) -> Mapping[str, JobKind]:
    """``catalog`` gives the one of the moment."""
    return {
        **deploying.job_kinds(stores, engines, catalog),
        **discarding.job_kinds(engines, artifacts, background),
    }
