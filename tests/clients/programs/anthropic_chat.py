"""A chat, a stream and a tool call through the Anthropic SDK; prints one JSON object."""

import json

from anthropic import AnthropicBedrock

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
QUESTION = [{"role": "user", "content": "Name one color of the sky."}]
# Version 2 of the SDK has no parameter for it.
GREEDY = {"temperature": 0}
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
    },
}


def main() -> None:
    client = AnthropicBedrock()
    message = client.messages.create(
        model=HAIKU, max_tokens=24, extra_body=GREEDY, messages=QUESTION
    )
    with client.messages.stream(
        model=HAIKU, max_tokens=24, extra_body=GREEDY, messages=QUESTION
    ) as stream:
        pieces = list(stream.text_stream)
    called = client.messages.create(
        model=HAIKU,
        max_tokens=120,
        extra_body=GREEDY,
        messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
        tools=[WEATHER],
        tool_choice={"type": "tool", "name": "get_weather"},
    )
    use = next(block for block in called.content if block.type == "tool_use")
    print(
        json.dumps(
            {
                "text": message.content[0].text,
                "output_tokens": message.usage.output_tokens,
                "streamed": "".join(pieces),
                "pieces": len(pieces),
                "tool": {"name": use.name, "input": use.input, "stop": called.stop_reason},
            }
        )
    )


if __name__ == "__main__":
    main()
