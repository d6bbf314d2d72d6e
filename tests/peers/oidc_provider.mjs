// A certified OpenID provider (oidc-provider) with the clients that a test wants.
//
//     oidc_provider.mjs NODE_HOME CONFIG.json
//
// The configuration has `key` and `certificate` of the server (PEM), `authorities` that client certificates are checked
// with (PEM), and `clients`, each with `client_id`, `method`, and what it registers: `algorithm` and `public_key` (PEM,
// with `kid` if it has one), `subject` of its certificate, `certificate` (PEM), or `secret`. With `resources`, a list, its
// tokens are for those (RFC 8707), or else for the `audience` of the request. A second port is for mutual TLS alone, and
// named by `mtls_endpoint_aliases`. Prints the issuer when it listens, and a line for each request: granted, or refused. It
// ends with its standard input.

import { X509Certificate, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [home, file] = process.argv.slice(2);
const config = JSON.parse(readFileSync(file, 'utf8'));
const library = join(home, 'node_modules/oidc-provider/lib/index.js');
const { default: Provider, errors } = await import(pathToFileURL(library));

function jwk({ public_key, certificate, kid, algorithm }) {
  if (certificate) {
    const leaf = new X509Certificate(certificate);
    return { ...leaf.publicKey.export({ format: 'jwk' }), x5c: [leaf.raw.toString('base64')] };
  }
  return { ...createPublicKey(public_key).export({ format: 'jwk' }), alg: algorithm, ...(kid && { kid }) };
}

const clients = config.clients.map((client) => ({
  client_id: client.client_id,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  token_endpoint_auth_method: client.method,
  ...(client.secret && { client_secret: client.secret }),
  ...(client.algorithm && { token_endpoint_auth_signing_alg: client.algorithm }),
  ...(client.subject && { tls_client_auth_subject_dn: client.subject }),
  ...((client.public_key || client.certificate) && { jwks: { keys: [jwk(client)] } }),
  ...(client.method.includes('tls_client_auth') && { tls_client_certificate_bound_access_tokens: true }),
}));

const peer = (ctx) => {
  const { raw } = ctx.socket.getPeerCertificate(true);
  return raw && new X509Certificate(raw);
};

const options = {
  key: config.key,
  cert: config.certificate,
  ca: config.authorities,
  requestCert: true,
  // a certificate of nobody's is for `self_signed_tls_client_auth` to judge
  rejectUnauthorized: false,
};
const server = createServer(options);
const alias = createServer(options);
const listening = (one) => new Promise((resolve) => one.listen(0, '127.0.0.1', () => resolve(one.address().port)));
const [port, aliasPort] = await Promise.all([server, alias].map(listening));
// what the resource servers of a request are, whatever becomes of it
const asked = new WeakMap();
const resources = {
  enabled: true,
  // what Auth0 does with it
  defaultResource: (ctx) => ctx.oidc.body?.audience,
  getResourceServerInfo: (ctx, resource) => {
    asked.set(ctx, [...(asked.get(ctx) ?? []), resource]);
    if (!config.resources.includes(resource)) throw new errors.InvalidTarget();
    return { scope: 'api', audience: resource, accessTokenFormat: 'opaque' };
  },
};
{
  const issuer = `https://localhost:${port}`;
  const provider = new Provider(issuer, {
    clients,
    discovery: { mtls_endpoint_aliases: { token_endpoint: `https://localhost:${aliasPort}/token` } },
    clientAuthMethods: ['client_secret_post', 'private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'],
    enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'] },
    scopes: ['api'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      ...(config.resources && { resourceIndicators: resources }),
      introspection: { enabled: true, allowedPolicy: () => true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: peer,
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_subject_dn' && peer(ctx).subject === expected,
      },
    },
    ttl: { ClientCredentials: 600 },
  });
  provider.on('grant.success', (ctx) => {
    const token = ctx.oidc.entities.ClientCredentials;
    console.log(JSON.stringify({
      granted: ctx.oidc.client.clientId,
      bound_to: token?.['x5t#S256'] ?? null,
      by_alias: ctx.req.socket.localPort === aliasPort,
      for: token?.aud ?? token?.resourceServer?.identifier() ?? null,
    }));
  });
  provider.on('grant.error', (ctx, error) => {
    const why = error.error_detail ?? error.error_description;
    console.log(JSON.stringify({ refused: error.error, why, resources: asked.get(ctx) ?? null }));
  });
  provider.on('server_error', (ctx, error) => console.error(error));
  for (const one of [server, alias]) one.on('request', provider.callback());
  console.log(JSON.stringify({ issuer, alias: `localhost:${aliasPort}` }));
}
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
