"""Messages of topics with a KMS key while they wait to be delivered.

Who publishes proves the right to the key (GenerateDataKey and Decrypt); SNS holds on to it for this
one message until it is delivered, and not longer than the key is usable.
"""

from datetime import UTC, datetime

from outcrop.jobs.delivery import NotDelivered
from outcrop.security.ciphertexts import NotOurs, read_header, unseal
from outcrop.security.secret_values import DamagedValue, open_value, seal_value
from outcrop.stores.kms_records import read_reference
from outcrop.stores.opened import Stores
from outcrop.topics.messages import Sealed


def context_of(topic_arn: str) -> dict[str, str]:
    """The encryption context, as AWS documents it."""
    return {"aws:sns:topicArn": topic_arn}


def seal_message(data_key: bytes, message: bytes, topic_arn: str) -> bytes:
    return seal_value(data_key, message, topic_arn.encode())


async def open_message(stores: Stores, sealed: Sealed, topic_arn: str) -> bytes:
    keyring = await stores.keyring.settled(datetime.now(UTC))
    reference = read_reference(sealed.key_arn, "", "")
    key = keyring.find(reference) if reference is not None else None
    if key is None or not key.record.enabled or key.record.deletes_at is not None:
        raise NotDelivered(f"The KMS key {sealed.key_arn} of the topic is not usable.")
    try:
        header = read_header(sealed.data_key)
        material = next(m for m in key.record.materials if m.id == header.material_id)
        data_key = unseal(sealed.data_key, keyring.material(key, material), context_of(topic_arn))
        return open_value(data_key, sealed.body, topic_arn.encode())
    except (NotOurs, DamagedValue, StopIteration) as error:
        raise NotDelivered(f"A message of {topic_arn} does not open with its KMS key.") from error
