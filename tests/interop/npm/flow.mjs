// The list of checks that every JavaScript library goes through.
//
// A library is a class with these methods; `way` is how it sends the secret: "basic", "post" or "none".
//
//   token(who, scope)           asks for a token by client credentials and gives the answer
//   refresh(who, token, scope)  the same with a refresh token
//   introspect(who, token)      gives the answer
//   revoke(who, token, hint)    ends without an error
//   refusal(call)               calls, expects the library's own error, and gives the code that it carries

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { webcrypto } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

// Node 18 has it, but not where the libraries look.
globalThis.crypto ??= webcrypto
globalThis.CryptoKey ??= webcrypto.CryptoKey

const PATIENCE_MILLISECONDS = 60_000
export const ALGORITHMS = ['ES256', 'EdDSA', 'RS256', 'PS256']
export const INACTIVE = { active: false }

let checks = 0

export function same(found, wanted, about) {
  assert.deepEqual(found, wanted, about && `${about}: ${JSON.stringify(found)}`)
  checks += 1
}

export function count() {
  return checks
}

export function readWorld() {
  return JSON.parse(readFileSync(process.argv[2], 'utf8'))
}

export async function run(Library, more = async () => {}) {
  const world = readWorld()
  for (const way of ['basic', 'post']) {
    const library = await Library.make(world, way)
    await introspects(library, world)
    await isRefused(library, world, way)
    await revokesAGrant(library, world, world.grants[way])
    await refreshes(library, library, world, world.owner, world.rotations[way])
    await logsInWithAnyCharacters(library, world)
  }
  await revokesAsAPublicClient(Library, world)
  const [asking, asPublic] = [await Library.make(world, 'basic'), await Library.make(world, 'none')]
  await refreshes(asPublic, asking, world, world.public, world.rotations.none)
  await more(world)
  console.log(`${checks} checks`)
}

async function introspects(library, world) {
  const { resource_server: server, tokens } = world
  const answer = await library.introspect(server, tokens.active)
  same(answer.active, true)
  same(answer.client_id, world.owner.id)
  same(answer.sub, 'alice')
  same(answer.username, 'alice@example.com')
  same(answer.scope, 'read write')
  same(answer.aud, world.audience)
  same(answer.iss, world.issuer)
  same(answer.token_type, 'Bearer')
  same(answer.exp - answer.iat, 900)
  same(Number.isInteger(answer.exp) && Number.isInteger(answer.iat), true)
  const several = await library.introspect(server, tokens.several_audiences)
  same(several.aud, [world.audience, world.other_audience])
  const bare = await library.introspect(server, tokens.no_scope)
  same([bare.active, 'scope' in bare], [true, false])
  same((await library.introspect(server, tokens.imported)).active, true)
  for (const token of [tokens.expired, tokens.revoked, ...world.unknown]) {
    same(await library.introspect(server, token), INACTIVE, token)
  }
  const deadline = Date.now() + PATIENCE_MILLISECONDS
  while ((await library.introspect(server, tokens.ending)).active && Date.now() < deadline) await sleep(50)
  same(await library.introspect(server, tokens.ending), INACTIVE)
}

async function isRefused(library, world) {
  const token = world.tokens.active
  for (const wrong of [
    { id: world.resource_server.id, secret: 'wrong' },
    { id: 'nobody', secret: 'wrong' },
  ]) {
    same(await library.refusal(() => library.introspect(wrong, token)), 'invalid_client')
    same(await library.refusal(() => library.revoke(wrong, token)), 'invalid_client')
    same(await library.refusal(() => library.token(wrong)), 'invalid_client')
  }
  same(await library.refusal(() => library.introspect(world.stranger, token)), 'unauthorized_client')
  same(await library.refusal(() => library.revoke(world.stranger, token)), 'invalid_grant')
  same((await library.introspect(world.resource_server, token)).active, true)
  same(await library.refusal(() => library.token(world.applications[0], 'admin')), 'invalid_scope')
}

