"""Who may speak first in a Converse request."""

from typing import Any

import pytest

from outcrop.catalog.load import load_models
from outcrop.dialects import converse
from outcrop.errors import ValidationException

ANSWER_FIRST: dict[str, Any] = {
    "messages": [
        {"role": "assistant", "content": [{"text": "Hello there!"}]},
        {"role": "user", "content": [{"text": "Now say goodbye."}]},
    ]
}


@pytest.mark.parametrize(
    "model_id", ["amazon.nova-micro-v1:0", "anthropic.claude-3-5-sonnet-20241022-v2:0"]
)
def test_models_that_must_be_asked_first_say_so(model_id: str) -> None:
    with pytest.raises(ValidationException, match="must start with a user message"):
        converse.parse(ANSWER_FIRST, load_models().by_id[model_id])


def test_recent_claude_takes_a_conversation_that_it_opened_itself() -> None:
    model = load_models().by_id["anthropic.claude-sonnet-4-5-20250929-v1:0"]
    turns = converse.parse(ANSWER_FIRST, model).turns
    assert [turn.role for turn in turns] == ["assistant", "user"]
