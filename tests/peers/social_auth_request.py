"""Says how python-social-auth would authenticate as a client, with the settings of a module, or of the environment.

    social_auth_request.py BACKEND [SETTINGS.py]

Prints what a test needs to know: where it would ask, and what the form would say of the client. Secrets are digests.
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

module = runpy.run_path(sys.argv[2]) if len(sys.argv) > 2 else None


class Strategy(BaseStrategy):
    def get_setting(self, name):
        if module is not None:
            return module[name]
        # a deployment's template leaves a variable out by a blank
        value = os.environ[name] if name.startswith("SOCIAL_AUTH_") else ""
        if not value.strip():
            raise KeyError(name)
        return value

    def request_data(self, merge=True):
        return {"code": "a code"}

    def absolute_uri(self, path=None):
        return path


backend = next(each for each in BACKENDS if each.name == sys.argv[1])(
    Strategy(), redirect_uri="https://app.example/complete"
)
form = backend.auth_complete_params()
url = urlsplit(backend.access_token_url())
said = {"host": url.netloc, "path": url.path, "query": url.query}
for name in ("client_id", "client_assertion_type"):
    if form.get(name):
        said[name] = form[name]
for name in ("client_secret", "client_assertion"):
    if form.get(name):
        said[name] = hashlib.sha256(form[name].encode()).hexdigest()
print(json.dumps(said))
