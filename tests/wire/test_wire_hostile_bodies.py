"""Bodies of every protocol as nobody should send them: refused in AWS's words, never by a crash."""

import struct
from contextlib import suppress
from typing import Any, cast
from urllib.parse import quote

import cbor2
import pytest
from hypothesis import given, settings, strategies as st

from outcrop.errors import AWSError, SerializationException
from outcrop.wire import cbor, xml
from outcrop.wire.forms import MAX_DEPTH, MAX_FIELDS
from outcrop.wire.http import Request
from outcrop.wire.parse import parse_request
from outcrop.wire.spec import load_service
from outcrop.wire.validate import validate

HERE = "127.0.0.1:4510"
CBOR = "smithy-rpc-v2-cbor"


def parsed(service: str, name: str, protocol: str, body: bytes) -> dict[str, Any]:
    operation = load_service(service).operations[name]
    labels = {"Bucket": "b", "Key": "k"}
    return parse_request(operation, Request("POST", "/", "", (), body, HERE), labels, protocol)


FORMS: dict[tuple[str, str, str], dict[str, Any]] = {
    # A list has a level of its own, and its items are numbered from one.
    ("iam", "CreateUser", "Tags.member.1.Key=a&Tags.member.1.Value=b"): {
        "Tags": [{"Key": "a", "Value": "b"}]
    },
    # The numbers order the items; gaps do not count.
    ("iam", "CreateUser", "Tags.member.10.Key=b&Tags.member.9.Key=a"): {
        "Tags": [{"Key": "a"}, {"Key": "b"}]
    },
    # The list alone is the empty list; blanks are pluses; the first of equal keys counts.
    ("iam", "CreateUser", "Tags=&UserName=a+b%2Bc&UserName=x"): {"Tags": [], "UserName": "a b+c"},
    # What is below a scalar, or is no number, is nobody's.
    ("iam", "CreateUser", "UserName.x=1&Tags.member.x.Key=a&Tags.1.Key=b&Unknown=1&&=&a"): {},
    # Numbers and booleans are texts.
    ("iam", "ListUsers", "MaxItems=10"): {"MaxItems": 10},
    ("iam", "UpdateAccountPasswordPolicy", "RequireSymbols=true"): {"RequireSymbols": True},
    # A map has entries with key and value.
    ("sns", "CreateTopic", "Attributes.entry.1.key=a&Attributes.entry.1.value=b"): {
        "Attributes": {"a": "b"}
    },
    # ec2: lists are numbered at once and go by the name of the form, with a capital.
    ("ec2", "DescribeVpcs", "VpcId.1=a&Filter.1.Name=n&Filter.1.Value.1=v&Filter.1.Value.2=w"): {
        "VpcIds": ["a"],
        "Filters": [{"Name": "n", "Values": ["v", "w"]}],
    },
    ("ec2", "DescribeVpcs", "vpcId.1=a&VpcIds.1=b&DryRun=true"): {"DryRun": True},
}


@pytest.mark.parametrize(("case", "params"), FORMS.items())
def test_a_form_is_read_as_a_tree(case: tuple[str, str, str], params: dict[str, Any]) -> None:
    service, name, form = case
    protocol = load_service(service).protocol
    assert parsed(service, name, protocol, form.encode()) == params


BAD_FORMS = {
    "a number in letters": ("iam", "ListUsers", "MaxItems=ten"),
    "a number of thousands of digits": ("iam", "ListUsers", "MaxItems=" + "9" * 5000),
    "a number beyond its type": ("iam", "ListUsers", "MaxItems=9999999999"),
    "two signs": ("iam", "ListUsers", "MaxItems=-%2B1"),
    "a blank number": ("iam", "ListUsers", "MaxItems="),
    "a boolean of another kind": ("ec2", "DescribeVpcs", "DryRun=1"),
    "broken UTF-8": ("iam", "GetUser", "UserName=%ff"),
    "broken UTF-8 in a key": ("iam", "GetUser", "User%ffName=a"),
    "an entry without a key": ("sns", "CreateTopic", "Attributes.entry.1.value=b"),
    "a key of many levels": ("iam", "GetUser", ".".join("a" * (MAX_DEPTH + 2)) + "=1"),
    "an item far beyond its list": ("iam", "CreateUser", "Tags.member.999999999.Key=a"),
    "very many fields": ("iam", "GetUser", "&" * MAX_FIELDS),
}


