"""The offer under which a model is used: prices of the catalog, and whose terms hold.

An offer token is sealed for one account, region and model, and names the offer as it was listed: a
forged one, another's, or that of an offer which has changed since is refused.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from outcrop.catalog.model import Model
from outcrop.catalog.terms import PATH, slug_of
from outcrop.errors import ValidationException
from outcrop.identity import SealedSecretError
from outcrop.services.call import Call

_DIMENSIONS: Final[Mapping[str, tuple[str, str]]] = {
    "input": ("InputTokenCount", "Input tokens, US dollars per 1,000 tokens"),
    "output": ("OutputTokenCount", "Output tokens, US dollars per 1,000 tokens"),
}
_UNIT: Final = "1K tokens"
_NO_REFUND: Final = "Use is entered in this deployment's own ledger, and nothing is refunded."
_NO_OFFER: Final = (
    "The offer token is not one of a current offer of this model for this account and region. List "
    "the offers of the model again."
)
_LONGEST: Final = 1024


def render_offer(call: Call, model: Model) -> dict[str, Any]:
    offer_id = _offer_id(model)
    sealed = call.stores.sealer.seal(offer_id.encode(), _context(call, model))
    request = call.request
    return {
        "offerId": offer_id,
        "offerToken": base64.urlsafe_b64encode(sealed).decode(),
        "termDetails": {
            "usageBasedPricingTerm": {"rateCard": _rate_card(model)},
            "legalTerm": {
                "url": f"{request.scheme}://{request.host}{PATH}{slug_of(model.provider)}"
            },
            "supportTerm": {"refundPolicyDescription": _NO_REFUND},
            # An agreement holds until it is deleted: it has no duration to state.
            "validityTerm": {},
        },
    }


def read_offer_token(call: Call, model: Model, token: str) -> str:
    """The ID of the offer."""
    try:
        if len(token) > _LONGEST:
            raise ValueError
        sealed = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        offer_id = call.stores.sealer.open(sealed, _context(call, model)).decode()
    except (ValueError, binascii.Error, SealedSecretError) as error:
        raise ValidationException(_NO_OFFER) from error
    if offer_id != _offer_id(model):
        raise ValidationException(_NO_OFFER)
    return offer_id


def _context(call: Call, model: Model) -> bytes:
    return f"bedrock:offer:{call.account}:{call.region}:{model.id}".encode()


def _offer_id(model: Model) -> str:
    """Another one whenever its terms are others."""
    terms = msgspec.json.encode([model.id, model.provider, model.product_id, _rate_card(model)])
    return f"offer-{hashlib.sha256(terms).hexdigest()[:13]}"


def _rate_card(model: Model) -> list[dict[str, str]]:
    """Empty where no price is known."""
    return [
        {
            "dimension": dimension,
            "price": f"{model.prices[name]:.10f}".rstrip("0").rstrip("."),
            "description": description,
            "unit": _UNIT,
        }
        for name, (dimension, description) in _DIMENSIONS.items()
        if name in model.prices
    ]
