// Access to a model, inference profiles, tags and provisioned throughput through the AWS SDK for JavaScript:
// paginators, modelled errors, and the SDK's own retries of a throttled call. Prints one JSON object.
// ACCESS_MODEL is a model without access, LIMITED_MODEL one that is limited to 60 requests a minute, BOUGHT the
// ARN of a provisioned throughput.
import {
  BedrockClient,
  ConflictException,
  CreateFoundationModelAgreementCommand,
  CreateInferenceProfileCommand,
  DeleteFoundationModelAgreementCommand,
  DeleteInferenceProfileCommand,
  GetFoundationModelAvailabilityCommand,
  GetInferenceProfileCommand,
  GetProvisionedModelThroughputCommand,
  ListFoundationModelAgreementOffersCommand,
  ListTagsForResourceCommand,
  ResourceNotFoundException,
  TagResourceCommand,
  UntagResourceCommand,
  paginateListInferenceProfiles,
  paginateListProvisionedModelThroughputs,
} from "@aws-sdk/client-bedrock";
import {
  AccessDeniedException,
  BedrockRuntimeClient,
  ConverseCommand,
  InvokeModelCommand,
  ThrottlingException,
} from "@aws-sdk/client-bedrock-runtime";

const control = new BedrockClient({});
const runtime = new BedrockRuntimeClient({});
const { ACCESS_MODEL, LIMITED_MODEL, BOUGHT } = process.env;
const result = {};
const messages = [{ role: "user", content: [{ text: "Hello" }] }];
const inferenceConfig = { maxTokens: 8 };

async function outcome(asking) {
  try {
    const answer = await asking;
    return answer.output?.message?.role ?? answer.$metadata.httpStatusCode;
  } catch (error) {
    return error;
  }
}
const converse = (modelId, client = runtime) =>
  outcome(client.send(new ConverseCommand({ modelId, messages, inferenceConfig })));
const denied = (error) => [error instanceof AccessDeniedException, error.$metadata?.httpStatusCode, error.message];

async function access() {
  const modelId = ACCESS_MODEL;
  const state = async () => {
    const found = await control.send(new GetFoundationModelAvailabilityCommand({ modelId }));
    return [found.agreementAvailability.status, found.entitlementAvailability];
  };
  const steps = [denied(await converse(modelId)), await state()];
  const { offers } = await control.send(new ListFoundationModelAgreementOffersCommand({ modelId }));
  const agreeing = () => new CreateFoundationModelAgreementCommand({ modelId, offerToken: offers[0].offerToken });
  await control.send(agreeing());
  steps.push(await converse(modelId), await state());
  steps.push((await outcome(control.send(agreeing()))) instanceof ConflictException);
  await control.send(new DeleteFoundationModelAgreementCommand({ modelId }));
  steps.push(denied(await converse(modelId)), await state());
  return steps;
}

async function profiles() {
  const found = [];
  for await (const page of paginateListInferenceProfiles({ client: control, pageSize: 20 }, {}))
    found.push(page.inferenceProfileSummaries.length);
  const system = "us.amazon.nova-lite-v1:0";
  const { inferenceProfileArn: source } = await control.send(
    new GetInferenceProfileCommand({ inferenceProfileIdentifier: system }),
  );
  const made = await control.send(
    new CreateInferenceProfileCommand({ inferenceProfileName: "js", modelSource: { copyFrom: source } }),
  );
  const arn = made.inferenceProfileArn;
  const id = arn.split("/").at(-1);
  const answers = [];
  for (const modelId of [system, source, id, arn]) answers.push(await converse(modelId));
  const tags = await tagged(arn);
  const own = { client: control, pageSize: 1 };
  const listed = [];
  for await (const page of paginateListInferenceProfiles(own, { typeEquals: "APPLICATION" }))
    listed.push(...page.inferenceProfileSummaries.map((each) => each.inferenceProfileArn === arn));
  await control.send(new DeleteInferenceProfileCommand({ inferenceProfileIdentifier: id }));
  const again = await outcome(control.send(new GetInferenceProfileCommand({ inferenceProfileIdentifier: arn })));
  return { pages: found, answers, tags, listed, gone: again instanceof ResourceNotFoundException };
}

async function tagged(resourceARN) {
  const read = async () =>
    (await control.send(new ListTagsForResourceCommand({ resourceARN }))).tags.map((tag) => [tag.key, tag.value]);
  const tags = [
    { key: "Team", value: "search" },
    { key: "Stage", value: "" },
  ];
  await control.send(new TagResourceCommand({ resourceARN, tags }));
  const before = await read();
  await control.send(new UntagResourceCommand({ resourceARN, tagKeys: ["Stage"] }));
  return [before, await read()];
}

async function provisioned() {
  const found = await control.send(new GetProvisionedModelThroughputCommand({ provisionedModelId: BOUGHT }));
  const listed = [];
  for await (const page of paginateListProvisionedModelThroughputs({ client: control, pageSize: 1 }, {}))
    listed.push(...page.provisionedModelSummaries.map((each) => each.provisionedModelArn));
  const modelId = found.provisionedModelName;
  const body = JSON.stringify({ inputText: "hi", textGenerationConfig: { maxTokenCount: 8 } });
  const invoked = await runtime.send(new InvokeModelCommand({ modelId, body, contentType: "application/json" }));
  return {
    status: found.status,
    times: [found.creationTime instanceof Date, found.commitmentExpirationTime instanceof Date],
    listed,
    answers: [await converse(BOUGHT), JSON.parse(new TextDecoder().decode(invoked.body)).results.length],
    tags: await tagged(BOUGHT),
  };
}

// What the gateway told the SDK to wait for, in milliseconds.
const hint = (error) => Number(error.$response.headers["x-amz-retry-after"]);

async function throttling() {
  const impatient = new BedrockRuntimeClient({ maxAttempts: 1 });
  let refused = [];
  while (refused.length === 0) {
    const asked = Array.from({ length: 70 }, () => converse(LIMITED_MODEL, impatient));
    refused = (await Promise.all(asked)).filter((each) => each !== "assistant");
  }
  const error = refused[0];
  const patient = new BedrockRuntimeClient({});
  const hints = [];
  const listen = (next) => async (args) => {
    try {
      return await next(args);
    } catch (thrown) {
      hints.push(hint(thrown));
      throw thrown;
    }
  };
  patient.middlewareStack.add(listen, { step: "finalizeRequest", priority: "low", name: "listen" });
  const waits = [];
  while (waits.length < 3) {
    hints.length = 0;
    const { output, $metadata } = await patient.send(
      new ConverseCommand({ modelId: LIMITED_MODEL, messages, inferenceConfig }),
    );
    const told = hints.reduce((sum, each) => sum + each, 0);
    if (hints.length) waits.push([output.message.role, $metadata.attempts - hints.length, told, $metadata.totalRetryDelay]);
  }
  return {
    names: [...new Set(refused.map((each) => `${each.name} ${each instanceof ThrottlingException}`))],
    message: error.message,
    metadata: [error.$metadata.httpStatusCode, error.$metadata.attempts, error.$metadata.requestId.length],
    seconds: Number(error.$response.headers["retry-after"]),
    hint: hint(error),
    waits,
  };
}

result.access = await access();
result.profiles = await profiles();
result.provisioned = await provisioned();
result.throttling = await throttling();
console.log(JSON.stringify(result));
