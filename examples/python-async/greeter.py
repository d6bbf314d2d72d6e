from collections.abc import Awaitable

import wit_world
from componentize_py_types import Err
from wit_world.imports import opaque_tokens
from wit_world.imports.credential_provider import get_token
from wit_world.imports.edgepass_credentials_types import (
    Grant_ClientCredentials,
    Refresh_IfNeeded,
    TokenRequest,
    TokenType,
)
from wit_world.imports.wasi_http_types import Fields


class WitWorld(wit_world.WitWorld):
    async def greet(self, name: str) -> str:
        # the scopes of the configuration; a token that is cached is there at once
        token = await asked(get_token(request([])))
        return (
            f"hello {name}, with a {token.token_type} token of {len(token.token)} bytes"
            f" for {token.scope}"
        )

    async def stamp(self) -> str:
        # what this component has is a handle: the token goes from the provider onto the headers
        headers = Fields.from_list([("accept", b"application/json")])
        with await asked(opaque_tokens.get(request([]))) as token:
            token.authorize(headers)
            info = token.info()
        put = "authorization" if headers.has("authorization") else "nothing"
        return f"a {info.token_type} token for {info.scope} is in {put}"


def request(scopes: list[str]) -> TokenRequest:
    """A token of the default identity, for these scopes, or where there are none for those that the configuration names."""
    return TokenRequest(
        identity=None,
        scopes=scopes,
        tenant=None,
        grant=Grant_ClientCredentials(),
        claims=None,
        token_type=TokenType.BEARER,
        refresh=Refresh_IfNeeded(),
    )


async def asked[T](call: Awaitable[T]) -> T:
    """What a call gives. An error of the interface is a case that says who can fix it, with a message and perhaps a hint."""
    try:
        return await call
    except Err as error:
        case = type(error.value).__name__.removeprefix("CredentialError_")
        detail = error.value.value
        hint = f" ({detail.hint})" if detail.hint else ""
        # the error of the function's own result, a text
        raise Err(f"{case}: {detail.message}{hint}")
