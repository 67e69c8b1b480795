// openid-client. It finds the endpoints by discovery, and checks that the issuer is the one it asked.

import { codeOf, run, same } from './flow.mjs'
import * as client from 'openid-client'

const WAYS = { basic: client.ClientSecretBasic, post: client.ClientSecretPost, none: () => client.None() }

class OpenidClient {
  static async make(world, way) {
    const found = await client.discovery(new URL(world.issuer), 'anybody')
    return Object.assign(new OpenidClient(), { way, server: found.serverMetadata() })
  }

  configuration(who) {
    return new client.Configuration(this.server, who.id, undefined, WAYS[this.way](who.secret))
  }

  token(who, scope) {
    return client.clientCredentialsGrant(this.configuration(who), scope === undefined ? {} : { scope })
  }

  refresh(who, token, scope) {
    return client.refreshTokenGrant(this.configuration(who), token, scope === undefined ? {} : { scope })
  }

  introspect(who, token) {
    return client.tokenIntrospection(this.configuration(who), token)
  }

  revoke(who, token, hint = 'access_token') {
    return client.tokenRevocation(this.configuration(who), token, { token_type_hint: hint })
  }

  async refusal(call) {
    try {
      await call()
    } catch (error) {
      return codeOf(error, client)
    }
    throw new Error('no error')
  }
}

await run(OpenidClient, async (world) => {
  // The place of RFC 8414, and the login that it takes when none is named.
  const { id, secret } = world.resource_server
  const found = await client.discovery(new URL(world.issuer), id, secret, undefined, { algorithm: 'oauth2' })
  same(found.serverMetadata().introspection_endpoint, `${world.issuer}/introspect`)
  same((await client.tokenIntrospection(found, world.tokens.active)).active, true)
})
