"""Prompts of the training data, rendered by the code that renders them at inference.

So a custom model is taught on exactly the tokens that it will be asked with: the family's dialect
reads the prompt (Titan's ``User:`` and ``Bot:`` become turns), the chat template writes it.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from outcrop.catalog.load import load_models
from outcrop.catalog.model import Model
from outcrop.config import ConfigError
from outcrop.dialects import NoDialect, text_dialect
from outcrop.dialects.converse_request import read_generation
from outcrop.errors import AWSError
from outcrop.generation import Generation
from outcrop.prompting.errors import PromptingError, TemplateError
from outcrop.prompting.templates import ChatTemplate, Segment, choose
from outcrop.prompting.tools import prepare
from outcrop.training.records import Conversation, Prompt
from outcrop.training.spec import TrainingSpec
from outcrop.training.tokenizer import BaseUnusable, ChatFormat

# The member of a family's body that holds a prompt. The other families take messages.
_MEMBER: Final[Mapping[str, str]] = {
    "titan_text": "inputText",
    "cohere_command": "prompt",
    "cohere_command_r": "message",
    "deepseek": "prompt",
    "jurassic2": "prompt",
    "llama": "prompt",
    "mistral": "prompt",
    "mistral_chat": "prompt",
}


class Unrenderable(Exception):
    """The model would refuse this prompt at inference too; the text says why."""


class Renderer:
    def __init__(self, model: Model, template: ChatTemplate) -> None:
        self._model = model
        self._template = template
        self._dialect = text_dialect(model)

    def render(self, prompt: Prompt | Conversation) -> tuple[Segment, ...]:
        """The whole prompt, up to where the answer begins; raises Unrenderable."""
        try:
            return prepare(self._read(prompt), self._template).segments
        except AWSError as error:
            raise Unrenderable(error.message) from error
        except PromptingError as error:
            raise Unrenderable(str(error)) from error

    def _read(self, prompt: Prompt | Conversation) -> Generation:
        if isinstance(prompt, Conversation):
            asked = {"messages": prompt.messages, "system": prompt.system}
            return read_generation(asked, self._model, None)
        member = _MEMBER.get(self._model.dialect)
        if member is not None:
            return self._dialect.parse({member: prompt.text}, self._model)
        message = {"role": "user", "content": ({"text": prompt.text},)}
        return read_generation({"messages": (message,)}, self._model, None)


def open_renderer(spec: TrainingSpec, chat: ChatFormat) -> Renderer:
    """Raises BaseUnusable."""
    model = _models(spec.catalog).get(spec.model_id)
    if model is None:
        raise BaseUnusable(f"the catalog has no model {spec.model_id}")
    try:
        return Renderer(replace(model, dialect=spec.dialect), _template(spec, chat))
    except NoDialect as error:
        raise BaseUnusable(str(error)) from error


@lru_cache(maxsize=1)
def _models(files: tuple[str, ...]) -> Mapping[str, Model]:
    try:
        return load_models([Path(file) for file in files]).by_id
    except ConfigError as error:
        raise BaseUnusable(f"the catalog cannot be read: {error}") from error


def _template(spec: TrainingSpec, chat: ChatFormat) -> ChatTemplate:
    try:
        return choose(
            spec.base.template, chat.template, chat.bos_token, chat.eos_token, chat.control_tokens
        )
    except TemplateError as error:
        raise BaseUnusable(f"{spec.base.source}: {error}") from error
