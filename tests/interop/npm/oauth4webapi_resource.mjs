// oauth4webapi as a resource server: it takes a request with a signed access token, and with a proof that the sender has
// the key that the token is bound to.

import assert from 'node:assert/strict'

import * as oauth from 'oauth4webapi'

import { Admin } from './admin.mjs'
import { ALGORITHMS, count, readWorld, same } from './flow.mjs'

const world = readWorld()
const admin = new Admin(world)
const issuer = new URL(world.issuer)
const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2' })
const metadata = await oauth.processDiscoveryResponse(issuer, found)

// The request that the library would send to a resource server.
async function caught(token, proof) {
  let request
  const catching = (url, options) => {
    request = new Request(url, options)
    return new Response()
  }
  const url = new URL(`${world.audience}/orders`)
  const options = { DPoP: proof, [oauth.customFetch]: catching }
  await oauth.protectedResourceRequest(token, 'GET', url, undefined, undefined, options)
  return request
}

async function checks(algorithm) {
  // It keeps the keys with this object, and does not ask for others within a minute.
  const server = { ...metadata }
  const made = await admin.client({
    scope: 'read',
    audiences: [world.audience],
    grant_types: ['client_credentials'],
    access_token_format: 'jwt',
    access_token_signing_alg: algorithm,
  })
  const client = { client_id: made.client_id }
  const login = oauth.ClientSecretBasic(made.client_secret)
  const token = async (DPoP) => {
    const parameters = { resource: world.audience }
    const answer = await oauth.clientCredentialsGrantRequest(server, client, login, parameters, { DPoP })
    return oauth.processClientCredentialsResponse(server, client, answer)
  }

  const plain = await token()
  same(plain.token_type, 'bearer')
  const claims = await oauth.validateJwtAccessToken(server, await caught(plain.access_token), world.audience)
  same([claims.client_id, claims.sub, claims.scope], [client.client_id, `client:${client.client_id}`, 'read'])

  const keys = await oauth.generateKeyPair(algorithm, { extractable: true })
  const proof = oauth.DPoP(client, keys)
  const bound = await token(proof)
  same(bound.token_type, 'dpop')
  const request = await caught(bound.access_token, proof)
  const { cnf } = await oauth.validateJwtAccessToken(server, request, world.audience, { requireDPoP: true })
  same(cnf, { jkt: await proof.calculateThumbprint() })
  await assert.rejects(
    oauth.validateJwtAccessToken(server, await caught(bound.access_token), world.audience),
    oauth.OperationProcessingError,
  )
  const others = oauth.DPoP(client, await oauth.generateKeyPair(algorithm, { extractable: true }))
  await assert.rejects(
    oauth.validateJwtAccessToken(server, await caught(bound.access_token, others), world.audience),
    oauth.OperationProcessingError,
  )
}

for (const algorithm of ALGORITHMS) await checks(algorithm)
console.log(`${count()} checks`)
