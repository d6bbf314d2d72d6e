"""Gets one token of a managed identity, at the platform that the environment names.

    managed_identity_sdks.py '{"sdk": "azure-identity" | "msal", "resource": …, "selector": {"client_id": …} | null,
                               "keys": folder | null, "exchange": {authority, tenant, client_id, ca, scope} | null}'

`keys` is the folder of Azure Arc's keys in place of the one that only root may make. With `exchange` the token is the
assertion of that application. Prints whose token it is, and not the token itself.
"""

import base64
import json
import sys

asked = json.loads(sys.argv[1])
sdk, resource, selector, exchange = (
    asked["sdk"],
    asked["resource"],
    asked["selector"],
    asked["exchange"],
)

if asked["keys"]:
    import msal.managed_identity

    msal.managed_identity._supported_arc_platforms_and_their_prefixes = {
        sys.platform: asked["keys"]
    }


def by_azure_identity():
    from azure.identity import ManagedIdentityCredential

    options = {}
    if selector:
        [(field, value)] = selector.items()
        options = (
            {"client_id": value}
            if field == "client_id"
            else {"identity_config": {field: value}}
        )
    return ManagedIdentityCredential(**options).get_token(resource + "/.default").token


def by_msal():
    import msal
    import requests

    identity = msal.SystemAssignedManagedIdentity()
    if selector:
        [(field, value)] = selector.items()
        kinds = {
            "client_id": "ClientId",
            "object_id": "ObjectId",
            "resource_id": "ResourceId",
        }
        identity = {"ManagedIdentityIdType": kinds[field], "Id": value}
    client = msal.ManagedIdentityClient(identity, http_client=requests.Session())
    return token_of(client.acquire_token_for_client(resource=resource))


def token_of(answer):
    if "access_token" not in answer:
        sys.exit(json.dumps(answer))
    return answer["access_token"]


def exchanged(assertion):
    tenant, client_id, ca = exchange["tenant"], exchange["client_id"], exchange["ca"]
    if sdk == "azure-identity":
        from azure.identity import ClientAssertionCredential

        credential = ClientAssertionCredential(
            tenant,
            client_id,
            assertion,
            authority=exchange["authority"],
            disable_instance_discovery=True,
            connection_verify=ca,
            use_env_settings=False,
        )
        return credential.get_token(exchange["scope"]).token
    import msal

    app = msal.ConfidentialClientApplication(
        client_id,
        authority=f"{exchange['authority']}/{tenant}",
        client_credential={"client_assertion": assertion},
        instance_discovery=False,
        verify=ca,
    )
    return token_of(app.acquire_token_for_client([exchange["scope"]]))


assertion = by_azure_identity if sdk == "azure-identity" else by_msal
token = exchanged(assertion) if exchange else assertion()
payload = token.split(".")[1]
claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
print(json.dumps({"oid": claims["oid"], "aud": claims["aud"]}))
