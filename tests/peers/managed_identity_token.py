"""Gets one token of a managed identity, with the metadata service that the environment names.

    managed_identity_token.py azure-identity|msal RESOURCE [client_id|object_id|resource_id VALUE]

Prints what a test needs to know and not the token itself.
"""

import base64
import json
import sys
import time

sdk, resource, *selector = sys.argv[1:]

if sdk == "azure-identity":
    from azure.identity import ManagedIdentityCredential

    options = {}
    if selector and selector[0] == "client_id":
        options = {"client_id": selector[1]}
    elif selector:
        options = {"identity_config": {selector[0]: selector[1]}}
    answer = ManagedIdentityCredential(**options).get_token(resource + "/.default")
    token, expires_on = answer.token, answer.expires_on
else:
    import msal
    import requests

    kinds = {"client_id": "ClientId", "object_id": "ObjectId", "resource_id": "ResourceId"}
    if selector:
        identity = {"ManagedIdentityIdType": kinds[selector[0]], "Id": selector[1]}
    else:
        identity = msal.SystemAssignedManagedIdentity()
    client = msal.ManagedIdentityClient(identity, http_client=requests.Session())
    answer = client.acquire_token_for_client(resource=resource)
    if "access_token" not in answer:
        sys.exit(json.dumps(answer))
    token, expires_on = answer["access_token"], int(time.time()) + answer["expires_in"]

payload = token.split(".")[1]
claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
print(json.dumps({"oid": claims["oid"], "aud": claims["aud"], "expires_on": expires_on}))
