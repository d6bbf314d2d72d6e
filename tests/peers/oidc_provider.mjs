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
//
// A client with `redirect_uris` has users, whom `login_hint` names and who consent; its `id_token_algorithm` signs their ID
// tokens. With `issuers`, public keys (PEM) by issuer, JWTs of theirs are taken as grants (RFC 7523), and access tokens of
// this server are exchanged (RFC 8693).

import { X509Certificate, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [home, file] = process.argv.slice(2);
const config = JSON.parse(readFileSync(file, 'utf8'));
const library = join(home, 'node_modules/oidc-provider/lib/index.js');
const { default: Provider, errors } = await import(pathToFileURL(library));
const { jwtVerify } = await import(pathToFileURL(join(home, 'node_modules/jose/dist/webapi/index.js')));
const [jwtBearer, tokenExchange] = ['jwt-bearer', 'token-exchange'].map((name) => `urn:ietf:params:oauth:grant-type:${name}`);

function jwk({ public_key, certificate, kid, algorithm }) {
  if (certificate) {
    const leaf = new X509Certificate(certificate);
    return { ...leaf.publicKey.export({ format: 'jwk' }), x5c: [leaf.raw.toString('base64')] };
  }
  return { ...createPublicKey(public_key).export({ format: 'jwk' }), alg: algorithm, ...(kid && { kid }) };
}

const clients = config.clients.map((client) => ({
  client_id: client.client_id,
  grant_types: [
    'client_credentials',
    ...(client.redirect_uris ? ['authorization_code', 'refresh_token'] : []),
    ...(config.issuers ? [jwtBearer, tokenExchange] : []),
  ],
  redirect_uris: client.redirect_uris ?? [],
  response_types: client.redirect_uris ? ['code'] : [],
  ...(client.id_token_algorithm && { id_token_signed_response_alg: client.id_token_algorithm }),
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
// one key for each algorithm of ID tokens
const keys = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'].map((alg) => {
  const [type, more] = {
    RS256: ['rsa', { modulusLength: 2048 }],
    PS256: ['rsa', { modulusLength: 2048 }],
    ES256: ['ec', { namedCurve: 'P-256' }],
    ES384: ['ec', { namedCurve: 'P-384' }],
    EdDSA: ['ed25519'],
  }[alg];
  const { privateKey } = generateKeyPairSync(type, more);
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: `key of ${alg}` };
});
{
  const issuer = `https://localhost:${port}`;
  const provider = new Provider(issuer, {
    clients,
    jwks: { keys },
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    pkce: { required: () => true },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    discovery: { mtls_endpoint_aliases: { token_endpoint: `https://localhost:${aliasPort}/token` } },
    clientAuthMethods: ['client_secret_post', 'private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'],
    enabledJWA: {
      clientAuthSigningAlgValues: ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'],
      idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'],
    },
    scopes: ['api', 'openid', 'offline_access'],
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
    ttl: { ClientCredentials: 600, AccessToken: 600, IdToken: 600, Session: 600, Grant: 3600, Interaction: 600, AuthorizationCode: 60, RefreshToken: 3600 },
  });
  if (config.issuers) {
    // who is behind the token that was shown
    const shown = {
      async [jwtBearer]({ assertion }) {
        const claims = JSON.parse(Buffer.from(assertion.split('.')[1], 'base64url'));
        const key = config.issuers[claims.iss];
        if (!key) throw new errors.InvalidGrant(`the issuer ${claims.iss} is not known`);
        const { payload } = await jwtVerify(assertion, createPublicKey(key), { audience: issuer, requiredClaims: ['sub', 'exp'] });
        return payload.sub;
      },
      async [tokenExchange](params) {
        const type = 'urn:ietf:params:oauth:token-type:access_token';
        if (params.subject_token_type !== type) throw new errors.InvalidRequest('only access tokens are exchanged');
        if (params.actor_token && !params.actor_token_type) throw new errors.InvalidRequest('actor_token_type is missing');
        const token = await provider.AccessToken.find(params.subject_token);
        if (!token) throw new errors.InvalidRequest('the subject token is none of this server');
        return token.accountId;
      },
    };
    for (const [name, parameters] of [
      [jwtBearer, ['assertion', 'scope']],
      [
        tokenExchange,
        ['subject_token', 'subject_token_type', 'actor_token', 'actor_token_type', 'requested_token_type', 'audience', 'scope'],
      ],
    ]) {
      const handler = async (ctx) => {
        let accountId;
        try {
          accountId = await shown[name](ctx.oidc.params);
        } catch (error) {
          throw error.status ? error : new errors.InvalidGrant(error.message);
        }
        const { client, params } = ctx.oidc;
        const grant = new provider.Grant({ accountId, clientId: client.clientId });
        const token = new provider.AccessToken({ client, accountId, grantId: await grant.save(), scope: params.scope, gty: name });
        ctx.oidc.entity('AccessToken', token);
        ctx.body = {
          access_token: await token.save(),
          token_type: 'Bearer',
          expires_in: token.expiration,
          ...(params.scope && { scope: params.scope }),
          ...(name === tokenExchange && { issued_token_type: params.subject_token_type }),
        };
      };
      provider.registerGrantType(name, handler, parameters, ['audience']);
    }
  }
  // a person who signs in as whom the request names, and consents
  async function interact(req, res) {
    const { prompt, params, session } = await provider.interactionDetails(req, res);
    if (prompt.name === 'login') {
      await provider.interactionFinished(req, res, { login: { accountId: params.login_hint } });
      return;
    }
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope((prompt.details.missingOIDCScope ?? []).join(' '));
    const consent = { grantId: await grant.save() };
    await provider.interactionFinished(req, res, { consent }, { mergeWithLastSubmission: true });
  }
  const answer = (req, res) => {
    if (!req.url.startsWith('/interaction/')) return provider.callback()(req, res);
    return interact(req, res).catch((error) => {
      console.error(error);
      res.writeHead(500).end();
    });
  };
  provider.on('grant.success', (ctx) => {
    const token = ctx.oidc.entities.ClientCredentials ?? ctx.oidc.entities.AccessToken;
    console.log(JSON.stringify({
      granted: ctx.oidc.client.clientId,
      bound_to: token?.['x5t#S256'] ?? null,
      by_alias: ctx.req.socket.localPort === aliasPort,
      grant: ctx.oidc.params.grant_type,
      account: token?.accountId ?? null,
      for: token?.aud ?? token?.resourceServer?.identifier() ?? null,
    }));
  });
  provider.on('grant.error', (ctx, error) => {
    const why = error.error_detail ?? error.error_description;
    console.log(JSON.stringify({ refused: error.error, why, resources: asked.get(ctx) ?? null }));
  });
  provider.on('server_error', (ctx, error) => console.error(error));
  for (const one of [server, alias]) one.on('request', answer);
  console.log(JSON.stringify({ issuer, alias: `localhost:${aliasPort}` }));
}
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
