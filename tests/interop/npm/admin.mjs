// What an operator does through the admin listener.

import assert from 'node:assert/strict'

export class Admin {
  constructor({ admin }) {
    Object.assign(this, admin)
  }

  async send(method, path, body) {
    const headers = { authorization: this.authorization, 'content-type': 'application/json' }
    const answer = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) })
    const text = await answer.text()
    assert.ok(answer.ok, `${method} ${path} ${JSON.stringify(body)}: ${answer.status} ${text}`)
    return text && JSON.parse(text)
  }

  client(metadata) {
    return this.send('POST', '/admin/clients', metadata)
  }

  token(members) {
    return this.send('POST', '/admin/tokens', members)
  }

  rotate(algorithm) {
    return this.send('POST', '/admin/keys/rotate', { algorithm })
  }

  remove(kid) {
    return this.send('DELETE', `/admin/keys/${kid}`)
  }
}
