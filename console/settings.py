"""Django's settings. What differs between machines comes from the environment: `env`."""

import os
from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF

from console import env, sign_on_settings, vendored

BASE_DIR = Path(__file__).parent.parent
VAR = env.folder()

DEBUG = False
# Plain http on loopback by default. Behind TLS: ENSEMBLE_CONSOLE_TLS=1, cookies and HSTS follow.
TLS = env.flag("ENSEMBLE_CONSOLE_TLS", default=False)
SECRET_KEY = os.environ.get("ENSEMBLE_SECRET_KEY") or env.kept_secret(VAR / "console.key")
ALLOWED_HOSTS = env.words("ENSEMBLE_CONSOLE_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.words("ENSEMBLE_CONSOLE_ORIGINS", "")

INSTALLED_APPS = [
    "console",
    "observability",
    "tenants",
    "csp",
    "channels",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "django_ace",
    "django_htmx",
    "heroicons",
    "rest_framework",
    "drf_spectacular",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "console.sessions.SessionAgeMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "console.second_factor.SecondFactorMiddleware",
    "console.access.AccessMiddleware",
]

ROOT_URLCONF = "console.urls"
ASGI_APPLICATION = "console.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "console" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.access.context",
            ],
        },
    }
]

SQLITE_INIT = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA mmap_size=134217728;"
    "PRAGMA journal_size_limit=67108864; PRAGMA cache_size=-20000;"
)
DATABASES: dict[str, Any] = {
    "default": dj_database_url.parse(
        os.environ.get("DATABASE_URL") or f"sqlite:///{VAR / 'console.sqlite3'}"
    )
}
# What the nodes measured and audited: on SQLite a file of its own, so that collectors and people
# do not wait for each other, and each is kept and backed up by its own rules.
OBSERVED_DATABASE = "default"
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    OBSERVED_DATABASE = "observed"
    DATABASES["observed"] = dj_database_url.parse(f"sqlite:///{VAR / 'observed.sqlite3'}")
    for database in DATABASES.values():
        database["OPTIONS"] = {
            "timeout": 10,
            "transaction_mode": "IMMEDIATE",
            "init_command": SQLITE_INIT,
        }
# How long that is kept, and how much of it (docs/observability.md).
OBSERVED_KEEP_S = {
    1: env.number("ENSEMBLE_KEEP_SECONDS_HOURS", default=1, low=1, high=48) * 3_600,
    10: env.number("ENSEMBLE_KEEP_TENS_DAYS", default=1, low=1, high=60) * 86_400,
    60: env.number("ENSEMBLE_KEEP_MINUTES_DAYS", default=30, low=1, high=1_000) * 86_400,
    3_600: env.number("ENSEMBLE_KEEP_HOURS_DAYS", default=400, low=32, high=4_000) * 86_400,
}
OBSERVED_TRAIL_DAYS = env.number("ENSEMBLE_TRAIL_DAYS", default=365, low=1, high=3_650)
OBSERVED_TRAIL_ROWS = env.number(
    "ENSEMBLE_TRAIL_ROWS", default=10_000_000, low=10_000, high=1_000_000_000
)
OBSERVED_INDEX_ROWS = env.number("ENSEMBLE_INDEX_ROWS", default=5_000_000, low=0, high=100_000_000)
DATABASE_ROUTERS = ["observability.router.Router"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Sign-in. Accounts are made by an operator: nobody signs up by themselves.
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
ACCOUNT_ADAPTER = "console.accounts.ClosedAccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_GET = False
# Wrong passwords and codes are counted in the database, for all processes (`console.lockouts`).
# What the library counts are requests, whatever is in them, in each process.
ACCOUNT_RATE_LIMITS = {"login_failed": "", "login": "30/m/ip"}
ACCOUNT_FORMS = {"change_password": "console.forms.account.CountedPasswordForm"}
MFA_FORMS = {
    "authenticate": "console.forms.account.CountedCodeForm",
    "reauthenticate": "console.forms.account.CountedProofForm",
}
# Straight from the browser, or behind one proxy that sets X-Forwarded-For.
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if env.flag("ENSEMBLE_CONSOLE_PROXY", default=False) else 0
MFA_ADAPTER = "console.accounts.SecretMfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Ensemble"
MFA_TOTP_TOLERANCE = 1  # a clock half a minute off
# Who must have a second factor: operators, everybody, nobody.
REQUIRE_MFA = env.choice("ENSEMBLE_REQUIRE_MFA", "nobody", ("nobody", "operators", "everybody"))
# Single sign-on, where ENSEMBLE_OIDC_ISSUER names a provider.
SIGN_ON = sign_on_settings.read()
SOCIALACCOUNT_ADAPTER = "console.sign_on.SignOnAdapter"
SOCIALACCOUNT_PROVIDERS = sign_on_settings.provider_settings(SIGN_ON) if SIGN_ON else {}
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "overview"
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}
SESSION_COOKIE_AGE = 12 * 3600  # in all
SESSION_IDLE_S = env.number("ENSEMBLE_CONSOLE_IDLE_MINUTES", default=30, low=1, high=720) * 60
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
# Browsers take a cookie with this prefix over TLS only, and from this host only.
COOKIE_PREFIX = "__Host-" if TLS else ""
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}ensemble_session"
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}ensemble_csrf"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "console.views.errors.csrf_failure"

