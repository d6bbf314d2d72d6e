"""Runs the provider over WASI 0.2 in wasmtime for Python, as a program would that has Python and no Rust.

    p2_wasmtime.py COMPONENT SCOPE [SCOPE]...

The configuration is in EDGEPASS_CONFIG_JSON, and the token files that it names are read here. A line of JSON for each scope:
what is known of the token, its SHA-256 in the place of itself, or the error.
"""

import hashlib
import json
import os
import sys

from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker, Record, ResourceType, Variant

PACKAGE = "edgepass:credentials-p2/"
VERSION = "@0.2.0"


def record(**fields):
    made = Record()
    for name, value in fields.items():
        setattr(made, name.replace("_", "-"), value)
    return made


def configured_files(value):
    """The paths of the token files that a configuration names."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "federated_token_file":
                yield inner["path"]
            else:
                yield from configured_files(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from configured_files(inner)


def link(engine, files):
    """What a provider imports: WASI of the runtime, and the interfaces that a host implements."""
    linker = Linker(engine)
    linker.add_wasip2()
    linker.add_wasi_http()

    # what is returned for a result is the one or the other by its type, and needs no tag around it
    def read(_, path):
        # nothing but what the configuration names
        if path not in files:
            return Variant("denied", "the configuration does not name this file")
        try:
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return Variant("not-found")
        except PermissionError as error:
            return Variant("denied", str(error))
        except OSError as error:
            return Variant("other", str(error))

    def no_certificate(_, name):
        return Variant("not-found")

    def no_assertion(_, options):
        return Variant("not-configured")

    def no_store(*_):
        return Variant("unavailable", "no token store is configured")

    def no_signatures(*_):
        return "this host checks no signatures"

    def never(*_):
        raise RuntimeError("there is no certificate that could be used")

    with linker.root() as root:
        with root.add_instance(f"{PACKAGE}token-file{VERSION}") as instance:
            instance.add_func("read", read)
        with root.add_instance(f"{PACKAGE}host-certificates{VERSION}") as instance:
            instance.add_resource("certificate", ResourceType.host(1), lambda *_: None)
            for method in ["chain", "issuance", "sign", "send"]:
                instance.add_func(f"[method]certificate.{method}", never)
            instance.add_func("open", no_certificate)
        with root.add_instance(f"{PACKAGE}assertion-source{VERSION}") as instance:
            instance.add_func("get-assertion", no_assertion)
        with root.add_instance(f"{PACKAGE}signatures{VERSION}") as instance:
            instance.add_func("verify", no_signatures)
        with root.add_instance(f"{PACKAGE}token-store{VERSION}") as instance:
            for name in ["get", "put", "delete"]:
                instance.add_func(name, no_store)
    return linker


def main(path, *scopes):
    config = os.environ["EDGEPASS_CONFIG_JSON"]
    names = ["EDGEPASS_CONFIG_JSON", "AZURE_POD_IDENTITY_AUTHORITY_HOST"]
    engine = Engine()
    component = Component.from_file(engine, path)
    store = Store(engine)
    wasi = WasiConfig()
    wasi.env = [(name, os.environ[name]) for name in names if name in os.environ]
    store.set_wasi(wasi)
    store.set_wasi_http()
    linker = link(engine, set(configured_files(json.loads(config))))
    instance = linker.instantiate(store, component)

    exported = instance.get_export_index(store, f"{PACKAGE}credential-provider{VERSION}")
    get_token = instance.get_func(store, instance.get_export_index(store, "get-token", exported))
    for scope in scopes:
        request = record(
            identity=None,
            scopes=[scope],
            tenant=None,
            grant=Variant("client-credentials"),
            claims=None,
            token_type="bearer",
            refresh=Variant("if-needed"),
        )
        answer = get_token(store, request)
        get_token.post_return(store)
        if isinstance(answer, Variant):
            said = {"error": answer.tag, "message": answer.payload.message}
        else:
            said = {
                "sha256": hashlib.sha256(answer.token.encode()).hexdigest(),
                "type": getattr(answer, "token-type"),
                "source": answer.source,
            }
        print(json.dumps(said))


main(*sys.argv[1:])
