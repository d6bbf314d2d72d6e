"""Gets one token with a certificate, by the Azure SDK for Python or by MSAL.

    certificate_token.py azure-identity|msal SCOPE FILE [--chain] [--password PASSWORD]

Client, tenant and authority come from the environment. Prints nothing of the token.
"""

import argparse
import os

parser = argparse.ArgumentParser()
parser.add_argument("sdk", choices=["azure-identity", "msal"])
parser.add_argument("scope")
parser.add_argument("file")
parser.add_argument("--chain", action="store_true")
parser.add_argument("--password")
given = parser.parse_args()

tenant, client = os.environ["AZURE_TENANT_ID"], os.environ["AZURE_CLIENT_ID"]
authority = os.environ["AZURE_AUTHORITY_HOST"]

if given.sdk == "azure-identity":
    from azure.identity import CertificateCredential

    CertificateCredential(
        tenant,
        client,
        given.file,
        authority=authority,
        password=given.password,
        send_certificate_chain=given.chain,
        disable_instance_discovery=True,
    ).get_token(given.scope)
else:
    import msal

    if given.file.endswith(".p12"):
        credential = {"private_key_pfx_path": given.file, "passphrase": given.password}
        if given.chain:
            credential["public_certificate"] = True
    else:
        from cryptography.hazmat.primitives.hashes import SHA1
        from cryptography.x509 import load_pem_x509_certificate

        with open(given.file) as file:
            text = file.read()
        leaf = load_pem_x509_certificate(text.encode())
        credential = {"private_key": text, "thumbprint": leaf.fingerprint(SHA1()).hex()}
        if given.chain:
            credential["public_certificate"] = text
    application = msal.ConfidentialClientApplication(
        client,
        client_credential=credential,
        authority=f"{authority.rstrip('/')}/{tenant}",
        instance_discovery=False,
    )
    answer = application.acquire_token_for_client([given.scope])
    if "access_token" not in answer:
        raise SystemExit(answer.get("error_description", "no token"))
