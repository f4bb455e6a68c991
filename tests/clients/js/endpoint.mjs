// A chat and a long stream of Bedrock Runtime alone, with the default handler (HTTP/2). Prints one JSON object.
import { BedrockRuntimeClient, ConverseCommand, ConverseStreamCommand } from "@aws-sdk/client-bedrock-runtime";

const runtime = new BedrockRuntimeClient({});
const modelId = "anthropic.claude-3-haiku-20240307-v1:0";
const say = (text) => [{ role: "user", content: [{ text }] }];

const chat = await runtime.send(new ConverseCommand({ modelId, messages: say("hi") }));
const asked = { modelId, messages: say('script: [{"tokens": 2000}]'), inferenceConfig: { maxTokens: 4000 } };
const stream = await runtime.send(new ConverseStreamCommand(asked));
const events = [];
for await (const event of stream.stream) events.push(Object.keys(event)[0]);
console.log(
  JSON.stringify({ handler: runtime.config.requestHandler.constructor.name, text: chat.output.message.content[0].text, events }),
);