@pytest.mark.parametrize(("service", "name", "form"), BAD_FORMS.values(), ids=BAD_FORMS)
def test_a_form_that_does_not_fit_is_refused(service: str, name: str, form: str) -> None:
    with pytest.raises(SerializationException):
        parsed(service, name, load_service(service).protocol, form.encode())


TAGGING = b"<Tagging xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><TagSet>%s</TagSet></Tagging>"
DOCUMENTS: dict[bytes, dict[str, Any]] = {
    b"": {},
    b" \n": {},
    TAGGING % b"<Tag><Key>a</Key><Value>b&amp;&#65;<![CDATA[<]]></Value></Tag>": {
        "Tagging": {"TagSet": [{"Key": "a", "Value": "b&A<"}]}
    },
    # Prefixes and elements of others are not looked at; comments are none of the text.
    b"<x:Tagging xmlns:x='u'><x:TagSet><y/><Tag><x:Key>a<!-- b --></x:Key></Tag></x:TagSet>"
    b"</x:Tagging>": {"Tagging": {"TagSet": [{"Key": "a"}]}},
    TAGGING % b"": {"Tagging": {"TagSet": []}},
    # In another encoding, if it says so.
    '<?xml version="1.0" encoding="UTF-16"?><Tagging><TagSet/></Tagging>'.encode("utf-16"): {
        "Tagging": {"TagSet": []}
    },
}


@pytest.mark.parametrize(("body", "params"), DOCUMENTS.items())
def test_a_document_is_read(body: bytes, params: dict[str, Any]) -> None:
    read = parsed("s3", "PutBucketTagging", "rest-xml", body)
    assert read == {"Bucket": "b", **params}


BAD_DOCUMENTS = {
    "a document type": b"<!DOCTYPE a><Tagging/>",
    "entities of entities": (
        b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><Tagging>&b;</Tagging>'
    ),
    "a file": b'<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><Tagging>&a;</Tagging>',
    "an unknown entity": b"<Tagging>&nbsp;</Tagging>",
    "depth": b"<a>" * 1000 + b"</a>" * 1000,
    "very many elements": b"<a>" + b"<b/>" * (xml.MAX_ELEMENTS + 1) + b"</a>",
    "cut off": b"<Tagging><TagSet>",
    "two roots": b"<a/><b/>",
    "no XML": b"{}",
    "broken UTF-8": b"<a>\xff</a>",
    "an encoding of nobody": b'<?xml version="1.0" encoding="nobody"?><a/>',
    "a structure for a text": TAGGING % b"<Tag><Key><a/></Key></Tag>",
    "null bytes": b"\0\0\0",
}


@pytest.mark.parametrize("body", BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS)
def test_a_document_that_does_not_fit_is_refused(body: bytes) -> None:
    with pytest.raises(SerializationException):
        parsed("s3", "PutBucketTagging", "rest-xml", body)


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_a_text_comes_back_from_xml_but_for_what_it_cannot_hold(text: str) -> None:
    written = xml.write("a", [xml.escape(text)], {"b": text.replace("\n", "").replace("\t", "")})
    assert xml.read(written.encode()).text == "".join(
        "\ufffd" if not is_xml(one) else one for one in text
    )


def is_xml(one: str) -> bool:
    return one in "\t\n\r" or (one >= " " and one not in "\ufffe\uffff")


