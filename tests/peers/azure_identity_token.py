"""Gets one token as a pod with workload identity does: everything comes from the environment.

    azure_identity_token.py SCOPE [--azure-proxy]

Prints what a test needs to know and not the token itself.
"""

import hashlib
import json
import sys

from azure.identity import WorkloadIdentityCredential

options = {"enable_azure_proxy": True} if "--azure-proxy" in sys.argv else {}
token = WorkloadIdentityCredential(**options).get_token(sys.argv[1])
digest = hashlib.sha256(token.token.encode()).hexdigest()
print(json.dumps({"expires_on": token.expires_on, "sha256": digest}))
