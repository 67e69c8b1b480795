// oauth4webapi. Its Basic header escapes more than it must: "-", "_", "." and "~" as well.

import { codeOf, run } from './flow.mjs'
import * as oauth from 'oauth4webapi'

const WAYS = { basic: oauth.ClientSecretBasic, post: oauth.ClientSecretPost, none: () => oauth.None() }

class Oauth4webapi {
  static async make(world, way) {
    const issuer = new URL(world.issuer)
    const answer = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2' })
    return Object.assign(new Oauth4webapi(), { way, server: await oauth.processDiscoveryResponse(issuer, answer) })
  }

  login(who) {
    return [this.server, { client_id: who.id }, WAYS[this.way](who.secret)]
  }

  async token(who, scope) {
    const [server, client, login] = this.login(who)
    const parameters = new URLSearchParams(scope === undefined ? {} : { scope })
    const answer = await oauth.clientCredentialsGrantRequest(server, client, login, parameters)
    return oauth.processClientCredentialsResponse(server, client, answer)
  }

  async refresh(who, token, scope) {
    const [server, client, login] = this.login(who)
    const additionalParameters = scope === undefined ? {} : { scope }
    const answer = await oauth.refreshTokenGrantRequest(server, client, login, token, { additionalParameters })
    return oauth.processRefreshTokenResponse(server, client, answer)
  }

  async introspect(who, token) {
    const [server, client, login] = this.login(who)
    const answer = await oauth.introspectionRequest(server, client, login, token)
    return oauth.processIntrospectionResponse(server, client, answer)
  }

  async revoke(who, token, hint = 'access_token') {
    const additionalParameters = { token_type_hint: hint }
    const answer = await oauth.revocationRequest(...this.login(who), token, { additionalParameters })
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
