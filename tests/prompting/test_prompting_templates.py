"""Chat templates: the prompt's form, and that no text can forge a turn."""

import pytest
from hypothesis import given, strategies as st

from outcrop.generation import Role, Text, ToolUse, Turn
from outcrop.prompting.errors import TemplateError
from outcrop.prompting.templates import ChatTemplate, Segment, chatml, choose, jinja

_CHATML_SOURCE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_CONTROL = ("<|im_start|>", "<|im_end|>")
_STRICT_SOURCE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if message['role'] == 'user' %}[INST] {{ message['content'] | trim }} [/INST]"
    "{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
)


def _turn(role: Role, *texts: str) -> Turn:
    return Turn(role, tuple(Text(text) for text in texts))


def _text(segments: tuple[Segment, ...]) -> str:
    return "".join(segment.text for segment in segments)


def test_chatml_adds_nothing_the_caller_did_not_say() -> None:
    assert _text(chatml().render((_turn("user", "Hi"),), None)) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_format_that_is_named_goes_before_the_weights_own() -> None:
    turns = (_turn("user", "Hi"),)
    own = choose(None, _STRICT_SOURCE, "<s>", "</s>", ())
    assert _text(own.render(turns, None)) == "<s>[INST] Hi [/INST]"
    named = choose("chatml", _STRICT_SOURCE, "<s>", "</s>", ())
    assert named.render(turns, None) == chatml().render(turns, None)


@pytest.mark.parametrize(
    ("named", "own", "reason"),
    [("alpaca", _CHATML_SOURCE, "no chat template 'alpaca'$"), (None, None, "no chat template$")],
)
def test_a_format_that_is_not_there_is_not_replaced_by_another(
    named: str | None, own: str | None, reason: str
) -> None:
    with pytest.raises(TemplateError, match=reason):
        choose(named, own, "<s>", "</s>", ())


def test_chatml_renders_the_system_text_and_all_turns() -> None:
    turns = (_turn("user", "a"), _turn("assistant", "b"), _turn("user", "c", "d"))
    assert _text(chatml().render(turns, "s")) == (
        "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\na<|im_end|>\n"
        "<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc\nd<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_only_control_tokens_are_special_so_that_texts_are_tokenized_in_one_piece() -> None:
    assert chatml().render((_turn("user", "\n\nHi"),), None) == (
        Segment("<|im_start|>", True),
        Segment("user\n\n\nHi", False),
        Segment("<|im_end|>", True),
        Segment("\n", False),
        Segment("<|im_start|>", True),
        Segment("assistant\n", False),
    )


@pytest.mark.parametrize(
    "template", [chatml(), jinja(_CHATML_SOURCE, "<s>", "</s>", _CONTROL)], ids=["chatml", "jinja"]
)
def test_a_final_assistant_turn_is_left_open(template: ChatTemplate) -> None:
    turns = (_turn("user", "1 + 1"), _turn("assistant", "The result is "))
    assert _text(template.render(turns, None)).endswith("<|im_start|>assistant\nThe result is ")


_TEMPLATES = (
    chatml(),
    jinja(_CHATML_SOURCE, "<s>", "</s>", _CONTROL),
    jinja(_CHATML_SOURCE, "<s>", "</s>"),
    jinja(_STRICT_SOURCE, "<s>", "</s>"),
)
_HOSTILE = st.lists(
    st.sampled_from(
        ["<|im_end|>", "<|im_start|>", "<|im_", "end|>", "</s>", "[INST]", "\ue0f0", "\ue0f1",
         "\ue0f00\ue0f1", "{{ 7*7 }}", "{% raw %}", "\n", "assistant", "a"]
    )
).map("".join)  # fmt: skip


@given(
    st.lists(_HOSTILE, min_size=1, max_size=5), st.none() | _HOSTILE, st.sampled_from(_TEMPLATES)
)
def test_a_text_cannot_change_the_special_segments(
    texts: list[str], system: str | None, template: ChatTemplate
) -> None:
    roles: tuple[Role, Role] = ("user", "assistant")
    hostile = [_turn(roles[i % 2], text) for i, text in enumerate(texts)]
    harmless = [_turn(roles[i % 2], "x") for i in range(len(texts))]
    rendered = template.render(hostile, system)
    expected = template.render(harmless, None if system is None else "x")
    assert _special(rendered) == _special(expected)
    assert all(text in _text(rendered) for text in texts)


def _special(segments: tuple[Segment, ...]) -> list[str]:
    # Segments between which an empty text stood are joined: compare what they say together.
    return ["".join(segment.text for segment in segments if segment.special)]


def test_a_template_demanding_alternation_gets_merged_turns() -> None:
    turns = (_turn("user", "a"), _turn("user", "b"), _turn("assistant", "c"), _turn("user", "d"))
    rendered = _text(jinja(_STRICT_SOURCE, "<s>", "</s>").render(turns, None))
    assert rendered == "<s>[INST] a\n\nb [/INST]c</s>[INST] d [/INST]"


def test_a_template_without_system_role_gets_it_in_the_first_turn() -> None:
    rendered = _text(jinja(_STRICT_SOURCE, "<s>", "</s>").render((_turn("user", "a"),), "s"))
    assert rendered == "<s>[INST] s\n\na [/INST]"


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('no') }}",
        "{{ messages[7].content }}",
        "{{ 1 // 0 }}",
        "nothing of what was said",
        "{{ messages[0].content[1:] }}",
        "{{ ''.__class__.__mro__ }}{{ messages[0].content }}",
    ],
)
def test_a_template_that_cannot_render_the_turns_says_so(source: str) -> None:
    with pytest.raises(TemplateError):
        jinja(source, "<s>", "</s>").render((_turn("user", "a"),), None)


def test_a_template_that_cannot_be_compiled_says_so() -> None:
    with pytest.raises(TemplateError):
        jinja("{% for %}", "<s>", "</s>")


def test_strftime_now_is_offered_to_templates() -> None:
    rendered = jinja("{{ strftime_now('%Y') }}{{ messages[0].content }}", "", "")
    assert _text(rendered.render((_turn("user", "!"),), None))[:2] == "20"


def test_tools_must_be_rendered_before_the_template() -> None:
    with pytest.raises(TemplateError):
        chatml().render((Turn("assistant", (ToolUse("1", "f", {}),)),), None)


def test_there_must_be_a_turn() -> None:
    with pytest.raises(TemplateError):
        chatml().render((), None)
