// Gets one token with a certificate, by the Azure SDK for JavaScript.
//
//     certificate_token.mjs NODE_HOME SCOPE FILE [--chain]
//
// Client, tenant and authority come from the environment. Prints nothing of the token.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [home, scope, certificatePath, ...flags] = process.argv.slice(2);
const library = join(home, 'node_modules/@azure/identity/dist/esm/index.js');
const { ClientCertificateCredential } = await import(pathToFileURL(library));
const credential = new ClientCertificateCredential(
  process.env.AZURE_TENANT_ID,
  process.env.AZURE_CLIENT_ID,
  { certificatePath },
  {
    authorityHost: process.env.AZURE_AUTHORITY_HOST,
    disableInstanceDiscovery: true,
    sendCertificateChain: flags.includes('--chain'),
  },
);
await credential.getToken(scope);
