"""Service Quotas in the service authorization reference: requests are for one quota, the rest for
none."""

from collections.abc import Mapping, Sequence

from outcrop.authorization.access import Access, Asked, Rule


def _on_quota(asked: Asked) -> Sequence[Access]:
    service, code = asked.params["ServiceCode"], asked.params["QuotaCode"]
    resource = f"arn:aws:servicequotas:{asked.region}:{asked.account}:{service}/{code}"
    keys = {"servicequotas:service": service}
    return [Access("servicequotas:RequestServiceQuotaIncrease", resource, keys)]


RULES: Mapping[str, Rule] = {"RequestServiceQuotaIncrease": _on_quota}