async function revokesAGrant(library, world, { access_token: access, refresh_token: refresh }) {
  const { owner, resource_server: server } = world
  same((await library.introspect(server, access)).active, true)
  // A refresh token is its owner's business alone.
  same(await library.introspect(server, refresh), INACTIVE)
  same((await library.introspect(owner, refresh)).active, true)
  await library.revoke(owner, refresh, 'refresh_token')
  same(await library.introspect(owner, access), INACTIVE)
  same(await library.introspect(owner, refresh), INACTIVE)
}

// Each refresh token works once, and whoever uses a spent one ends the grant (RFC 9700 section 4.14.2).
async function refreshes(library, asking, world, who, [usedAgain, revoked]) {
  const { resource_server: server } = world
  const tokens = [usedAgain]
  for (const scope of ['read', undefined]) {
    const last = tokens.at(-1)
    const made = await library.refresh(who, last.refresh_token, scope)
    tokens.push(made)
    same(made.token_type, 'bearer')
    same(made.refresh_token === last.refresh_token, false)
    // What was granted stays with the grant: asking for less once does not lose the rest (RFC 6749 section 6).
    const answer = await asking.introspect(server, made.access_token)
    same([answer.active, answer.sub, answer.scope], [true, 'alice', scope ?? 'read write'])
    same(answer.client_id, who.id)
  }
  const { access_token: access, refresh_token: current } = tokens.at(-1)
  same(await library.refusal(() => library.refresh(who, current, 'admin')), 'invalid_scope')
  same(await library.refusal(() => library.refresh(who, access)), 'invalid_grant')
  for (const token of [usedAgain.refresh_token, current]) {
    same(await library.refusal(() => library.refresh(who, token)), 'invalid_grant')
  }
  for (const token of tokens) same(await asking.introspect(server, token.access_token), INACTIVE)
  const made = await library.refresh(who, revoked.refresh_token)
  await library.revoke(who, made.refresh_token, 'refresh_token')
  same(await library.refusal(() => library.refresh(who, made.refresh_token)), 'invalid_grant')
  same(await asking.introspect(server, made.access_token), INACTIVE)
}

async function logsInWithAnyCharacters(library, world) {
  for (const who of world.applications) await livesAndDies(library, who, 'read write')
  await livesAndDies(library, world.without_scope, undefined)
  const reader = world.applications[1]
  const { access_token: token } = await library.token(reader, 'read')
  same((await library.introspect(reader, token)).scope, 'read')
}

async function livesAndDies(library, who, scope) {
  const made = await library.token(who)
  // The libraries write it in small letters.
  same(made.token_type, 'bearer')
  same(made.expires_in, 900)
  same(made.scope, scope, JSON.stringify(who))
  const answer = await library.introspect(who, made.access_token)
  same(answer.active, true, JSON.stringify(who))
  same(answer.client_id, who.id)
  same(answer.sub, `client:${who.id}`)
  same(answer.scope, scope)
  // Twice: a token that is revoked already is no error (RFC 7009 section 2.2).
  for (let time = 0; time < 2; time += 1) {
    await library.revoke(who, made.access_token)
    same(await library.introspect(who, made.access_token), INACTIVE)
  }
  await library.revoke(who, 'never issued')
}

async function revokesAsAPublicClient(Library, world) {
  const asking = await Library.make(world, 'basic')
  const token = world.tokens.of_public
  same((await asking.introspect(world.resource_server, token)).active, true)
  await (await Library.make(world, 'none')).revoke(world.public, token)
  same(await asking.introspect(world.resource_server, token), INACTIVE)
}

// The code in an error of these libraries. A challenge comes before a body (RFC 9110 section 11.6.1), and a Basic one
// carries no code: then the body is read.
export async function codeOf(error, { ResponseBodyError, WWWAuthenticateChallengeError }) {
  if (error instanceof ResponseBodyError) return error.error
  assert.ok(error instanceof WWWAuthenticateChallengeError, error)
  assert.equal(error.status, 401)
  assert.equal(error.cause[0].scheme, 'basic')
  assert.equal(error.cause[0].parameters.realm, 'introspectd')
  return (await error.response.json()).error
}
