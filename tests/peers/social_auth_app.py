"""A web application whose users python-social-auth signs in.

    social_auth_app.py SETTINGS.json

The settings are those of python-social-auth. Prints the address once it listens, and ends with its standard input.

    /login/BACKEND/     sends the browser to sign in
    /complete/BACKEND/  where it comes back to
    /me                 who is signed in, and digests of the tokens
    /refresh            renews the tokens, and says the same
"""

import hashlib
import json
import os
import secrets
import sys
import threading
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl
from wsgiref.simple_server import WSGIRequestHandler, make_server

from social_core.actions import do_auth, do_complete
from social_core.exceptions import SocialAuthBaseException
from social_core.storage import BaseStorage, NonceMixin, UserMixin
from social_core.strategy import BaseStrategy

with open(sys.argv[1], encoding="utf-8") as file:
    SETTINGS = json.load(file)

SETTINGS["SOCIAL_AUTH_AUTHENTICATION_BACKENDS"] = [
    "social_core.backends.azuread.AzureADOAuth2",
    "social_core.backends.azuread.AzureADOAuth2V2",
    "social_core.backends.azuread_tenant.AzureADTenantOAuth2",
    "social_core.backends.azuread_tenant.AzureADV2TenantOAuth2",
    "social_core.backends.azuread_b2c.AzureADB2COAuth2",
]
COOKIE = "session"
SESSIONS = {}


class User:
    """Somebody who has signed in once."""

    is_active = True
    is_authenticated = True
    all = []

    def __init__(self, username, email=None):
        self.id = len(User.all) + 1
        self.username = username
        self.email = email
        self.social_user = None
        self.is_new = False
        User.all.append(self)


class SocialUser(UserMixin):
    """What ties a user to the identity provider."""

    all = []

    def __init__(self, user, uid, provider, id_key=""):
        self.id = len(SocialUser.all) + 1
        self.user, self.uid, self.provider, self.id_key = user, uid, provider, id_key
        self.extra_data = {}
        SocialUser.all.append(self)

    def save(self):
        pass

    @classmethod
    def changed(cls, user):
        pass

    @classmethod
    def user_model(cls):
        return User

    @classmethod
    def username_max_length(cls):
        return 150

    @classmethod
    def get_username(cls, user):
        return user.username

    @classmethod
    def user_exists(cls, *args, **kwargs):
        return any(user.username == kwargs.get("username") for user in User.all)

    @classmethod
    def create_user(cls, *args, **kwargs):
        return User(kwargs.get("username"), kwargs.get("email"))

    @classmethod
    def get_user(cls, pk):
        return next((user for user in User.all if user.id == pk), None)

    @classmethod
    def get_social_auth(cls, provider, uid, id_key=None):
        same = (one for one in cls.all if (one.provider, one.uid) == (provider, uid))
        return next(same, None)

    @classmethod
    def get_social_auth_by_extra_data(cls, provider, key, value, id_key=""):
        return None

    @classmethod
    def get_social_auth_for_user(cls, user, provider=None, id=None):
        return [one for one in cls.all if one.user is user]

    @classmethod
    def create_social_auth(cls, user, uid, provider, id_key=""):
        return cls(user, uid, provider, id_key)


class Nonce(NonceMixin):
    """A value that counts once."""

    there = set()

    @classmethod
    def use(cls, server_url, timestamp, salt):
        key = (server_url, timestamp, salt)
        is_new = key not in cls.there
        cls.there.add(key)
        return is_new

    @classmethod
    def consume(cls, server_url, timestamp, salt):
        key = (server_url, timestamp, salt)
        is_there = key in cls.there
        cls.there.discard(key)
        return is_there


class Storage(BaseStorage):
    user = SocialUser
    nonce = Nonce

    @classmethod
    def is_integrity_error(cls, exception):
        return False


class Redirect:
    def __init__(self, url):
        self.url = url


class Strategy(BaseStrategy):
    """One request."""

    def __init__(self, environ, session):
        super().__init__(storage=Storage)
        self.environ, self.session = environ, session

    def redirect(self, url):
        return Redirect(url)

    def get_setting(self, name):
        return SETTINGS[name]

    def get_request_data(self, merge=True):
        return dict(parse_qsl(self.environ["QUERY_STRING"]))

    def request_host(self):
        return self.environ["HTTP_HOST"]

    def build_absolute_uri(self, path=None):
        return f"http://{self.environ['HTTP_HOST']}{path or ''}"

    def session_get(self, name, default=None):
        return self.session.get(name, default)

    def session_set(self, name, value):
        self.session[name] = value

    def session_pop(self, name):
        return self.session.pop(name, None)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest() if text else None


def said(social):
    """What a test needs to know."""
    kept = social.extra_data
    return {
        "username": social.user.username,
        "email": social.user.email,
        "uid": social.uid,
        "backend": social.provider,
        "access_token": digest(kept.get("access_token")),
        "refresh_token": digest(kept.get("refresh_token")),
        "id_token": digest(kept.get("id_token")),
    }


def login(backend, user, social):
    backend.strategy.session_set("social", social)


def route(environ, session):
    strategy = Strategy(environ, session)
    match environ["PATH_INFO"].strip("/").split("/"):
        case ["login", name]:
            return do_auth(strategy.get_backend(name, f"/complete/{name}/"))
        case ["complete", name]:
            return do_complete(strategy.get_backend(name, f"/complete/{name}/"), login)
        case ["me"] if "social" in session:
            return said(session["social"])
        case ["refresh"] if "social" in session:
            session["social"].refresh_token(strategy)
            return said(session["social"])
    return {"error": "nobody is signed in"}


def application(environ, start_response):
    cookies = SimpleCookie(environ.get("HTTP_COOKIE", ""))
    name = cookies[COOKIE].value if COOKIE in cookies else None
    if name not in SESSIONS:
        name = secrets.token_urlsafe(16)
        SESSIONS[name] = {}
    headers = [("Set-Cookie", f"{COOKIE}={name}; Path=/; HttpOnly; SameSite=Lax")]
    try:
        answer = route(environ, SESSIONS[name])
    except SocialAuthBaseException as error:
        status = "403 Forbidden"
        provider_code = getattr(error, "provider_code", None)
        answer = {"error": type(error).__name__, "provider_code": provider_code, "text": str(error)}
    else:
        status = "200 OK"
    if isinstance(answer, Redirect):
        start_response("302 Found", [*headers, ("Location", answer.url)])
        return [b""]
    start_response(status, [*headers, ("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


SETTINGS["SOCIAL_AUTH_LOGIN_REDIRECT_URL"] = "/me"
server = make_server("127.0.0.1", 0, application, handler_class=Quiet)


def end_with_standard_input():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_standard_input, daemon=True).start()
print(json.dumps({"url": f"http://localhost:{server.server_port}"}), flush=True)
server.serve_forever()
