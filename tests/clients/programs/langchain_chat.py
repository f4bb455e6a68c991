"""A chat, a stream, a tool call and an embedding through langchain-aws; prints one JSON object."""

import json

from langchain_aws import BedrockEmbeddings, ChatBedrock, ChatBedrockConverse

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
QUESTION = "Name one color of the sky."


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


def main() -> None:
    native = ChatBedrock(model=HAIKU, max_tokens=24, temperature=0)
    converse = ChatBedrockConverse(model=HAIKU, max_tokens=24, temperature=0)
    caller = ChatBedrockConverse(model=HAIKU, max_tokens=120, temperature=0)
    tools = caller.bind_tools([get_weather], tool_choice="get_weather")
    embeddings = BedrockEmbeddings(model_id="amazon.titan-embed-text-v1")
    print(
        json.dumps(
            {
                "native": native.invoke(QUESTION).content,
                "native_pieces": len([piece.content for piece in native.stream(QUESTION)]),
                "converse": converse.invoke(QUESTION).content,
                "converse_pieces": len([piece.content for piece in converse.stream(QUESTION)]),
                "tool_calls": tools.invoke("What is the weather in Oslo?").tool_calls,
                "dimensions": len(embeddings.embed_query("granite")),
            }
        )
    )


if __name__ == "__main__":
    main()
