"""The end of an account: everything in it goes, and its number is never given again.

Policies of other accounts may name it; whoever got its number would get what they grant.
"""

from typing import Any

from outcrop.stores.accounts import get_account_in
from outcrop.stores.alarm_records import Alarm
from outcrop.stores.bucket_records import Bucket
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.event_records import MIRRORED as EVENTS, EventBus, EventRule
from outcrop.stores.failures import StoreError
from outcrop.stores.iam_records import (
    AccessKeyRecord,
    AccountRecord,
    ClosedAccount,
    GroupRecord,
    PolicyRecord,
    RoleRecord,
    ServiceCredentialRecord,
    UserRecord,
)
from outcrop.stores.invocation_rows import remove_invocation_rows
from outcrop.stores.kms_records import KmsAlias, KmsGrant, KmsKey
from outcrop.stores.log_records import HELD as LOGS, LogGroup
from outcrop.stores.log_rows import remove_log_rows
from outcrop.stores.metric_rows import remove_metric_rows
from outcrop.stores.model_records import (
    CustomModel,
    CustomModelDeployment,
    InferenceProfile,
    LoggingConfiguration,
    ModelAccess,
    ProvisionedModel,
    RequestToken,
    UseCase,
)
from outcrop.stores.network_records import (
    Defaults,
    DhcpOptions,
    FlowLog,
    InterfacePermission,
    NetworkInterface,
    RouteTable,
    SecurityGroup,
    Subnet,
    Vpc,
    VpcEndpoint,
)
from outcrop.stores.queue_records import Queue, remove_queue_rows
from outcrop.stores.quota_records import QuotaRequest, QuotaValue
from outcrop.stores.resources import Item, Place, Record, Resources, Transaction, View
from outcrop.stores.secret_records import Secret, SecretVersion
from outcrop.stores.support_records import HELD as SUPPORT
from outcrop.stores.topic_records import HELD as TOPICS, Topic
from outcrop.stores.trail_records import HELD as TRAILS, Trail
from outcrop.stores.trail_rows import remove_trail_rows

HELD: tuple[type[Record], ...] = (
    *(AccessKeyRecord, ServiceCredentialRecord, UserRecord, GroupRecord, RoleRecord),
    *(PolicyRecord, KmsGrant, KmsAlias, KmsKey, SecretVersion, Secret, FlowLog, VpcEndpoint),
    *(InterfacePermission, NetworkInterface, RouteTable, SecurityGroup, Subnet, Vpc),
    *(DhcpOptions, Defaults, QuotaValue, QuotaRequest, *SUPPORT, RequestToken, UseCase),
    *(ModelAccess, InferenceProfile, ProvisionedModel, LoggingConfiguration),
    *(CustomModelDeployment, CustomModel, CustomizationJob),
    *LOGS,
    *TRAILS,
    Queue,
    Alarm,
    *TOPICS,
    *EVENTS,
    AccountRecord,
)
"""Every kind of record that lies in an account, the account itself last."""

_NAMED: dict[type[Record], str] = {
    UserRecord: "users",
    GroupRecord: "groups",
    RoleRecord: "roles",
    PolicyRecord: "policies",
    KmsKey: "KMS keys",
    Secret: "secrets",
    VpcEndpoint: "VPC endpoints",
    FlowLog: "flow logs",
    ProvisionedModel: "provisioned models",
    CustomModel: "custom models",
    CustomModelDeployment: "custom model deployments",
    Trail: "trails",
    InferenceProfile: "inference profiles",
    LogGroup: "log groups",
    Queue: "queues",
    Topic: "topics",
    Alarm: "alarms",
    EventRule: "event rules",
    EventBus: "event buses",
}
"""What somebody made. The rest belongs to one of these, or comes by itself."""


class AccountInUse(StoreError):
    pass


async def remove_account(resources: Resources, account: str, *, force: bool = False) -> None:
    """``force`` takes along what is in it, all but buckets: their objects lie elsewhere."""
    async with resources.writing() as transaction:
        record = (await get_account_in(transaction, account)).record
        buckets = [
            each for each in await transaction.list(Bucket) if each.record.account == account
        ]
        if buckets:
            raise AccountInUse(
                f"Account {account} has buckets ({_several(buckets)}). Delete them first, with "
                "what is in them: `aws s3 rb --force s3://NAME`."
            )
        found = [] if force else await _found(transaction, account)
        if found:
            raise AccountInUse(
                f"Account {account} has {', '.join(found)}. Delete them first, or add --force to "
                "lose them all; what its KMS keys encrypted is then lost too."
            )
        await _remove_all(transaction, account)
        await transaction.add(ClosedAccount(title=record.title), Place(account, "", account))


async def _found(view: View, account: str) -> list[str]:
    counts = {
        noun: sum(_is_made(item) for item in await view.list(kind, account=account))
        for kind, noun in _NAMED.items()
    }
    return [f"{count} {noun}" for noun, count in counts.items() if count]


def _is_made(item: Item[Any]) -> bool:
    """Root users come with their account, some keys with AWS's services."""
    match item.record:
        case UserRecord(kind="root"):
            return False
        case KmsKey() as key:
            return key.service is None
        case _:
            return True


async def _remove_all(transaction: Transaction, account: str) -> None:
    await remove_log_rows(transaction, account)
    await remove_trail_rows(transaction, account)
    await remove_queue_rows(transaction, account)
    await remove_metric_rows(transaction, account)
    await remove_invocation_rows(transaction, account)
    for kind in HELD:
        for item in await transaction.list(kind, account=account):
            await transaction.remove(kind, item.place)


def _several(items: list[Item[Bucket]]) -> str:
    names = [item.name for item in items]
    return ", ".join([*names[:3], *(["…"] if len(names) > 3 else [])])
