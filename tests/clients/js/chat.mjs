// A chat, a stream of both kinds, a forced tool call, an embedding and an error through the AWS SDK for
// JavaScript with its default handler (HTTP/2 for bedrock-runtime). Prints one JSON object.
import { BedrockClient, ListFoundationModelsCommand } from "@aws-sdk/client-bedrock";
import {
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  InvokeModelCommand,
  InvokeModelWithResponseStreamCommand,
} from "@aws-sdk/client-bedrock-runtime";

const control = new BedrockClient({});
const runtime = new BedrockRuntimeClient({});
const decode = (bytes) => JSON.parse(new TextDecoder().decode(bytes));
const question = [{ role: "user", content: [{ text: "Name one color of the sky." }] }];
const inferenceConfig = { maxTokens: 24, temperature: 0 };
const result = {};

const listed = await control.send(new ListFoundationModelsCommand({ byProvider: "anthropic" }));
result.providers = [...new Set(listed.modelSummaries.map((model) => model.providerName))];

const chat = await runtime.send(
  new ConverseCommand({ modelId: "anthropic.claude-3-haiku-20240307-v1:0", messages: question, inferenceConfig }),
);
result.text = chat.output.message.content[0].text;
result.outputTokens = chat.usage.outputTokens;

const stream = await runtime.send(
  new ConverseStreamCommand({ modelId: "us.amazon.nova-lite-v1:0", messages: question, inferenceConfig }),
);
result.events = [];
result.streamed = "";
for await (const event of stream.stream) {
  result.events.push(Object.keys(event)[0]);
  result.streamed += event.contentBlockDelta?.delta?.text ?? "";
}

const native = await runtime.send(
  new InvokeModelWithResponseStreamCommand({
    modelId: "arn:aws:bedrock:us-east-1::foundation-model/meta.llama2-13b-chat-v1",
    contentType: "application/json",
    body: JSON.stringify({ prompt: "Name one color.", max_gen_len: 12, temperature: 0 }),
  }),
);
const chunks = [];
for await (const event of native.body) chunks.push(decode(event.chunk.bytes));
result.nativeText = chunks.map((chunk) => chunk.generation).join("");
result.nativeMetrics = chunks.at(-1)["amazon-bedrock-invocationMetrics"];

const tool = await runtime.send(
  new ConverseCommand({
    modelId: "anthropic.claude-3-haiku-20240307-v1:0",
    messages: [{ role: "user", content: [{ text: "What is the weather in Oslo?" }] }],
    inferenceConfig: { maxTokens: 120, temperature: 0 },
    toolConfig: {
      tools: [
        {
          toolSpec: {
            name: "get_weather",
            description: "The weather of a city",
            inputSchema: {
              json: {
                type: "object",
                properties: { city: { type: "string", maxLength: 20 } },
                required: ["city"],
              },
            },
          },
        },
      ],
      toolChoice: { tool: { name: "get_weather" } },
    },
  }),
);
result.toolStop = tool.stopReason;
result.toolUse = tool.output.message.content.find((block) => block.toolUse)?.toolUse;

const embedded = await runtime.send(
  new InvokeModelCommand({
    modelId: "amazon.titan-embed-text-v1",
    contentType: "application/json",
    body: JSON.stringify({ inputText: "granite" }),
  }),
);
result.dimensions = decode(embedded.body).embedding.length;

try {
  await runtime.send(new ConverseCommand({ modelId: "no.such-model", messages: question }));
} catch (error) {
  result.error = { name: error.name, message: error.message, status: error.$metadata.httpStatusCode };
}
console.log(JSON.stringify(result));
