// Works against the test server with @microsoft/microsoft-graph-client, which knows nothing of it.
//
// Arguments: directory with node_modules, origin, token. Prints one line for each thing that was found.

import { createRequire } from "node:module";

const [modules, origin, token] = process.argv.slice(2);
const { BatchRequestContent, BatchResponseContent, Client, PageIterator } =
  createRequire(modules + "/x.js")("@microsoft/microsoft-graph-client");

const tell = (what, value) => console.log(JSON.stringify({ [what]: value }));

const client = Client.initWithMiddleware({
  authProvider: { getAccessToken: async () => token },
  baseUrl: origin,
  defaultVersion: "v1.0",
  customHosts: new Set([new URL(origin).hostname]),
});

const names = [];
const folders = await client.api("/me/mailFolders").get();
await new PageIterator(client, folders, (folder) => names.push(folder.displayName)).iterate();
tell("folders", names.sort());

const mime = "Subject: by MIME\r\nMIME-Version: 1.0\r\n\r\nhello\r\n";
const draft = await client
  .api("/me/messages")
  .header("Content-Type", "text/plain")
  .post(Buffer.from(mime).toString("base64"));
tell("mime", [draft.subject, draft.isDraft]);

const subjects = [];
const delta = await client
  .api("/me/mailFolders/inbox/messages/delta")
  .header("Prefer", "odata.maxpagesize=5")
  .select("subject")
  .get();
const iterator = new PageIterator(client, delta, (message) => subjects.push(message.subject));
await iterator.iterate();
tell("inbox", [subjects.length, iterator.getDeltaLink() !== undefined]);

const raw = await client.api(`/me/messages/${encodeURIComponent(draft.id)}/$value`).get();
tell("raw", typeof raw === "string" ? raw : await new Response(raw).text());

// It takes the path of the URL, and Node knows no URL without a host.
const make = (subject) =>
  new Request(`${origin}/me/mailFolders/inbox/messages`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ subject }),
  });
const batch = new BatchRequestContent([
  { id: "1", request: make("one") },
  { id: "2", request: make("two"), dependsOn: ["1"] },
]);
const content = await batch.getContent();
const answers = new BatchResponseContent(await client.api("/$batch").post(content));
tell("batch", ["1", "2"].map((id) => answers.getResponseById(id).status));

try {
  await client.api("/me/messages/nonsense").get();
} catch (error) {
  tell("error", [error.statusCode, error.code]);
}
