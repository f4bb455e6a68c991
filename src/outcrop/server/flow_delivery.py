"""Puts files of flow records into buckets, with the permissions of whoever made the flow log."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from outcrop.errors import ServiceError
from outcrop.identity import Caller, Principal, Session
from outcrop.security.sessions import new_key_id
from outcrop.services.call import Call
from outcrop.stores.bucket_records import Bucket, bucket_place
from outcrop.stores.network_records import FlowLog
from outcrop.stores.resources import Item
from outcrop.stores.role_principals import role_principal
from outcrop.wire.http import Request
from outcrop.wire.spec import load_service

if TYPE_CHECKING:
    from outcrop.server.deployment import Deployment

SERVICE = "delivery.logs.amazonaws.com"


class FlowDelivery:
    def __init__(self, deployment: "Deployment") -> None:
        self._deployment = deployment

    async def put(self, flow_log: Item[FlowLog], bucket: str, key: str, content: bytes) -> None:
        """Raises AWS's errors."""
        async with self._deployment.state.stores.resources.reading() as view:
            found = await view.find(Bucket, bucket_place(bucket))
        if found is None:
            raise ServiceError("NoSuchBucket", "The specified bucket does not exist", status=404)
        call = self._call(flow_log, found.record.region, content)
        params = {"Bucket": bucket, "Key": key, "ContentType": "application/x-gzip"}
        await call.perform("s3", "PutObject", params)

    def _call(self, flow_log: Item[FlowLog], region: str, content: bytes) -> Call:
        now = datetime.now(UTC)
        host = f"s3.{region}.amazonaws.com"
        return self._deployment.call(
            load_service("s3").operations["PutObject"],
            replace(self._caller(flow_log, now), region=region),
            region,
            Request("PUT", "/", "", (("host", host),), content, host, scheme="https"),
            str(uuid4()),
            now,
        )

    def _caller(self, flow_log: Item[FlowLog], now: datetime) -> Caller:
        """Who made the flow log, if it still is there: its policies are those of today."""
        creator, account = flow_log.record.creator, flow_log.place.account
        principal = Principal(
            account, creator.name, creator.arn, creator.kind, creator.id, creator.role_arn
        )
        session: Session | None = None
        if creator.role_arn is not None:
            role = self._deployment.state.stores.directory.find_role_arn(creator.role_arn)
            if role is None:
                raise ServiceError("AccessDenied", "The role is gone.", status=403)
            session = Session(role_principal(role), now, now, service=SERVICE)
        return Caller(principal, new_key_id(account), None, "service", session=session)