BAD_CBOR = {
    "nothing after a map": b"\xa1",
    "a list": b"\x80",
    "a bomb of a length": b"\xbb\x7f" + b"\xff" * 7,
    "a text of such a length": b"\xa1\x7b\x7f" + b"\xff" * 7,
    "depth": b"\xa1\x61a" * 500 + b"\x01",
    "lists in lists": b"\x81" * 10_000,
    "a shared value": b"\xd8\x1c\xa0",
    "a decimal of a huge exponent": b"\xa1\x61a\xc4\x82\x1a\x7f\xff\xff\xff\x01",
    "a big number": b"\xa1\x61a\xc2\x49" + b"\xff" * 9,
    "a regular expression": b"\xa1\x61a\xd8\x23\x61(",
    "an unknown tag": b"\xa1\x61a\xd9\x12\x34\x01",
    "a time out of range": b"\xa1\x61a\xc1\x1b" + b"\xff" * 8,
    "a time that is no number": b"\xa1\x61a\xc1\x61b",
    "a map for a key": b"\xa1\xa0\x01",
    "broken UTF-8": b"\xa1\x61\xff\x01",
    "a break for nothing": b"\xff",
    "a simple value of nobody": b"\xf8\x20",
}


@pytest.mark.parametrize("body", BAD_CBOR.values(), ids=BAD_CBOR)
def test_cbor_that_is_not_the_protocol_s_is_refused(body: bytes) -> None:
    with pytest.raises(SerializationException):
        parsed("health", "DescribeEvents", CBOR, body)


def test_every_tag_but_the_one_of_timestamps_is_refused() -> None:
    for tag in range(2000):
        if tag != 1:
            head = struct.pack(">BH", 0xD9, tag)
            for item in (b"\x01", b"\x61a", b"\x41a", b"\x82\x01\x02", b"\xa0"):
                with pytest.raises(cbor.MalformedCbor):
                    cbor.decode(head + item)


OPERATIONS = [
    *(
        ("iam", "CreateUser", "query"),
        ("sts", "AssumeRole", "query"),
        ("ec2", "RunInstances", "ec2"),
    ),
    *(("cloudwatch", "PutMetricData", "query"), ("cloudwatch", "PutMetricData", CBOR)),
    *(("kms", "CreateKey", "json"), ("health", "DescribeEvents", CBOR)),
    *(("s3", "PutBucketLifecycleConfiguration", "rest-xml"), ("s3", "DeleteObjects", "rest-xml")),
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8)
)
NAMES = st.sampled_from(
    [
        *("Tags", "member", "1", "Key", "Value", "entry", "MetricData", "Dimensions", "filter"),
        *("startTimes", "from", "eventArns", "maxResults", "Policy", "Rules", "Rule", "Filter"),
        *("Delete", "Object", "Timestamp", "Values", "MaxCount", "BlockDeviceMapping", "Ebs", ""),
    ]
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def as_form(tree: Any, prefix: str = "") -> list[str]:
    if isinstance(tree, dict):
        tree = cast(dict[str, Any], tree)
        return [
            one for k, v in tree.items() for one in as_form(v, f"{prefix}.{k}" if prefix else k)
        ]
    if isinstance(tree, list):
        tree = cast(list[Any], tree)
        return [one for i, v in enumerate(tree) for one in as_form(v, f"{prefix}.{i}")]
    return [f"{quote(prefix)}={quote(str(tree))}"]


def as_xml(tree: Any, name: str = "a") -> str:
    if isinstance(tree, dict):
        tree = cast(dict[str, Any], tree)
        return xml.write(name, [as_xml(v, k or "b") for k, v in tree.items()])
    if isinstance(tree, list):
        tree = cast(list[Any], tree)
        return "".join(as_xml(one, name) for one in tree)
    return xml.write(name, [xml.escape(str(tree))])


@st.composite
def bodies(draw: st.DrawFn, protocol: str) -> bytes:
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=60))
    tree = draw(st.dictionaries(NAMES, TREES, max_size=5))
    if protocol in ("query", "ec2"):
        return "&".join(as_form(tree)).encode()
    if protocol == "rest-xml":
        return as_xml(tree).encode()
    return cbor2.dumps(tree)


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_no_body_breaks_a_parser_or_the_validator(data: st.DataObject) -> None:
    service, name, protocol = data.draw(st.sampled_from(OPERATIONS))
    body = data.draw(bodies(protocol))
    operation = load_service(service).operations[name]
    with suppress(AWSError):
        validate(operation, parsed(service, name, protocol, body))
