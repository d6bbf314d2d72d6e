"""Says how python-social-auth would authenticate as a client.

    social_auth_request.py JOBS.json

Each job has the name of a `backend`, the `variables` of its environment, and may have a settings `module`. Prints, for
each, what a test needs to know: where it would ask, and what the form would say of the client. Secrets are digests.
"""

import hashlib
import json
import os
import runpy
import sys
from urllib.parse import urlsplit

from social_core.backends.azuread import AzureADOAuth2, AzureADOAuth2V2
from social_core.backends.azuread_b2c import AzureADB2COAuth2
from social_core.backends.azuread_tenant import (
    AzureADTenantOAuth2,
    AzureADV2TenantOAuth2,
)
from social_core.strategy import BaseStrategy

BACKENDS = (
    AzureADOAuth2,
    AzureADOAuth2V2,
    AzureADTenantOAuth2,
    AzureADV2TenantOAuth2,
    AzureADB2COAuth2,
)


class Strategy(BaseStrategy):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def get_setting(self, name):
        if self.module is not None:
            return self.module[name]
        # a deployment's template leaves a variable out by a blank
        value = os.environ.get(name, "") if name.startswith("SOCIAL_AUTH_") else ""
        if not value.strip():
            raise KeyError(name)
        return value

    def request_data(self, merge=True):
        return {"code": "a code"}

    def absolute_uri(self, path=None):
        return path


def said(job):
    os.environ.clear()
    os.environ.update(job["variables"])
    module = runpy.run_path(job["module"]) if job.get("module") else None
    kind = next(each for each in BACKENDS if each.name == job["backend"])
    backend = kind(Strategy(module), redirect_uri="https://app.example/complete")
    form = backend.auth_complete_params()
    url = urlsplit(backend.access_token_url())
    out = {"host": url.netloc, "path": url.path, "query": url.query}
    for name in ("client_id", "client_assertion_type"):
        if form.get(name):
            out[name] = form[name]
    for name in ("client_secret", "client_assertion"):
        if form.get(name):
            out[name] = hashlib.sha256(form[name].encode()).hexdigest()
    return out


with open(sys.argv[1], encoding="utf-8") as file:
    jobs = json.load(file)
print(json.dumps([said(job) for job in jobs]))
