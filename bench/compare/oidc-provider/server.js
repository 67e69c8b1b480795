// oidc-provider with the least that introspection needs: two clients, opaque tokens, and as many processes as asked for.
// PORT, REDIS_URL, PROCESSES, AUDIENCE, APPLICATION_SECRET and GATEWAY_SECRET come from the environment.

import cluster from 'node:cluster';

if (cluster.isPrimary) {
  for (let number = 0; number < Number(process.env.PROCESSES); number += 1) cluster.fork();
  // A process that is gone makes the figures those of another server.
  cluster.on('exit', () => process.exit(1));
  process.on('SIGTERM', () => process.exit(0));
} else {
  const { default: Provider } = await import('oidc-provider');
  const { default: Adapter } = await import('./adapter.js');
  const { AUDIENCE, APPLICATION_SECRET, GATEWAY_SECRET, PORT } = process.env;
  const client = { redirect_uris: [], response_types: [] };
  const grant = { grant_types: ['client_credentials'], scope: 'read write' };
  const opaque = { scope: 'read write', audience: AUDIENCE, accessTokenTTL: 86_400, accessTokenFormat: 'opaque' };
  const provider = new Provider(`http://127.0.0.1:${PORT}`, {
    adapter: Adapter,
    clients: [
      { ...client, client_id: 'application', client_secret: APPLICATION_SECRET, ...grant },
      { ...client, client_id: 'gateway', client_secret: GATEWAY_SECRET, grant_types: [] },
    ],
    scopes: ['read', 'write'],
    ttl: { ClientCredentials: 86_400 },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => AUDIENCE,
        getResourceServerInfo: () => opaque,
      },
    },
  });
  provider.listen(Number(PORT), '127.0.0.1');
}