SESSION_COOKIE_SECURE = TLS
CSRF_COOKIE_SECURE = TLS
SECURE_SSL_REDIRECT = TLS
SECURE_HSTS_SECONDS = 31_536_000 if TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = TLS
SECURE_HSTS_PRELOAD = TLS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TLS else None
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# The console shows data that others wrote: nothing runs that does not come from here as a file.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "worker-src": [SELF],
        "form-action": [SELF, *(SIGN_ON.origins if SIGN_ON else ())],  # sign-on leads there
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

STATIC_URL = "static/"
STATIC_ROOT = VAR / "static"
STATICFILES_DIRS = vendored.static_dirs()
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 << 20

CHANNEL_LAYERS: dict[str, Any] = {}  # every process follows the nodes itself

# The ensemble that `ensemble up` runs, and the files of its keys (see `tenants.keys`).
MAIN_ENSEMBLE = "main"
MAIN_KEYS = {
    "operator_key": os.environ.get("ENSEMBLE_OPERATOR_KEY", ""),
    "auth": str(VAR / "zookeeper.auth"),
    "read_token": os.environ.get("ENSEMBLE_ADMIN_TOKEN", ""),
    "control_token": os.environ.get("ENSEMBLE_ADMIN_CONTROL_TOKEN", ""),
}

# So long a deleted tenant can be brought back.
TENANT_GRACE_DAYS = env.number("ENSEMBLE_TENANT_GRACE_DAYS", default=7, low=0, high=365)

# The ensemble that the console looks at.
ZOOKEEPER_HOSTS = os.environ.get("ENSEMBLE_ZOOKEEPER", "127.0.0.1:2181")
# `scheme:credential` to sign in with, or a file that holds it (written by `ensemble up`).
ZOOKEEPER_AUTH = os.environ.get("ENSEMBLE_ZOOKEEPER_AUTH", "")
ZOOKEEPER_AUTH_FILE = VAR / "zookeeper.auth"

# The file of the token that the nodes' admin ports ask for; read when it is needed, as it may be
# exchanged.
ENSEMBLE_ADMIN_TOKEN = os.environ.get("ENSEMBLE_ADMIN_TOKEN", "")
# The folder of the `ensemble up` that has started this console, if one has.
ENSEMBLE_UP = os.environ.get("ENSEMBLE_UP", "")

# The REST API (tenants/api). What one token, or one person's browser, may ask for.
API_RATE_PER_SECOND = env.number("ENSEMBLE_API_RATE", default=20, low=1, high=10_000)
API_BURST = env.number("ENSEMBLE_API_BURST", default=300, low=1, high=100_000)
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tenants.api.authentication.TokenAuthentication",
        "tenants.api.authentication.BrowserAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [],  # the table in tenants.api.access, asked by every view
    "DEFAULT_PARSER_CLASSES": ["tenants.api.parsing.BoundedJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "tenants.api.schema.Schema",
    "EXCEPTION_HANDLER": "tenants.api.problems.answer",
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Ensemble",
    "DESCRIPTION": "Tenants of ZooKeeper ensembles: everything that the console can do.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "POSTPROCESSING_HOOKS": [
        "tenants.api.schema.complete",
    ],
}

# Where alerts are sent. Networks of one's own that operators' webhooks may reach: "10.1.2.0/24".
ALERT_NETWORKS = env.networks("ENSEMBLE_ALERT_NETWORKS")
# Mail goes through a server of one's own; without one channels say that there is none.
EMAIL_BACKEND = "observability.alerts.smtp.Backend"
EMAIL_HOST = os.environ.get("ENSEMBLE_MAIL_HOST", "")
EMAIL_PORT = env.number("ENSEMBLE_MAIL_PORT", default=587, low=1, high=65_535)
MAIL_TLS = env.choice("ENSEMBLE_MAIL_TLS", "starttls", ("starttls", "tls", "none"))
EMAIL_USE_TLS, EMAIL_USE_SSL = MAIL_TLS == "starttls", MAIL_TLS == "tls"
EMAIL_HOST_USER = os.environ.get("ENSEMBLE_MAIL_USER", "")
EMAIL_HOST_PASSWORD = env.secret_in("ENSEMBLE_MAIL_PASSWORD_FILE")
DEFAULT_FROM_EMAIL = os.environ.get("ENSEMBLE_MAIL_FROM", "") or "ensemble@localhost"

# The file with the token for /metrics of the plane itself; closed without.
METRICS_TOKEN_FILE = os.environ.get("ENSEMBLE_METRICS_TOKEN_FILE", "")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "format": "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s",
            "datefmt": "%Y-%m-%dT%H:%M:%S",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"console": {"level": "INFO"}, "ensemble.client": {"level": "INFO"}},
}
