// Gets one token of a managed identity with @azure/identity, at the platform that the environment names:
//
//     node managed_identity_sdks.mjs FOLDER-WITH-NODE_MODULES ARGUMENT
//
// The argument is that of managed_identity_sdks.py, and so is what is printed.

import { register } from "node:module";
import { pathToFileURL } from "node:url";

const asked = JSON.parse(process.argv[3]);

// the packages are installed elsewhere, and with `keys` the folder of Azure Arc's keys is not the one that only root may
// make
const home = JSON.stringify(pathToFileURL(process.argv[2] + "/peer.mjs").href);
const keys = JSON.stringify(asked.keys ? asked.keys + "/" : "/var/opt/azcmagent/tokens/");
const hooks = `
  const quoted = /(["'])\\/var\\/opt\\/azcmagent\\/tokens\\/\\1/g;
  export async function resolve(specifier, context, next) {
    const isPackage = specifier.startsWith("@azure/identity");
    return next(specifier, isPackage ? { ...context, parentURL: ${home} } : context);
  }
  export async function load(url, context, next) {
    const loaded = await next(url, context);
    if (!url.includes("/msal-node/") || !loaded.source) return loaded;
    const source = loaded.source.toString().replace(quoted, () => JSON.stringify(${keys}));
    return { ...loaded, source };
  }`;
register("data:text/javascript," + encodeURIComponent(hooks));

const { ClientAssertionCredential, ManagedIdentityCredential } = await import(
  "@azure/identity"
);

const names = { client_id: "clientId", object_id: "objectId", resource_id: "resourceId" };
const chosen = Object.entries(asked.selector ?? {}).map(([name, id]) => [names[name], id]);
const credential = new ManagedIdentityCredential(Object.fromEntries(chosen));
const assertion = async () => (await credential.getToken(asked.resource + "/.default")).token;

let token;
if (asked.exchange) {
  const { authority, tenant, client_id, scope } = asked.exchange;
  const application = new ClientAssertionCredential(tenant, client_id, assertion, {
    authorityHost: authority,
    disableInstanceDiscovery: true,
  });
  token = (await application.getToken(scope)).token;
} else {
  token = await assertion();
}
const claims = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
console.log(JSON.stringify({ oid: claims.oid, aud: claims.aud }));
