// Where oidc-provider keeps what it makes: Redis, one text per entity, which ends when the entity does. One read per look-up.

import Redis from 'ioredis';

// Commands of one turn of the event loop go out together: the cheapest way this client has.
const redis = new Redis(process.env.REDIS_URL, { enableAutoPipelining: true });

// Kinds that end together with the grant they belong to.
const ofGrant = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken', 'DeviceCode', 'BackchannelAuthenticationRequest']);

export default class Adapter {
  constructor(kind) {
    this.kind = kind;
  }

  key(id) {
    return `${this.kind}:${id}`;
  }

  async upsert(id, payload, seconds) {
    const text = JSON.stringify(payload);
    const ending = seconds ? ['EX', seconds] : [];
    await redis.set(this.key(id), text, ...ending);
    if (payload.grantId && ofGrant.has(this.kind)) {
      await redis.rpush(`of-grant:${payload.grantId}`, this.key(id));
    }
    if (payload.uid) await redis.set(`uid:${payload.uid}`, id, ...ending);
    if (payload.userCode) await redis.set(`user-code:${payload.userCode}`, id, ...ending);
  }

  async find(id) {
    const text = await redis.get(this.key(id));
    return text ? JSON.parse(text) : undefined;
  }

  async findByUid(uid) {
    const id = await redis.get(`uid:${uid}`);
    return id ? this.find(id) : undefined;
  }

  async findByUserCode(code) {
    const id = await redis.get(`user-code:${code}`);
    return id ? this.find(id) : undefined;
  }

  async consume(id) {
    const payload = await this.find(id);
    if (payload) {
      payload.consumed = Math.floor(Date.now() / 1000);
      await redis.set(this.key(id), JSON.stringify(payload), 'KEEPTTL');
    }
  }

  async destroy(id) {
    await redis.del(this.key(id));
  }

  async revokeByGrantId(grant) {
    const keys = await redis.lrange(`of-grant:${grant}`, 0, -1);
    await redis.del(`of-grant:${grant}`, ...keys);
  }
}
