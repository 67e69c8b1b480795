// The list of checks for clients that prove to have a key instead of telling a secret: private_key_jwt (RFC 7523), DPoP
// (RFC 9449) and mutual TLS (RFC 8705).
//
// A library is a class with these methods. `who` has the metadata that the library is told of the client, its login as
// the library makes it, and what to send through, if not the library's own.
//
//   generate(algorithm)         makes a pair of keys
//   proof(who, keys, modify)    what the library makes DPoP proofs with
//   token(who, proof)           asks for a token by client credentials and gives the answer
//   refresh(who, token, proof)  the same with a refresh token
//   introspect(who, token)      gives the answer, and checks its signature if it is signed
//   revoke(who, token)          ends without an error
//   refusal(call)               calls, expects the library's own error, and gives the code that it carries

import assert from 'node:assert/strict'
import { X509Certificate, createHash, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:https'

import { Admin } from './admin.mjs'
import { ALGORITHMS, INACTIVE, count, readWorld, same } from './flow.mjs'

export async function run(Library) {
  const world = readWorld()
  const library = await Library.make(world)
  const admin = new Admin(world)
  for (const algorithm of ALGORITHMS) {
    const keys = await library.generate(algorithm)
    await livesByAssertions(library, admin, world, keys)
    await isAnsweredSigned(library, admin, world, keys, algorithm)
    await bindsTokens(library, admin, world, keys)
  }
  const [keys, other] = [await library.generate('ES256'), await library.generate('ES256')]
  await isRefused(library, admin, world, keys, other)
  await bindsRefreshTokens(library, admin, world, keys, other)
  await showsCertificates(library, admin, world)
  console.log(`${count()} checks`)
}

async function publicKey(keys) {
  return crypto.subtle.exportKey('jwk', keys.publicKey)
}

const usual = (world) => ({
  rights: ['introspect'],
  audiences: [world.audience],
  scope: 'read write',
  grant_types: ['client_credentials'],
})

async function registered(library, admin, world, keys, metadata = {}) {
  const { client_id } = await admin.client({
    ...usual(world),
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: { keys: [await publicKey(keys)] },
    ...metadata,
  })
  return { metadata: { client_id }, login: library.PrivateKeyJwt(keys.privateKey) }
}

// === private_key_jwt ===

async function livesByAssertions(library, admin, world, keys) {
  const who = await registered(library, admin, world, keys)
  const made = await library.token(who)
  same(made.token_type, 'bearer')
  const answer = await library.introspect(who, made.access_token)
  same([answer.active, answer.client_id, answer.token_type], [true, who.metadata.client_id, 'Bearer'])
  same((await library.introspect(who, world.tokens.active)).sub, 'alice')
  await library.revoke(who, made.access_token)
  same(await library.introspect(who, made.access_token), INACTIVE)
}

// Every endpoint refuses alike, whatever is wrong.
async function isRefused(library, admin, world, keys, other) {
  const who = await registered(library, admin, world, keys)
  const by = (modify, { privateKey } = keys) => ({
    ...who,
    login: library.PrivateKeyJwt(privateKey, { [library.modifyAssertion]: modify }),
  })
  const once = randomUUID()
  const again = by((header, payload) => (payload.jti = once))
  await library.token(again)
  const wrong = {
    'another key': by(() => {}, other),
    'shown before': again,
    'for the endpoint': by((header, payload) => (payload.aud = `${world.issuer}/token`)),
    'for others too': by((header, payload) => (payload.aud = [world.issuer, 'https://as.example.com'])),
    'past': by((header, payload) => (payload.exp = payload.iat - 1)),
    'of another kind': by((header) => (header.typ = 'at+jwt')),
    'of somebody else': by((header, payload) => (payload.sub = world.owner.id)),
  }
  for (const [about, who] of Object.entries(wrong)) {
    same(await library.refusal(() => library.token(who)), 'invalid_client', about)
  }
  same(await library.refusal(() => library.introspect(again, world.tokens.active)), 'invalid_client')
  same(await library.refusal(() => library.revoke(again, world.tokens.active)), 'invalid_client')
  const alone = by((header, payload) => Object.assign(payload, { aud: [world.issuer], jti: undefined }))
  for (let time = 0; time < 2; time += 1) same((await library.token(alone)).token_type, 'bearer')
  const secret = { ...who, login: library.ClientSecretPost('a secret that it does not have') }
  same(await library.refusal(() => library.token(secret)), 'invalid_client')
}

// === signed answers (RFC 9701) ===

async function isAnsweredSigned(library, admin, world, keys, algorithm) {
  const member = { introspection_signed_response_alg: algorithm }
  const who = await registered(library, admin, world, keys, member)
  Object.assign(who.metadata, member)
  const plain = { ...who, metadata: { client_id: who.metadata.client_id } }
  const made = await library.token(plain)
  const answer = await library.introspect(who, made.access_token)
  same([answer.active, answer.client_id], [true, who.metadata.client_id])
  await library.revoke(plain, made.access_token)
  same(await library.introspect(who, made.access_token), INACTIVE)
  const { header, claims, text } = library.signed()
  same([header.typ, header.alg], ['token-introspection+jwt', algorithm])
  same([claims.iss, claims.sub, claims.exp], [world.issuer, undefined, undefined])
  // What is signed for an answer is no token (section 8.1).
  same(await library.introspect(who, text), INACTIVE)
}

// === DPoP ===

async function bindsTokens(library, admin, world, keys) {
  const who = await registered(library, admin, world, keys, { dpop_bound_access_tokens: true })
  same(await library.refusal(() => library.token(who)), 'invalid_dpop_proof')
  const proof = library.proof(who, keys)
  const made = await library.token(who, proof)
  same(made.token_type, 'dpop')
  const answer = await library.introspect(who, made.access_token)
  same([answer.active, answer.token_type], [true, 'DPoP'])
  same(answer.cnf, { jkt: await proof.calculateThumbprint() })
  const once = randomUUID()
  const again = library.proof(who, keys, (header, payload) => (payload.jti = once))
  same((await library.token(who, again)).token_type, 'dpop')
  same(await library.refusal(() => library.token(who, again)), 'invalid_dpop_proof')
  for (const modify of [
    (header, payload) => (payload.htu = `${world.issuer}/introspect`),
    (header, payload) => (payload.htm = 'GET'),
    (header, payload) => (payload.iat -= 300),
    (header) => (header.typ = 'JWT'),
  ]) {
    same(await library.refusal(() => library.token(who, library.proof(who, keys, modify))), 'invalid_dpop_proof')
  }
}

// The refresh token of a public client works for whoever has the key alone (section 5).
async function bindsRefreshTokens(library, admin, world, keys, other) {
  const { client_id } = await admin.client({
    token_endpoint_auth_method: 'none',
    scope: 'read',
    grant_types: ['refresh_token'],
  })
  const who = { metadata: { client_id }, login: library.None() }
  const proof = library.proof(who, keys)
  const cnf = { jkt: await proof.calculateThumbprint() }
  const grant = await admin.token({ client_id, sub: 'alice', aud: world.audience, scope: 'read', refresh: true, cnf })
  const refusal = (proof) => library.refusal(() => library.refresh(who, grant.refresh_token, proof))
  same(await refusal(library.proof(who, other)), 'invalid_grant')
  same(await refusal(undefined), 'invalid_grant')
  const made = await library.refresh(who, grant.refresh_token, proof)
  same(made.token_type, 'dpop')
  const server = { metadata: { client_id: world.resource_server.id } }
  server.login = library.ClientSecretBasic(world.resource_server.secret)
  same((await library.introspect(server, made.access_token)).cnf, cnf)
  same((await library.refresh(who, made.refresh_token, proof)).token_type, 'dpop')
}

// === mutual TLS ===

// What the libraries send through when a certificate is to be shown: fetch has no way to say so.
function showing({ certificate, key }, world) {
  const agent = new Agent({
    ca: readFileSync(world.ca_file),
    cert: readFileSync(certificate),
    key: readFileSync(key),
  })
  return (url, { method, headers, body }) =>
    new Promise((resolve, reject) => {
      const sent = request(url, { agent, method, headers: Object.fromEntries(new Headers(headers)) }, async (answer) => {
        const parts = []
        for await (const part of answer) parts.push(part)
        resolve(new Response(Buffer.concat(parts), { status: answer.statusCode, headers: answer.headers }))
      })
      sent.on('error', reject).end(body?.toString())
    })
}

async function showsCertificates(library, admin, world) {
  const { signed, self_signed: selfSigned, strange, name } = world.certificates
  const der = (pair) => new X509Certificate(readFileSync(pair.certificate)).raw
  const x5c = { ...new X509Certificate(der(selfSigned)).publicKey.export({ format: 'jwk' }) }
  x5c.x5c = [der(selfSigned).toString('base64')]
  for (const [shown, wrong, metadata] of [
    [signed, [strange, selfSigned], { token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_san_dns: name }],
    [
      selfSigned,
      [signed, strange],
      { token_endpoint_auth_method: 'self_signed_tls_client_auth', jwks: { keys: [x5c] } },
    ],
  ]) {
    const bound = { tls_client_certificate_bound_access_tokens: true }
    const { client_id } = await admin.client({ ...usual(world), ...metadata, ...bound })
    const by = (pair) => ({
      metadata: { client_id },
      login: library.TlsClientAuth(),
      fetch: pair && showing(pair, world),
    })
    const who = by(shown)
    const made = await library.token(who)
    const answer = await library.introspect(who, made.access_token)
    same([answer.active, answer.client_id], [true, client_id])
    same(answer.cnf, { 'x5t#S256': createHash('sha256').update(der(shown)).digest('base64url') })
    for (const pair of [...wrong, undefined]) {
      same(await library.refusal(() => library.introspect(by(pair), made.access_token)), 'invalid_client')
    }
    await library.revoke(who, made.access_token)
    same(await library.introspect(who, made.access_token), INACTIVE)
  }
}

// The parts of a signed text, read without a check.
export function parts(text) {
  const [header, claims] = text.split('.').map((part) => Buffer.from(part, 'base64url'))
  assert.ok(claims, 'a signed text')
  return { header: JSON.parse(header), claims: JSON.parse(claims), text }
}
