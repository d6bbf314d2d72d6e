"""Gets a token in one environment after the other.

Reads lines of JSON: {"credential": "environment" | "workload" | "proxied" | "managed" | "default", "scope": …,
                      "env": {…}, "keys": folder | null}

`keys` is the folder of Azure Arc's keys in place of the one that only root may make. Answers each with a line,
{"token": sha256} or {"error": text}.
"""

import hashlib
import json
import logging
import os
import sys
import warnings

import msal.managed_identity
from azure.identity import (
    DefaultAzureCredential,
    EnvironmentCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")

# it is the public service's that says which authorities there are
ALONE = {"disable_instance_discovery": True}

# those that are for people at a machine of their own
DEVELOPERS = [
    "broker",
    "cli",
    "developer_cli",
    "powershell",
    "shared_token_cache",
    "visual_studio_code",
]


def credential(kind):
    if kind == "environment":
        return EnvironmentCredential(**ALONE)
    if kind == "workload":
        return WorkloadIdentityCredential()
    if kind == "proxied":
        return WorkloadIdentityCredential(enable_azure_proxy=True)
    if kind == "managed":
        return ManagedIdentityCredential(client_id=os.environ.get("AZURE_CLIENT_ID"))
    excluded = {f"exclude_{name}_credential": True for name in DEVELOPERS}
    return DefaultAzureCredential(**ALONE, **excluded)


def answer(asked):
    os.environ.clear()
    os.environ.update(asked["env"])
    if asked["keys"]:
        msal.managed_identity._supported_arc_platforms_and_their_prefixes = {
            sys.platform: asked["keys"]
        }
    try:
        token = credential(asked["credential"]).get_token(asked["scope"]).token
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"token": hashlib.sha256(token.encode()).hexdigest()}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
