// node recipes/vegeta-targets.mjs http://127.0.0.1:8080/introspect CLIENT_ID SECRET_FILE TOKENS > targets
// vegeta attack -format=json -targets=targets -rate=2000/s -duration=30s | vegeta report -type=hdrplot
//
// An open loop at a constant rate, with latency from when a worker sends: let it have workers enough (-max-workers), or it
// leaves out the waiting. It looks at statuses only.
import { readFileSync } from "node:fs";

const [url, client, secretFile, tokens] = process.argv.slice(2);
if (!tokens) {
  console.error("usage: vegeta-targets.mjs URL CLIENT_ID SECRET_FILE TOKENS");
  process.exit(2);
}
// Form encoding (RFC 6749 appendix B): what encodeURIComponent leaves alone and forms do not.
const encode = (text) =>
  encodeURIComponent(text).replace(/[!'()*~]/g, (letter) => "%" + letter.charCodeAt(0).toString(16).toUpperCase());
const base64 = (text) => Buffer.from(text).toString("base64");
const secret = readFileSync(secretFile, "utf8").replace(/[\r\n]+$/, "");
const header = {
  Authorization: ["Basic " + base64(`${encode(client)}:${encode(secret)}`)],
  "Content-Type": ["application/x-www-form-urlencoded"],
};
for (const line of readFileSync(tokens, "utf8").split("\n").filter((line) => line.trim())) {
  const body = base64("token=" + encode(JSON.parse(line).token));
  console.log(JSON.stringify({ method: "POST", url, header, body }));
}
