// k6 run -e URL=http://127.0.0.1:8080/introspect -e CLIENT_ID=... -e CLIENT_SECRET_FILE=secret -e TOKENS=tokens.jsonl \
//   -e RATE=2000 recipes/k6.js
//
// An open loop: arrivals at a constant rate. What could not start in time is counted as dropped_iterations and fails the
// run; so does a wrong answer.
import http from "k6/http";
import encoding from "k6/encoding";
import exec from "k6/execution";
import { check } from "k6";

const encode = (text) =>
  encodeURIComponent(text).replace(/[!'()*~]/g, (letter) => "%" + letter.charCodeAt(0).toString(16).toUpperCase());
const secret = open(__ENV.CLIENT_SECRET_FILE).replace(/[\r\n]+$/, "");
const tokens = open(__ENV.TOKENS)
  .split("\n")
  .filter((line) => line.trim())
  .map((line) => JSON.parse(line));
const headers = {
  Authorization: "Basic " + encoding.b64encode(`${encode(__ENV.CLIENT_ID)}:${encode(secret)}`),
  "Content-Type": "application/x-www-form-urlencoded",
};

export const options = {
  discardResponseBodies: false,
  summaryTrendStats: ["med", "p(90)", "p(99)", "p(99.9)", "max"],
  scenarios: {
    introspect: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE || 1000),
      timeUnit: "1s",
      duration: __ENV.DURATION || "30s",
      preAllocatedVUs: 64,
      maxVUs: 512,
    },
  },
  thresholds: { checks: ["rate==1"], dropped_iterations: ["count==0"] },
};

export default function () {
  const known = tokens[exec.scenario.iterationInTest % tokens.length];
  const answer = http.post(__ENV.URL, "token=" + encode(known.token), { headers });
  check(answer, {
    "the answer is true": (one) => one.status === 200 && one.json("active") === known.active,
  });
}
