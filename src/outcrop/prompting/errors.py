"""What can go wrong between a Generation and a model's raw text.

PromptingError
├── TemplateError         the model's chat template cannot render these turns
├── SchemaInvalid         a schema is not JSON Schema 2020-12 (the caller's mistake)
├── SchemaUnsupported     a valid schema that cannot be turned into a grammar or checked safely
├── Unreadable            a part of the conversation that cannot be read as text
├── ToolArgumentsInvalid  the model called a tool with arguments its schema refuses
└── OutputInvalid         the model's text is not JSON of the schema that was asked for
"""


class PromptingError(Exception):
    pass


class TemplateError(PromptingError):
    pass


class SchemaInvalid(PromptingError):
    pass


class SchemaUnsupported(PromptingError):
    pass


class Unreadable(PromptingError):
    """``kind`` is ``image``, ``document``, ``video``, ``s3Location`` or ``citations``; ``form``
    says what of that kind."""

    def __init__(self, kind: str, form: str) -> None:
        super().__init__(f"{kind}={form!r} cannot be read as text")
        self.kind = kind
        self.form = form


class ToolArgumentsInvalid(PromptingError):
    def __init__(self, tool: str, reason: str) -> None:
        super().__init__(f"the model called the tool {tool!r} with invalid arguments: {reason}")
        self.tool = tool
        self.reason = reason


class OutputInvalid(PromptingError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"the model's answer does not follow the JSON schema: {reason}")
        self.reason = reason
