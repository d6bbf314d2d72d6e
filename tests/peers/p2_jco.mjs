// Runs the provider over WASI 0.2 in Node.js, which jco turns it into JavaScript for.
//
//     p2_jco.mjs NODE_HOME FOLDER COMPONENT SCOPE [SCOPE]...
//
// The configuration is in EDGEPASS_CONFIG_JSON, and the token files that it names are read here. FOLDER is for what jco writes.
// A line of JSON for each scope: what is known of the token, its SHA-256 in the place of itself, or the error.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [home, folder, component, ...scopes] = process.argv.slice(2);
const { resolve } = createRequire(join(home, 'package.json'));
const load = (name) => import(pathToFileURL(resolve(name)));
const { transpile } = await load('@bytecodealliance/jco');

const { files } = await transpile(await readFile(component), {
  name: 'provider',
  instantiation: 'async',
});
for (const [name, content] of Object.entries(files)) {
  const path = join(folder, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}
await writeFile(join(folder, 'package.json'), '{ "type": "module" }');

const { WASIShim } = await load('@bytecodealliance/preview2-shim/instantiation');
const { EDGEPASS_CONFIG_JSON } = process.env;
const shim = new WASIShim({ sandbox: { preopens: {}, env: { EDGEPASS_CONFIG_JSON }, args: [] } });

// the token files that the configuration names, and no other
const named = new Set();
JSON.parse(EDGEPASS_CONFIG_JSON, (name, value) => {
  if (name === 'federated_token_file') named.add(value.path);
  return value;
});
const unavailable = () => {
  throw { tag: 'unavailable', val: 'no token store is configured' };
};
class Certificate {}
const ours = {
  'token-file': {
    read(path) {
      if (!named.has(path)) throw { tag: 'denied', val: 'the configuration does not name this file' };
      try {
        return new Uint8Array(readFileSync(path));
      } catch (error) {
        throw error.code === 'ENOENT' ? { tag: 'not-found' } : { tag: 'other', val: error.message };
      }
    },
  },
  'host-certificates': {
    Certificate,
    open() {
      throw { tag: 'not-found' };
    },
  },
  'assertion-source': {
    getAssertion() {
      throw { tag: 'not-configured' };
    },
  },
  signatures: {
    verify() {
      throw 'this host checks no signatures';
    },
  },
  'token-store': { get: unavailable, put: unavailable, delete: unavailable },
};
const imports = shim.getImportObject();
for (const [name, functions] of Object.entries(ours)) {
  imports[`edgepass:credentials-p2/${name}`] = functions;
}
const { instantiate } = await import(pathToFileURL(join(folder, 'provider.js')));
const core = async (name) => WebAssembly.compile(await readFile(join(folder, name)));
const { credentialProvider } = await instantiate(core, imports);

for (const scope of scopes) {
  let said;
  try {
    const token = credentialProvider.getToken({
      scopes: [scope],
      grant: { tag: 'client-credentials' },
      tokenType: 'bearer',
      refresh: { tag: 'if-needed' },
    });
    said = {
      sha256: createHash('sha256').update(token.token).digest('hex'),
      type: token.tokenType,
      source: token.source,
    };
  } catch (error) {
    if (error.payload === undefined) throw error;
    said = { error: error.payload.tag, message: error.payload.val.message };
  }
  console.log(JSON.stringify(said));
}
process.exit(0);
