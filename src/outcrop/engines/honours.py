"""What a request may ask of an engine, and who grants it: docs/parameters.md is made from this.

Every engine class declares in ``HONOURS`` what it honours. What is absent there, and what its
condition leaves out, it refuses with ``Unsupported``.
"""

from collections.abc import Collection, Mapping
from typing import Final

Honours = Mapping[str, str]
"""Parameter to the condition under which it is honoured; empty: always."""

TEXT: Final[Mapping[str, str]] = {
    "temperature": "0 is greedy",
    "top_p": "the likeliest tokens whose probabilities sum to p",
    "top_k": "the k likeliest tokens; acts before top_p",
    "presence_penalty": "off the logit of every token that occurred",
    "frequency_penalty": "the same, times the number of occurrences",
    "normalized_frequency_penalty": "the same, divided by the length of the text in tokens",
    "logit_bias": "added to the logits of the engine's own token IDs",
    "seed": "the same request gives the same answer",
    "max_tokens": "the most tokens of an answer",
    "stop_sequences": "end the answer and are not part of it",
    "tools, auto": "text or calls",
    "tools, any": "a call of some tool",
    "tools, tool": "a call of the named tool",
    "tools, none": "text only",
    "json_schema": "the answer is JSON of this schema",
    "logprobs, generation": "log-probabilities of the answer's tokens",
    "logprobs, all": "of the prompt's tokens as well",
    "truncate": "cuts the start or the end of a prompt that is too long",
    "prefill": "the answer goes on from a last turn of the assistant",
    "image": "pictures in a user's turn or a tool's result",
    "document, text": "txt, md, csv, html (xml, json)",
    "document, pdf": "PDF",
    "document, office": "doc, docx, xls, xlsx",
    "video": "films in a user's turn or a tool's result",
    "s3Location": "such media by their place in S3",
    "citations": "what of the answer rests on a document names its place there",
    "reasoning, budget": "the model thinks first, for at most so many tokens",
    "reasoning, effort": "the model thinks first, as hard as this says",
    "cached": "what stands before a cache point is kept, and counted apart when it comes again",
    "count": "several answers; the gateway asks the engine for each",
    "count_tokens": "CountTokens, by the engine's own tokenizer",
}
EMBEDDING: Final[Mapping[str, str]] = {
    "embeddings": "vectors of texts",
    "dimensions": "the length of a vector; more than the model's own is the lift, decision 0006",
    "normalize": "vectors of length 1",
    "embedding truncate": "cuts the start or the end of a text that is too long",
    "input_type": "query, document …: a vector made for its use",
}
PARAMETERS: Final[Mapping[str, str]] = {**TEXT, **EMBEDDING}


def honours(
    asked: Collection[str], *, without: Collection[str] = (), where: Honours | None = None
) -> Honours:
    """All of ``asked`` but ``without``, some of them only ``where`` a condition holds."""
    conditions = where or {}
    return {name: conditions.get(name, "") for name in asked if name not in without}
