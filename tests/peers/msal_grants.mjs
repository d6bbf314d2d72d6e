// Gets users' tokens by MSAL for Node.
//
//     msal_grants.mjs NODE_HOME JOBS.json
//
// The jobs are those of msal_grants.py. Prints, for each, a digest of the token, or the error; never a token.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [home, file] = process.argv.slice(2);
const { ConfidentialClientApplication } = createRequire(join(home, 'package.json'))('@azure/msal-node');

async function answer(job) {
  const credential = job.secret ? { clientSecret: job.secret } : { clientAssertion: job.assertion };
  const application = new ConfidentialClientApplication({
    auth: {
      clientId: job.client_id,
      authority: job.authority,
      knownAuthorities: [new URL(job.authority).host],
      ...credential,
    },
  });
  const { scopes } = job;
  const ask = {
    'on-behalf-of': () => application.acquireTokenOnBehalfOf({ oboAssertion: job.user_token, scopes }),
    'authorization-code': () =>
      application.acquireTokenByCode({
        code: job.code,
        scopes,
        redirectUri: job.redirect_uri,
        codeVerifier: job.code_verifier,
      }),
    'refresh-token': () => application.acquireTokenByRefreshToken({ refreshToken: job.refresh_token, scopes }),
  }[job.grant];
  try {
    const got = await ask();
    return { sha256: createHash('sha256').update(got.accessToken).digest('hex') };
  } catch (error) {
    return { error: error.errorCode, codes: [Number(error.errorNo)] };
  }
}

const answers = [];
for (const job of JSON.parse(readFileSync(file, 'utf8'))) answers.push(await answer(job));
console.log(JSON.stringify(answers));
