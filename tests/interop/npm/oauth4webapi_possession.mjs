// oauth4webapi, with keys instead of secrets. It checks the form of a signed answer by itself, and its signature when it
// is asked to.

import { codeOf } from './flow.mjs'
import { parts, run } from './possession.mjs'
import * as oauth from 'oauth4webapi'

class Oauth4webapi {
  static async make(world) {
    const issuer = new URL(world.issuer)
    const answer = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2' })
    const server = await oauth.processDiscoveryResponse(issuer, answer)
    return Object.assign(new Oauth4webapi(), oauth, { server })
  }

  generate(algorithm) {
    return oauth.generateKeyPair(algorithm, { extractable: true })
  }

  proof({ metadata }, keys, modify) {
    return oauth.DPoP(metadata, keys, { [oauth.modifyAssertion]: modify })
  }

  options({ fetch: own }, more) {
    return { ...(own && { [oauth.customFetch]: own }), ...more }
  }

  async token(who, proof) {
    const { metadata, login } = who
    const options = this.options(who, { DPoP: proof })
    const answer = await oauth.clientCredentialsGrantRequest(this.server, metadata, login, {}, options)
    return oauth.processClientCredentialsResponse(this.server, metadata, answer)
  }

  async refresh(who, token, proof) {
    const { metadata, login } = who
    const options = this.options(who, { DPoP: proof })
    const answer = await oauth.refreshTokenGrantRequest(this.server, metadata, login, token, options)
    return oauth.processRefreshTokenResponse(this.server, metadata, answer)
  }

  async introspect(who, token) {
    const { metadata, login } = who
    const answer = await oauth.introspectionRequest(this.server, metadata, login, token, this.options(who))
    const text = answer.ok && answer.clone().text()
    const found = await oauth.processIntrospectionResponse(this.server, metadata, answer)
    if (metadata.introspection_signed_response_alg) {
      // It keeps the keys with this object, and does not ask for others within a minute: not even for the first of
      // another algorithm.
      await oauth.validateApplicationLevelSignature({ ...this.server }, answer)
      this.answered = await text
    }
    return found
  }

  signed() {
    return parts(this.answered)
  }

  async revoke(who, token) {
    const { metadata, login } = who
    const answer = await oauth.revocationRequest(this.server, metadata, login, token, this.options(who))
    return oauth.processRevocationResponse(answer)
  }

  async refusal(call) {
    try {
      await call()
    } catch (error) {
      return codeOf(error, oauth)
    }
    throw new Error('no error')
  }
}

await run(Oauth4webapi)
