// Serves the page over HTTPS, and where wanted the service under the same origin: a reverse proxy without packages.
//
//   node serve.mjs --certificate FILE --key FILE --port 8443 --proxy URL    the service under the page's own origin
//   node serve.mjs --certificate FILE --key FILE --port 8443 --service URL  the service under an origin of its own
//
// Only a demonstration: use the server that you have.

import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const read = (name) => readFileSync(new URL(name, import.meta.url), 'utf8')
const FILES = {
  '/': ['text/html; charset=utf-8', read('index.html')],
  '/login.css': ['text/css; charset=utf-8', read('login.css')],
  '/login.js': ['text/javascript; charset=utf-8', read('login.js')],
}

/** What the page may do: its own script and style, requests to the service, and nothing else. */
export function headers(service) {
  return {
    'Content-Security-Policy': [
      "default-src 'none'", "script-src 'self'", "style-src 'self'", 'img-src data:', `connect-src 'self' ${service}`,
      "form-action 'none'", "base-uri 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
      "trusted-types 'none'",
    ].join('; '),
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'Strict-Transport-Security': 'max-age=31536000',
    'X-Content-Type-Options': 'nosniff',
    'Cache-Control': 'no-cache',
  }
}

/** Answers with a file of the page. Whether it is one. */
export function servePage(request, response, service = '') {
  const file = FILES[request.url]
  if (!file || !['GET', 'HEAD'].includes(request.method)) return false
  const [type, text] = file
  response.writeHead(200, { ...headers(service), 'Content-Type': type })
  response.end(text.replace('name="service" content=""', `name="service" content="${service}"`))
  return true
}

/** Hands a request on to the service. `Origin`, `Cookie` and the rest are passed on as they are. */
export function forward(request, response, service, options = {}) {
  const { request: open } = service.startsWith('https:') ? https : http
  const address = { 'x-forwarded-for': request.socket.remoteAddress }
  const onward = open(new URL(service).origin + request.url, {
    ...options, method: request.method, headers: { ...request.headers, ...address },
  })
  onward.on('response', (answer) => {
    response.writeHead(answer.statusCode, answer.headers)
    answer.pipe(response)
  })
  onward.on('error', () => response.headersSent ? response.destroy() : response.writeHead(502).end())
  request.pipe(onward)
}

function main() {
  const text = { type: 'string' }
  const { values } = parseArgs({ options: { certificate: text, key: text, port: text, proxy: text, service: text } })
  const identity = { cert: readFileSync(values.certificate), key: readFileSync(values.key) }
  https.createServer(identity, (request, response) => {
    if (servePage(request, response, values.service)) return
    if (values.proxy) return forward(request, response, values.proxy)
    response.writeHead(404).end()
  }).listen(Number(values.port), '127.0.0.1')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main()
