// Express middleware that introspects the token of every request (RFC 7662). It keeps no answers: a token that was
// revoked is refused at the next request. Node's fetch keeps its connections open.

/**
 * @param {{ endpoint: string, clientId: string, clientSecret: string, timeout?: number }} options
 *   `timeout` in milliseconds; longer than `http.request_timeout`, so that it is introspectd who gives up.
 * @returns {(...scopes: string[]) => import("express").RequestHandler} a middleware for a token with all of these
 *   scopes. What introspectd says of the token is then in `request.token`.
 */
export function introspection({ endpoint, clientId, clientSecret, timeout = 15_000 }) {
  // RFC 6749 section 2.3.1: both are encoded as in a form.
  const encode = (text) => new URLSearchParams({ "": text }).toString().slice(1);
  const credentials = Buffer.from(`${encode(clientId)}:${encode(clientSecret)}`).toString("base64");

  async function ask(token) {
    const answer = await fetch(endpoint, {
      method: "POST",
      headers: { authorization: `Basic ${credentials}` },
      body: new URLSearchParams({ token }),
      redirect: "error",
      signal: AbortSignal.timeout(timeout),
    });
    if (answer.status !== 200) throw new Error(`introspection was answered ${answer.status}`);
    return answer.json();
  }

  function refuse(response, status, error, parameters = {}) {
    const all = Object.entries(error ? { error, ...parameters } : parameters);
    const challenge = all.map(([name, value]) => ` ${name}="${value}"`).join(",");
    response.set("www-authenticate", `Bearer${challenge}`).status(status).json(error ? { error } : {});
  }

  return (...scopes) => async (request, response, next) => {
    // Two lines could be read in two ways.
    const lines = request.headersDistinct.authorization ?? [];
    const [, token] = lines.length === 1 ? (/^Bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(lines[0]) ?? []) : [];
    if (!token) return refuse(response, 401, lines.length > 0 ? "invalid_token" : undefined);

    let answer;
    try {
      answer = await ask(token);
    } catch (error) {
      // It is not known whether the token is good.
      console.error(error.message);
      return response.set("retry-after", "1").status(503).json({ error: "temporarily_unavailable" });
    }

    if (answer.active !== true) return refuse(response, 401, "invalid_token");
    const has = (answer.scope ?? "").split(" ");
    if (!scopes.every((scope) => has.includes(scope))) {
      return refuse(response, 403, "insufficient_scope", { scope: scopes.join(" ") });
    }
    request.token = answer;
    next();
  };
}
