// A life of users, roles, keys and secrets through the AWS SDK for JavaScript: waiters, paginators,
// assumed roles as a credential provider, modelled errors. Prints one JSON object.
import {
  AttachRolePolicyCommand,
  CreatePolicyCommand,
  CreateRoleCommand,
  CreateUserCommand,
  DeleteUserCommand,
  GetRoleCommand,
  GetUserCommand,
  IAMClient,
  NoSuchEntityException,
  paginateListUsers,
  waitUntilPolicyExists,
  waitUntilRoleExists,
  waitUntilUserExists,
} from "@aws-sdk/client-iam";
import {
  CreateKeyCommand,
  DecryptCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  KMSClient,
  NotFoundException,
  DescribeKeyCommand,
  paginateListKeys,
} from "@aws-sdk/client-kms";
import {
  CreateSecretCommand,
  DeleteSecretCommand,
  GetSecretValueCommand,
  InvalidRequestException,
  ListSecretVersionIdsCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
} from "@aws-sdk/client-secrets-manager";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { fromTemporaryCredentials } from "@aws-sdk/credential-providers";

const iam = new IAMClient({});
const result = {};
const waiting = { client: iam, maxWaitTime: 20, minDelay: 1, maxDelay: 1 };
const account = (await new STSClient({}).send(new GetCallerIdentityCommand({}))).Account;
const policy = (principal, action) => ({
  Version: "2012-10-17",
  Statement: [{ Effect: "Allow", ...principal, Action: action }],
});

const names = ["js-one", "js-two", "js-three"];
for (const UserName of names) {
  await iam.send(new CreateUserCommand({ UserName, Path: "/js/" }));
  await waitUntilUserExists(waiting, { UserName });
}
result.users = [];
for await (const page of paginateListUsers({ client: iam, pageSize: 1 }, { PathPrefix: "/js/" })) {
  result.users.push(page.Users.map((user) => user.UserName));
}
for (const UserName of names) await iam.send(new DeleteUserCommand({ UserName }));
try {
  await iam.send(new GetUserCommand({ UserName: "js-one" }));
} catch (error) {
  result.gone = [error instanceof NoSuchEntityException, error.$metadata.httpStatusCode];
}

const trust = policy({ Principal: { AWS: `arn:aws:iam::${account}:root` } }, "sts:AssumeRole");
const allowed = policy({ Resource: "*" }, ["kms:*", "secretsmanager:*"]);
const role = await iam.send(
  new CreateRoleCommand({ RoleName: "js-role", AssumeRolePolicyDocument: JSON.stringify(trust) }),
);
await waitUntilRoleExists(waiting, { RoleName: "js-role" });
const made = await iam.send(
  new CreatePolicyCommand({ PolicyName: "js-policy", PolicyDocument: JSON.stringify(allowed) }),
);
await waitUntilPolicyExists(waiting, { PolicyArn: made.Policy.Arn });
await iam.send(new AttachRolePolicyCommand({ RoleName: "js-role", PolicyArn: made.Policy.Arn }));

const credentials = fromTemporaryCredentials({
  params: { RoleArn: role.Role.Arn, RoleSessionName: "js" },
});
result.session = (await new STSClient({ credentials }).send(new GetCallerIdentityCommand({}))).Arn;
const kms = new KMSClient({ credentials });
const KeyId = (await kms.send(new CreateKeyCommand({}))).KeyMetadata.KeyId;
const sealed = await kms.send(
  new EncryptCommand({ KeyId, Plaintext: Buffer.from("hello"), EncryptionContext: { a: "b" } }),
);
const opened = await kms.send(
  new DecryptCommand({ CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: { a: "b" } }),
);
result.opened = Buffer.from(opened.Plaintext).toString();
const dataKey = await kms.send(new GenerateDataKeyCommand({ KeyId, KeySpec: "AES_256" }));
result.dataKeyBytes = dataKey.Plaintext.length;
result.keyListed = false;
for await (const page of paginateListKeys({ client: kms, pageSize: 1 }, {})) {
  result.keyListed ||= page.Keys.some((key) => key.KeyId === KeyId);
}
try {
  await kms.send(new DescribeKeyCommand({ KeyId: "alias/js-nothing" }));
} catch (error) {
  result.noKey = [error instanceof NotFoundException, error.$metadata.httpStatusCode];
}

const secrets = new SecretsManagerClient({ credentials });
const SecretId = (await secrets.send(new CreateSecretCommand({ Name: "js/secret", SecretString: "1" }))).ARN;
await secrets.send(new PutSecretValueCommand({ SecretId, SecretBinary: new Uint8Array([1, 2, 255]) }));
result.binary = [...(await secrets.send(new GetSecretValueCommand({ SecretId }))).SecretBinary];
const previous = new GetSecretValueCommand({ SecretId, VersionStage: "AWSPREVIOUS" });
result.previous = (await secrets.send(previous)).SecretString;
result.versions = (await secrets.send(new ListSecretVersionIdsCommand({ SecretId }))).Versions.length;
await secrets.send(new DeleteSecretCommand({ SecretId, RecoveryWindowInDays: 7 }));
try {
  await secrets.send(new GetSecretValueCommand({ SecretId }));
} catch (error) {
  result.deleted = error instanceof InvalidRequestException;
}
const used = (await iam.send(new GetRoleCommand({ RoleName: "js-role" }))).Role.RoleLastUsed;
result.lastUsed = [used?.LastUsedDate instanceof Date, used?.Region];
console.log(JSON.stringify(result));
