"""The documents are those that botocore's own loader reads."""

from typing import Any

import pytest
from botocore.loaders import Loader

from outcrop.wire.documents import UnknownDocument, load_document

SERVICES = ("bedrock", "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime", "s3", "sts")


@pytest.mark.parametrize("kind", ["service-2", "paginators-1"])
@pytest.mark.parametrize("service", SERVICES)
def test_a_document_is_the_one_botocore_loads(service: str, kind: str):
    loader: Any = Loader()
    assert load_document(service, kind) == loader.load_service_model(service, kind)


@pytest.mark.parametrize("service", ["no-such-service", "..", "bedrock/2023-04-20", "*"])
def test_what_botocore_does_not_have_is_said_to_be_unknown(service: str):
    with pytest.raises(UnknownDocument):
        load_document(service, "service-2")
