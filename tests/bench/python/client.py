"""The benchmark's client with the Azure SDK for Python. See src/lib.rs for what it is asked."""

import json
import os
import sys
import time

import msal
import requests
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)

SCOPE = "https://graph.microsoft.com/.default"


class SharedTransport(RequestsTransport):
    """One HTTP session for every credential: its connection stays open from one to the next."""

    def __exit__(self, *_):
        pass


TRANSPORT = SharedTransport()
TRANSPORT.open()

# MSAL asks a public host first whether an authority that it does not know is one
OPTIONS = {"transport": TRANSPORT, "disable_instance_discovery": True}


class OnBehalfOf:
    """MSAL's application, with an empty cache, for one user's token."""

    SESSION = requests.Session()

    def __init__(self, tenant, client_id):
        with open(os.environ["EDGEPASS_BENCH_FILE"], encoding="ascii") as file:
            secret = file.read().strip()
        with open(os.environ["EDGEPASS_BENCH_USERS"], encoding="ascii") as file:
            self.user = file.readline().strip()
        self.application = msal.ConfidentialClientApplication(
            client_id,
            client_credential=secret,
            authority=os.environ["AZURE_AUTHORITY_HOST"].rstrip("/") + "/" + tenant,
            http_client=self.SESSION,
            instance_discovery=False,
        )

    def get_token(self, _):
        scopes = ["https://graph.microsoft.com/User.Read"]
        got = self.application.acquire_token_on_behalf_of(self.user, scopes)
        if "access_token" not in got:
            sys.exit(f"no token: {got}")


def credential():
    """A credential with an empty cache. Everything else comes from the environment."""
    client = (os.environ["AZURE_TENANT_ID"], os.environ["AZURE_CLIENT_ID"])
    match os.environ.get("EDGEPASS_BENCH_KIND", "federated"):
        case "federated":
            return WorkloadIdentityCredential(transport=TRANSPORT)
        case "secret":
            with open(os.environ["EDGEPASS_BENCH_FILE"], encoding="ascii") as file:
                return ClientSecretCredential(*client, file.read().strip(), **OPTIONS)
        case "certificate":
            return CertificateCredential(*client, os.environ["EDGEPASS_BENCH_FILE"], **OPTIONS)
        case "on-behalf-of":
            return OnBehalfOf(*client)
        case "managed_identity":
            return ManagedIdentityCredential(transport=TRANSPORT)
        case other:
            sys.exit(f"`{other}` is no kind that this client has")


def batched(batches, calls, call):
    times = []
    for _ in range(batches):
        start = time.perf_counter_ns()
        for _ in range(calls):
            call()
        times.append(time.perf_counter_ns() - start)
    return times


def exchanges(count):
    credential().get_token(SCOPE)
    times = []
    for _ in range(count):
        fresh = credential()
        start = time.perf_counter_ns()
        fresh.get_token(SCOPE)
        times.append(time.perf_counter_ns() - start)
    return times


def memory():
    with open("/proc/self/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status)
    kib = lambda name: int(fields[name].split()[0])
    return {"rss": kib("VmRSS"), "peak": kib("VmHWM")}


def main():
    cached = credential()
    cached.get_token(SCOPE)
    if sys.argv[1:] == ["--once"]:
        print(json.dumps(memory()), flush=True)
        return
    print("null", flush=True)
    for line in sys.stdin:
        match line.split():
            case ["cached", batches, calls]:
                reply = batched(int(batches), int(calls), lambda: cached.get_token(SCOPE))
            case ["inner", _, _]:
                reply = None
            case ["exchange", count]:
                reply = exchanges(int(count))
            case ["memory"]:
                reply = memory()
            case _:
                sys.exit(f"`{line.strip()}` is not something to ask of a client")
        print(json.dumps(reply), flush=True)


main()
