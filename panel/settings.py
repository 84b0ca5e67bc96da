"""Django's settings, made from the environment (panel.environment) and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import environ
from celery.schedules import crontab
from csp.constants import NONE, SELF

from panel.core.keys import read
from panel.environment import CHECKOUT, EnvironmentProblem, read_environment

ENVIRONMENT = read_environment()
DATA_DIR = ENVIRONMENT.data_dir

DEBUG = ENVIRONMENT.debug
# Reading the settings makes nothing: firstrun makes the key.
SECRET_KEY = ENVIRONMENT.secret_key or read(DATA_DIR.keys / "secret-key")


def _as_host(name: str) -> str:
    """Return a name or an address as it stands in Host: IPv6 in brackets (RFC 3986)."""
    return f"[{name}]" if ":" in name else name


# Who is answered with everything. Hosted domains get the public addresses, any other Host 400 (panel.addresses.hosts):
# nothing is ever built from a name that is not ours.
_panel_host = urlsplit(ENVIRONMENT.panel_url).hostname or "localhost"
ALLOWED_HOSTS = sorted(
    {_as_host(_panel_host), _as_host(ENVIRONMENT.panel_host), "localhost", "127.0.0.1", "[::1]"}
)
#: Names of the URLs that hosted domains answer.
PUBLIC_URL_NAMES: frozenset[str] = frozenset(
    {
        "authority_certificate",
        "autoconfig",
        "autodiscover",
        "autodiscover_json",
        "choose_language",
        "pop_or_imap",
        "setup_address",
        "setup_code",
        "setup_profile",
        "well_known_autoconfig",
    }
)
CSRF_TRUSTED_ORIGINS = [ENVIRONMENT.panel_url]
_https = ENVIRONMENT.panel_url.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_NAME, LANGUAGE_COOKIE_AGE, LANGUAGE_COOKIE_SECURE = "language", 365 * 24 * 3600, _https
if _https:
    # Browsers take such a cookie from this host alone (RFC 6265bis): a site of a customer under a sibling name, such
    # as www.example.com beside panel.example.com, cannot plant one.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 31536000 if _https else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django.forms",  # its widgets' templates, so that ours can stand beside them
    "django_htmx",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "panel.core",
    "panel.accounts",
    "panel.addresses",
    "panel.connections",
    "panel.quotas",
    "panel.retention",
    "panel.clients",
    "panel.service",
]
MIDDLEWARE = [
    "panel.core.middleware.behind_proxies",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "panel.core.middleware.harden",
    "panel.core.middleware.speak_their_browsers_language",
    "panel.core.middleware.database_unavailable",
    "panel.addresses.hosts.answer_by_host",
    "panel.core.middleware.serve_brand",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "panel.core.middleware.compress",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "panel.accounts.middleware.speak_their_language",
    "panel.accounts.middleware.ask_to_wait",
    "panel.accounts.middleware.keep_owners_to_their_own",
    "panel.accounts.middleware.note_session",
    "panel.accounts.middleware.say_who_acts",
    "panel.accounts.middleware.require_own_password",
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
ROOT_URLCONF = "panel.urls"
WSGI_APPLICATION = "panel.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [CHECKOUT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "panel.core.context_processors.product",
                "panel.addresses.hosts.home",
                "panel.accounts.context_processors.standing",
            ],
            "builtins": [
                "django.templatetags.i18n",
                "panel.core.templatetags.components",
                "panel.core.templatetags.sizes",
                "panel.core.templatetags.times",
                "panel.core.templatetags.words",
            ],
        },
    }
]


def _database(url: str) -> dict[str, Any]:
    """Return Django's description of the database that `url` names.

    SQLite: write-ahead log and immediate transactions, because a transaction that reads first and writes
    later fails with "database is locked" as soon as somebody else writes in between, however long it waits.
    """
    try:
        config = dict(environ.Env.db_url_config(url)) if url else {"NAME": str(DATA_DIR.sqlite)}
    except (ValueError, KeyError) as err:
        raise EnvironmentProblem(
            "DATABASE_URL is not one: write postgres://user:password@host:port/name."
        ) from err
    engine = config.setdefault("ENGINE", "django.db.backends.sqlite3")
    if engine == "django.db.backends.sqlite3":
        return config | {
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL;",
            }
        }
    if engine == "django.db.backends.postgresql":
        return config | {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    raise EnvironmentProblem(
        "DATABASE_URL must name a PostgreSQL (postgres://…) or SQLite (sqlite:///…) database."
    )


DATABASES = {"default": _database(ENVIRONMENT.database_url)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
# People first: where an e-mail is a mailbox's address too, the password says who signs in.
AUTHENTICATION_BACKENDS = ["panel.accounts.backends.People", "panel.addresses.backends.MailboxOwners"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "account_login"
# A mailed link works for an hour, once, and no more after a sign-in.
PASSWORD_RESET_TIMEOUT = 3600
PASSWORD_HASHERS = ["panel.accounts.hashers.Argon2id"]
# NIST SP 800-63B: eight characters at least, and none of those that everybody tries.
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 8}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# Signing in is django-allauth's. Nobody signs up, and an e-mail is changed by the host alone.
ACCOUNT_ADAPTER = "panel.accounts.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = "django.contrib.auth.tokens.PasswordResetTokenGenerator"  # noqa: S105
# allauth counts in the cache, which may be away: without Redis each of its limits would wait a second and refuse
# everybody. Ours (panel.accounts.limits) count in the database, before any hash is computed.
ACCOUNT_RATE_LIMITS = MFA_RATE_LIMITS = False
MFA_ADAPTER = "panel.accounts.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True  # e-mails are given by the host, so there is nothing to verify
# A telephone's clock may be half a minute off.
MFA_TOTP_TOLERANCE = 1

LANGUAGE_CODE = "en"
# Each by its own name: whoever looks for their language may not read the one that shows.
LANGUAGES = [("en", "English"), ("fr", "Français")]
FORMAT_MODULE_PATH = "panel.formats"
LOCALE_PATHS = [CHECKOUT / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = ENVIRONMENT.time_zone

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR.static
STATICFILES_DIRS = [CHECKOUT / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}


def _email(url: str) -> dict[str, Any]:
    """Return Django's description of how mail is sent. Empty: printed, which in production is the log."""
    try:
        return dict(environ.Env.email_url_config(url or "consolemail://"))
    except (ValueError, KeyError) as err:
        raise EnvironmentProblem("EMAIL_URL is not one: write smtp+tls://user:password@host:587.") from err


