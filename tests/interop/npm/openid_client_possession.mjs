// openid-client, with keys instead of secrets. It checks signed answers by itself once it is told to.

import { codeOf } from './flow.mjs'
import { parts, run } from './possession.mjs'
import * as client from 'openid-client'

class OpenidClient {
  static async make(world) {
    const found = await client.discovery(new URL(world.issuer), 'anybody')
    return Object.assign(new OpenidClient(), client, { server: found.serverMetadata() })
  }

  generate(algorithm) {
    return client.randomDPoPKeyPair(algorithm, { extractable: true })
  }

  configuration({ metadata: { client_id, ...metadata }, login, fetch: own = fetch }) {
    const configuration = new client.Configuration(this.server, client_id, metadata, login)
    configuration[client.customFetch] = async (...asked) => {
      const answer = await own(...asked)
      const media = answer.headers.get('content-type')
      if (media === 'application/token-introspection+jwt') this.answered = await answer.clone().text()
      return answer
    }
    if (metadata.introspection_signed_response_alg) client.enableNonRepudiationChecks(configuration)
    return configuration
  }

  proof(who, keys, modify) {
    return client.getDPoPHandle(this.configuration(who), keys, { [client.modifyAssertion]: modify })
  }

  token(who, proof) {
    return client.clientCredentialsGrant(this.configuration(who), {}, { DPoP: proof })
  }

  refresh(who, token, proof) {
    return client.refreshTokenGrant(this.configuration(who), token, {}, { DPoP: proof })
  }

  introspect(who, token) {
    return client.tokenIntrospection(this.configuration(who), token)
  }

  signed() {
    return parts(this.answered)
  }

  revoke(who, token) {
    return client.tokenRevocation(this.configuration(who), token)
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

await run(OpenidClient)
