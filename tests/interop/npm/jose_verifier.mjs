// jose: signed access tokens, checked by a resource server that asks nobody but for the keys (RFC 9068 section 4), before
// and after keys change. It keeps the keys, and fetches them anew when it meets one that it does not know.

import assert from 'node:assert/strict'

import { createRemoteJWKSet, customFetch, errors, jwtVerify } from 'jose'

import { Admin } from './admin.mjs'
import { ALGORITHMS, INACTIVE, count, readWorld, same } from './flow.mjs'

const world = readWorld()
const admin = new Admin(world)
const metadata = await (await fetch(`${world.issuer}/.well-known/oauth-authorization-server`)).json()
same(metadata.jwks_uri, `${world.issuer}/jwks.json`)

class Verifier {
  requests = 0

  constructor(algorithm, options) {
    const counted = (...asked) => {
      this.requests += 1
      return fetch(...asked)
    }
    this.algorithm = algorithm
    this.keys = createRemoteJWKSet(new URL(metadata.jwks_uri), { ...options, [customFetch]: counted })
  }

  async verify(token) {
    const { payload, protectedHeader } = await jwtVerify(token, this.keys, {
      issuer: world.issuer,
      audience: world.audience,
      typ: 'at+jwt',
      algorithms: [this.algorithm],
      requiredClaims: ['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti'],
    })
    return { claims: payload, header: protectedHeader }
  }
}

async function introspect(token) {
  const { id, secret } = world.resource_server
  const answer = await fetch(metadata.introspection_endpoint, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${id}:${secret}`)}` },
    body: new URLSearchParams({ token }),
  })
  return answer.json()
}

async function checks(algorithm) {
  const { client_id } = await admin.client({
    scope: 'read',
    audiences: [world.audience],
    access_token_format: 'jwt',
    access_token_signing_alg: algorithm,
  })
  const issue = async (members) => {
    const made = await admin.token({ client_id, sub: 'alice', scope: 'read', aud: world.audience, ...members })
    return made.access_token
  }
  // The one keeps what it has for ten minutes and asks twice a minute at most, as it does when nothing is said.
  const patient = new Verifier(algorithm)
  const eager = new Verifier(algorithm, { cooldownDuration: 0 })

  const first = await issue()
  const { claims, header } = await patient.verify(first)
  same([header.typ, header.alg], ['at+jwt', algorithm])
  same([claims.client_id, claims.sub, claims.scope, claims.aud], [client_id, 'alice', 'read', world.audience])
  same(claims.exp - claims.iat, 900)
  const answer = await introspect(first)
  same([answer.active, answer.jti, answer.exp], [true, claims.jti, claims.exp])
  await eager.verify(first)
  const elsewhere = await issue({ aud: world.other_audience })
  await assert.rejects(patient.verify(elsewhere), errors.JWTClaimValidationFailed)

  // The standby was published beside the first key: nobody has to ask again when it takes over.
  await admin.rotate(algorithm)
  const second = await issue()
  const { header: after } = await patient.verify(second)
  same(after.kid === header.kid, false)
  same((await patient.verify(first)).claims.jti, claims.jti)
  same(patient.requests, 1)

  // Its successor was not: a verifier that meets it asks once.
  await admin.rotate(algorithm)
  const third = await issue()
  const { header: last } = await eager.verify(third)
  for (const token of [first, second, third]) await eager.verify(token)
  same(eager.requests, 2)
  same(new Set([header.kid, after.kid, last.kid]).size, 3)

  // A key that leaked is gone at once, with all that it signed, for everybody who asks.
  await admin.remove(last.kid)
  const fourth = await issue()
  const fresh = new Verifier(algorithm, { cooldownDuration: 0 })
  for (const token of [first, second, fourth]) {
    await fresh.verify(token)
    same((await introspect(token)).active, true)
  }
  await assert.rejects(fresh.verify(third), errors.JWKSNoMatchingKey)
  same(await introspect(third), INACTIVE)
  same((await eager.verify(fourth)).header.kid === last.kid, false)
}

for (const algorithm of ALGORITHMS) await checks(algorithm)
console.log(`${count()} checks`)
