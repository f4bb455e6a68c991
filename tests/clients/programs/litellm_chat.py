"""A chat, a stream, a tool call and an embedding through LiteLLM; prints one JSON object."""

import json

import litellm

HAIKU = "bedrock/anthropic.claude-3-haiku-20240307-v1:0"
SONNET = "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0"
QUESTION = [{"role": "user", "content": "Name one color of the sky."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
        },
    },
}


def main() -> None:
    chat = litellm.completion(model=HAIKU, messages=QUESTION, max_tokens=24, temperature=0)
    stream = litellm.completion(
        model=HAIKU, messages=QUESTION, max_tokens=24, temperature=0, stream=True
    )
    pieces = [piece.choices[0].delta.content or "" for piece in stream]
    called = litellm.completion(
        model=SONNET,
        messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
        max_tokens=120,
        temperature=0,
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
    )
    embedded = litellm.embedding(model="bedrock/amazon.titan-embed-text-v1", input=["granite"])
    call = called.choices[0].message.tool_calls[0].function
    print(
        json.dumps(
            {
                "text": chat.choices[0].message.content,
                "output_tokens": chat.usage.completion_tokens,
                "streamed": "".join(pieces),
                "pieces": len([piece for piece in pieces if piece]),
                "tool": {"name": call.name, "input": json.loads(call.arguments)},
                "dimensions": len(embedded.data[0]["embedding"]),
            }
        )
    )


if __name__ == "__main__":
    main()
