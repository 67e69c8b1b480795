import express from "express";
import { introspection } from "./introspection.mjs";

const needs = introspection({
  endpoint: "http://127.0.0.1:8080/introspect",
  clientId: "orders",
  clientSecret: "example-orders-secret-known-to-all",
});

const app = express();
app.disable("x-powered-by");
app.all("/orders", needs("read"), (request, response) => response.json({ subject: request.token.sub }));
app.all("/admin/users", needs("admin"), (request, response) => response.json({ subject: request.token.sub }));
app.listen(8000, "127.0.0.1");
