"""A small OpenID Connect provider: discovery, authorization code with PKCE, RS256, userinfo."""

import base64
import hashlib
import html
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT, SECRET = "ensemble", "client-secret"


PAGE = """<!doctype html><title>Example ID</title><h1>Example ID</h1>
<form method="post" action="/decided?{query}">
<button name="answer" value="yes">Go on as {name}</button>
<button name="answer" value="no">Refuse</button></form>"""


class Provider:
    """Signs everybody in as `person`, whoever it is; what it does wrong can be set.

    `host`: its name. A browser takes `localhost` and `127.0.0.1` for two sites.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.signs_with = self.key
        self.person: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}  # into the id_token, in the place of what is right
        self.algorithm = "RS256"
        self.told: dict[str, Any] = {}  # by userinfo, in the place of what is right
        self.issuer_said = ""
        self.page_said = ""
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.answer(self, {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                provider.answer(self, {k: v[0] for k, v in parse_qs(body).items()})

            def log_message(self, *args: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.issuer = f"http://{host}:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=[0.02])
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        path = urlsplit(handler.path).path
        self.asked.append(path)
        if path in ("/authorize", "/decided"):
            self.talk(handler, form)
            return
        if path == "/favicon.ico":
            handler.send_error(404)
            return
        said = {
            "/.well-known/openid-configuration": self.discovery,
            "/jwks": self.jwks,
            "/token": lambda: self.token(form),
            "/userinfo": lambda: self.userinfo(handler.headers.get("Authorization", "")),
        }[path]()
        body = json.dumps(said or {"error": "invalid_grant"}).encode()
        handler.send_response(200 if said else 400)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def talk(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        """With a browser: a page with two buttons, and where each leads."""
        query = urlsplit(handler.path).query
        body = b""
        if not form:
            page = PAGE.format(query=html.escape(query), name=self.person["preferred_username"])
            body = page.encode()
            handler.send_response(200)
            handler.send_header("Content-Type", "text/html; charset=utf-8")
        else:
            handler.send_response(302)
            handler.send_header("Location", self.led_to(query, form["answer"] == "yes"))
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def led_to(self, query: str, agreed: bool) -> str:
        if agreed:
            return self.authorize(f"{self.issuer}/authorize?{query}")
        asked = {key: values[0] for key, values in parse_qs(query).items()}
        refusal = urlencode({"error": "access_denied", "state": asked["state"]})
        return f"{asked['redirect_uri']}?{refusal}"

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer_said or self.issuer,
            "authorization_endpoint": f"{self.page_said or self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/jwks",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }

    def jwks(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**public, "kid": "k1", "alg": "RS256", "use": "sig"}]}

    def authorize(self, url: str) -> str:
        """What the browser would be led back to after its person has signed in here."""
        asked = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
        assert url.startswith(f"{self.issuer}/authorize?")
        assert asked["client_id"] == CLIENT
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        query = urlencode({"code": code, "state": asked["state"]})
        return f"{asked['redirect_uri']}?{query}"

    def token(self, form: dict[str, str]) -> dict[str, Any] | None:
        asked = self.codes.pop(form.get("code", ""), None)
        verifier = form.get("code_verifier", "")
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or challenge != asked["code_challenge"]:
            return None
        if (form["client_id"], form["client_secret"]) != (CLIENT, SECRET):
            return None
        if form["redirect_uri"] != asked["redirect_uri"]:
            return None
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, **self.person}
        claims = {k: v for k, v in {**claims, **self.claims}.items() if v is not None}
        key: Any = "" if self.algorithm in ("HS256", "none") else self.signs_with
        if self.algorithm == "HS256":
            key = "a secret that everybody knows, of 256 bits and more"
        token = jwt.encode(claims, key or None, algorithm=self.algorithm, headers={"kid": "k1"})
        return {"access_token": "at", "token_type": "Bearer", "id_token": token}

    def userinfo(self, header: str) -> dict[str, Any]:
        assert header == "Bearer at"
        return {**self.person, **self.told}
