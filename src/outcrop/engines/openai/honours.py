"""What OpenAI-compatible servers honour: a table made from what ``peers.py`` knows of each."""

from collections.abc import Callable
from typing import Final

from outcrop.engines.honours import PARAMETERS, Honours, honours
from outcrop.engines.openai.peers import ALL, Peer

REFUSED: Final = (
    "normalized_frequency_penalty",
    "logprobs, all",
    "document, office",
    "s3Location",
    "citations",
    "embedding truncate",
)


def _where(can: Callable[[Peer], object]) -> str:
    return ", ".join(peer.name for peer in ALL if can(peer))


HONOURS: Final[Honours] = honours(
    PARAMETERS,
    without=REFUSED,
    where={
        "top_k": _where(lambda peer: peer.top_k),
        "logit_bias": _where(lambda peer: peer.logit_bias),
        "tools, any": _where(lambda peer: peer.tool_choice),
        "tools, tool": _where(lambda peer: peer.tool_choice),
        "prefill": _where(lambda peer: peer.prefill is not None),
        "document, pdf": _where(lambda peer: peer.pdf),
        "video": _where(lambda peer: peer.video),
        "reasoning, budget": _where(lambda peer: peer.budget),
        "reasoning, effort": _where(lambda peer: peer.effort),
        "truncate": f"{_where(lambda peer: peer.truncation)} at the start; else what surely fits",
        "count_tokens": _where(lambda peer: peer.tokenizer),
        "dimensions": "fewer than its own only where the server can",
        "input_type": "accepted: the interface has no word for it",
    },
)
