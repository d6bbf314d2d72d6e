from componentize_py_types import Err
from wit_world.imports.credential_provider import get_token
from wit_world.imports.types import (
    AccessToken,
    Grant_ClientCredentials,
    Refresh_IfNeeded,
    TokenRequest,
    TokenType,
)


class WitWorld:
    async def greet(self, name: str) -> str:
        # the scopes of the configuration; a token that is cached is there at once
        token = await ask(request([]))
        return (
            f"hello {name}, with a {token.token_type} token of {len(token.token)} bytes"
            f" for {token.scope}"
        )


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


async def ask(request: TokenRequest) -> AccessToken:
    """The token. An error of the interface is a case that says who can fix it, with a message and perhaps a hint."""
    try:
        return await get_token(request)
    except Err as error:
        case = type(error.value).__name__.removeprefix("CredentialError_")
        detail = error.value.value
        hint = f" ({detail.hint})" if detail.hint else ""
        # the error of the function's own result, a text
        raise Err(f"{case}: {detail.message}{hint}")
