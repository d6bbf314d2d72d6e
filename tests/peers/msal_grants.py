"""Gets users' tokens by MSAL for Python.

    msal_grants.py JOBS.json

Each job has an `authority`, a `client_id`, its `secret` or `assertion`, a `grant` and its fields. Prints, for each, a
digest of the token, or the error; never a token.
"""

import hashlib
import json
import sys

import msal


def answer(job):
    credential = job.get("secret") or {"client_assertion": lambda: job["assertion"]}
    application = msal.ConfidentialClientApplication(
        job["client_id"],
        client_credential=credential,
        authority=job["authority"],
        instance_discovery=False,
    )
    if job["grant"] == "on-behalf-of":
        got = application.acquire_token_on_behalf_of(job["user_token"], job["scopes"])
    elif job["grant"] == "authorization-code":
        got = application.acquire_token_by_authorization_code(
            job["code"],
            job["scopes"],
            redirect_uri=job["redirect_uri"],
            data={"code_verifier": job["code_verifier"]},
        )
    else:
        got = application.acquire_token_by_refresh_token(job["refresh_token"], job["scopes"])
    if "access_token" not in got:
        return {"error": got.get("error"), "codes": got.get("error_codes")}
    return {"sha256": hashlib.sha256(got["access_token"].encode()).hexdigest()}


with open(sys.argv[1], encoding="utf-8") as file:
    jobs = json.load(file)
print(json.dumps([answer(job) for job in jobs]))
