"""Everything a running gateway holds: configuration, identities, catalog, engines, routes.

``open_deployment`` builds it from the bottom up and takes it down in reverse.
"""

import logging
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from outcrop.catalog.catalog import Catalog
from outcrop.catalog.load import load_catalog
from outcrop.config import Config, ConfigError
from outcrop.engines.pool import EnginePool
from outcrop.security.masterkey import load_master_key
from outcrop.services.operation import unknown_handlers
from outcrop.stores.bindings import TOPIC as BINDINGS, BindingStore
from outcrop.stores.bootstrap import Foundation, lay_foundation, read_presets
from outcrop.stores.database import Database
from outcrop.stores.directory import DataDirectory
from outcrop.stores.identities import TOPIC as IDENTITIES, IdentityDirectory, IdentityStore
from outcrop.stores.keys import KeyStore
from outcrop.stores.watch import ChangeWatcher
from outcrop.wire.routing import Router
from outcrop.wire.spec import load_service

log = logging.getLogger(__name__)

SERVICES = ("bedrock", "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime")


@dataclass
class Deployment:
    """``catalog`` is replaced whole when a binding changes."""

    config: Config
    foundation: Foundation
    router: Router
    catalog: Catalog
    engines: EnginePool
    identities: IdentityDirectory
    bindings: BindingStore

    @property
    def region(self) -> str:
        return self.config.server.region

    async def reload_bindings(self) -> None:
        """Another process changed a binding; one that cannot hold is logged, the old ones stay."""
        try:
            self.catalog = self.catalog.with_bindings(await self.bindings.list_bindings())
        except ConfigError as error:
            log.error("the bindings were not changed: %s", error)


@asynccontextmanager
async def open_deployment(config: Config) -> AsyncGenerator[Deployment]:
    async with AsyncExitStack() as stack:
        directory = DataDirectory(config.data_dir)
        directory.prepare()
        stack.enter_context(directory.serving())
        async with directory.setting_up():
            database = await Database.open(directory.database_file)
            stack.push_async_callback(database.close)
            sealer = load_master_key(config.data_dir, os.environ, create=True)
            identities = IdentityDirectory(database, sealer)
            keys = KeyStore(database, sealer, identities)
            foundation = await lay_foundation(
                IdentityStore(database), keys, identities, read_presets(os.environ)
            )
        engines = EnginePool(
            config.engine_configs(),
            cache_dir=config.cache_dir,
            memory_mib=config.engine_memory_mib,
        )
        stack.push_async_callback(engines.close)
        bindings = BindingStore(database)
        catalog = load_catalog(config).with_bindings(await bindings.list_bindings())
        router = _router()
        deployment = Deployment(
            config, foundation, router, catalog, engines, identities, bindings
        )
        watcher = ChangeWatcher(
            database,
            {IDENTITIES: identities.load, BINDINGS: deployment.reload_bindings},
            identities.flush,
        )
        watcher.start()
        stack.push_async_callback(watcher.close)
        yield deployment


def _router() -> Router:
    services = [load_service(name) for name in SERVICES]
    misspelt = unknown_handlers(services)
    if misspelt:
        raise LookupError(f"no operation is named after these handlers: {', '.join(misspelt)}")
    return Router(services)
