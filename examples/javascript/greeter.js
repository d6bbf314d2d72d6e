import { getToken } from 'edgepass:credentials-p2/credential-provider@0.2.0';

export function greet(name) {
  // the scopes of the configuration; a token that is cached is there at once
  const token = ask(request([]));
  return `hello ${name}, with a ${token.tokenType} token of ${token.token.length} bytes for ${token.scope}`;
}

// A token of the default identity, for these scopes, or where there are none for those that the configuration names.
function request(scopes) {
  return {
    scopes,
    grant: { tag: 'client-credentials' },
    tokenType: 'bearer',
    refresh: { tag: 'if-needed' },
  };
}

// An error of the interface is a case that says who can fix it, with a message and perhaps a hint. What `greet` throws is the
// error of its own result, a text.
function ask(request) {
  try {
    return getToken(request);
  } catch (error) {
    const { tag, val } = error.payload;
    throw val.hint === undefined ? `${tag}: ${val.message}` : `${tag}: ${val.message} (${val.hint})`;
  }
}