_mail = _email(ENVIRONMENT.email_url)
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
EMAIL_HOST, EMAIL_PORT = _mail["EMAIL_HOST"] or "localhost", _mail["EMAIL_PORT"] or 25
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail["EMAIL_HOST_USER"] or "", _mail["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.get("EMAIL_USE_TLS", False), _mail.get("EMAIL_USE_SSL", False)
EMAIL_FILE_PATH = f"/{_mail['EMAIL_FILE_PATH'].lstrip('/')}" if _mail["EMAIL_FILE_PATH"] else None
EMAIL_TIMEOUT = 30  # seconds
DEFAULT_FROM_EMAIL = SERVER_EMAIL = ENVIRONMENT.email_from

REDIS_URL = ENVIRONMENT.redis_url or f"unix://{DATA_DIR.redis_socket}"
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "restante",
        # Pages work without Redis: a cache that cannot be asked is an empty one.
        "OPTIONS": {
            "IGNORE_EXCEPTIONS": True,
            "SOCKET_CONNECT_TIMEOUT": 1,
            "SOCKET_TIMEOUT": 2,
        },
    }
}
SESSION_ENGINE = "django.contrib.sessions.backends.db"

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Sending waits for nobody: a job is a row, and beat sends again what Redis did not take.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 4 * 3600,
    "socket_connect_timeout": 1,
    # A Redis that hangs must not hang a page; the worker's own waiting reads take one second each.
    "socket_timeout": 5,
    "max_retries": 0,
}
CELERY_TASK_TIME_LIMIT = 2 * 3600
CELERY_TASK_SOFT_TIME_LIMIT = CELERY_TASK_TIME_LIMIT - 60
CELERY_TIMEZONE = TIME_ZONE
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# What is done by the clock, by panel.core.schedule but for the first two, which keep the machine itself going.
CELERY_BEAT_SCHEDULE = {
    "send jobs again": {"task": "panel.core.tasks.send_due_jobs", "schedule": 5.0, "options": {"expires": 5}},
    "worker seen": {"task": "panel.core.tasks.note_worker", "schedule": 10.0, "options": {"expires": 10}},
    "check the mail folders": {
        "task": "panel.core.tasks.start_scheduled",
        "args": ["check_mail", {"repair": True}],
        "schedule": crontab(hour=3, minute=17),
        "options": {"expires": 3600},
    },
    "purge": {
        "task": "panel.core.tasks.start_scheduled",
        "args": ["purge"],
        "schedule": crontab(hour=2, minute=37),
        "options": {"expires": 3600},
    },
    "start changes of retention": {
        "task": "panel.core.tasks.look",
        "args": ["start_waiting_purges"],
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "forget old connections": {
        "task": "panel.core.tasks.start_scheduled",
        "args": ["forget_connections"],
        "schedule": crontab(hour=4, minute=47),
        "options": {"expires": 3600},
    },
    "end removed mail": {
        "task": "panel.core.tasks.start_scheduled",
        "args": ["end_removed_mail"],
        "schedule": crontab(hour=1, minute=43),
        "options": {"expires": 3600},
    },
    "end removed mail that is too much": {
        "task": "panel.core.tasks.look",
        "args": ["start_ending_too_much"],
        "schedule": 300.0,
        "options": {"expires": 300},
    },
    "find what owners of mailboxes are to be told": {
        "task": "panel.core.tasks.start_scheduled",
        "args": ["find_mailbox_notices"],
        "schedule": 300.0,
        "options": {"expires": 300},
    },
    "note copies of what POP deleted": {
        "task": "panel.core.tasks.look",
        "args": ["start_noting_kept_copies"],
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "check quotas": {
        "task": "panel.core.tasks.start_scheduled",
        "args": ["check_quotas"],
        "schedule": 180.0,
        "options": {"expires": 180},
    },
    "make room": {
        "task": "panel.core.tasks.look",
        "args": ["start_making_room"],
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "look for the records that prove domains": {
        "task": "panel.core.tasks.look",
        "args": ["start_due_domain_claims"],
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "end sessions of expired device passwords": {
        "task": "panel.core.tasks.look",
        "args": ["start_ending_expired_devices"],
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "clean places of revoked device passwords": {
        "task": "panel.core.tasks.look",
        "args": ["start_draining_left_over"],
        "schedule": crontab(minute=23),
        "options": {"expires": 1800},
    },
    # Twice, so that a day on which the machine was off in the evening has a sample too: the later one counts.
    "note what mailboxes hold": {
        "task": "panel.core.tasks.start_scheduled",
        "args": ["sample_usage"],
        "schedule": crontab(hour="11,23", minute=49),
        "options": {"expires": 600},
    },
    "find mailboxes that are filling up": {
        "task": "panel.core.tasks.start_scheduled",
        "args": ["find_quota_warnings"],
        "schedule": 300.0,
        "options": {"expires": 300},
    },
    "renew the certificate": {
        "task": "panel.core.tasks.start_scheduled",
        "args": ["renew_certificate"],
        "schedule": crontab(hour=4, minute=23),
        "options": {"expires": 3600},
    },
    "forget old sign-ins": {
        "task": "panel.core.tasks.look",
        "args": ["forget_old_sign_ins"],
        "schedule": crontab(minute=41),
        "options": {"expires": 1800},
    },
    "forget old jobs": {
        "task": "panel.core.tasks.look",
        "args": ["forget_old_jobs"],
        "schedule": crontab(hour=5, minute=7),
        "options": {"expires": 3600},
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "filters": {
        "no trace of bad requests": {"()": "panel.core.logs.NoTraceOfBadRequests"},
        "with its code": {"()": "panel.core.logs.WithErrorCode"},
        # The health check says 503 as long as a part is down: that part's own log says why. And who is refused by
        # a limit (429) is in the audit trail: somebody who guesses must not fill the log.
        "told_elsewhere": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: getattr(record, "status_code", None) not in (429, 503),
        },
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["told_elsewhere", "no trace of bad requests", "with its code"],
        }
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    # A Host that is not ours is answered 400; a scanner must not fill the log with traces of it.
    "loggers": {"django.security.DisallowedHost": {"level": "CRITICAL"}},
}

# What Restante promises.
PRODUCT_NAME = MFA_TOTP_ISSUER = ENVIRONMENT.brand.name
DELETION_WINDOW = timedelta(days=14)
INVITATION_LIFE = timedelta(days=7)
PASSWORD_LINK_LIFE = timedelta(days=3)
DOMAIN_CLAIM_LIFE = timedelta(days=7)
DEFAULT_QUOTA_BYTES = 5 * 1024**3
JOBS_KEPT = timedelta(days=90)
# Lines that owners and customers are told of when a mailbox crosses them, in percent of its quota.
QUOTA_WARNINGS = (80, 95, 100)
# And how many days before it will be full, at its pace.
FULL_WITHIN_DAYS = 7
# How long a new rule of retention, or one that ends more than before, waits before it counts.
RULE_STARTS_AFTER = timedelta(hours=24)
# A purge stops and asks where it would purge so many times what was to be expected, and at least so many messages.
PURGE_STOPS_AT, PURGE_STOPS_FROM = 3, 1000
