"""Every setting of Dailies, in one file that runs after a clone. Each variable it reads is in the README's table."""

import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

from csp.constants import SELF
from django.core.exceptions import ImproperlyConfigured
from kombu import Queue

from veevid_site import environment as read

BASE_DIR = Path(__file__).resolve().parent.parent

# -- where things are -------------------------------------------------------------------------------------------------
DATA_DIR = Path(read.text("DATA_DIR", str(BASE_DIR / "var"))).expanduser().resolve()
try:
    DATA_DIR.mkdir(parents=True, exist_ok=True)
except OSError as error:
    raise ImproperlyConfigured(f"DATA_DIR: cannot be made or written: {error.strerror}") from None
PORT = read.port("PORT", 8000)

# -- secrets ----------------------------------------------------------------------------------------------------------
DEBUG = read.switch("DEBUG", False)
SECRET_KEY = read.text("SECRET_KEY") or read.kept_secret(DATA_DIR, "secret-key")
if len(SECRET_KEY) < 32:
    raise ImproperlyConfigured("SECRET_KEY: must be at least 32 characters long")
SECRETS_KEYS = read.fernet_keys("SECRETS_KEYS", DATA_DIR)

# -- upstream ---------------------------------------------------------------------------------------------------------
VEEVID_API_KEY = read.veevid_key("VEEVID_API_KEY")
VEEVID_API_URL = read.http_url("VEEVID_API_URL", "https://veevid.ai/api")
VEEVID_MEDIA_HOSTS = read.hosts("VEEVID_MEDIA_HOSTS", "cdn.veevid.ai")
# The supervisor names the simulator it started; without one there is no demo mode.
SIMULATOR_URL = read.http_url("SIMULATOR_URL")
DEMO_KEY = "vv_sk_demo_simulator_key"
DEMO_SPEED = 10

# -- the web ----------------------------------------------------------------------------------------------------------
ALLOWED_HOSTS = read.hosts("ALLOWED_HOSTS", "localhost,127.0.0.1")
CSRF_TRUSTED_ORIGINS = read.origins("CSRF_TRUSTED_ORIGINS")
# Behind TLS (an https origin is named) cookies travel over TLS only.
SECURE = any(origin.startswith("https://") for origin in CSRF_TRUSTED_ORIGINS)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE else None
SECURE_HSTS_SECONDS = 31536000 if SECURE else 0
# The proxy that ends TLS names the visitor. Else all share its address, and one stranger's tries lock everybody out.
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if SECURE else 0
SESSION_COOKIE_HTTPONLY = True
# The company's own sign-in, if it has one.
OIDC_ISSUER = read.issuer("OIDC_ISSUER")
OIDC = read.all_or_none("OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET")
OIDC_NAME = read.text("OIDC_NAME") or "your company’s account"
OIDC_CLAIM, OIDC_GROUPS = read.groups("OIDC_GROUPS")
if OIDC_GROUPS and not OIDC:
    raise ImproperlyConfigured("OIDC_ISSUER: is needed, too, when OIDC_GROUPS is set")
# Where links in mails and webhooks lead. Without a name that people use there are none.
SITE_URL = read.http_url("SITE_URL") or next((o for o in CSRF_TRUSTED_ORIGINS if "*" not in o), "")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "media-src": [SELF, "blob:"],
        "frame-ancestors": ["'none'"],
        # signing in there begins with a form of ours that leads to it
        "form-action": [SELF, "{0.scheme}://{0.netloc}".format(urlsplit(OIDC_ISSUER))] if OIDC else [SELF],
        "base-uri": [SELF],
        "object-src": ["'none'"],
    }
}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "csp",
    "django_htmx",
    "generations",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "generations.views.gate.FirstRunMiddleware",
    "generations.views.signin.SecondFactorMiddleware",
]
ROOT_URLCONF = "veevid_site.urls"
WSGI_APPLICATION = "veevid_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "generations.views.gate.frame",
            ],
            "builtins": ["generations.templatetags.words", "django.contrib.humanize.templatetags.humanize"],
        },
    }
]
DATA_UPLOAD_MAX_NUMBER_FIELDS = 12_000  # so that too many selected clips get a sentence instead of a bare 400
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# -- the database -----------------------------------------------------------------------------------------------------
DATABASE_URL = read.server_url("DATABASE_URL", ("postgres", "postgresql", "sqlite"))
DATABASES = {"default": read.env.db_url_config(DATABASE_URL or f"sqlite:///{quote(str(DATA_DIR / 'dailies.sqlite3'))}")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    DATABASES["default"] |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Who tries how often is counted here. In the database, so that a broker that is away locks nobody out.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "django_cache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},  # beyond it some are forgotten, and with them what they limit
    },
    # In the memory of each process: what was drawn for one person a moment ago, for the next who asks for the same.
    "near": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "near",
        "OPTIONS": {"MAX_ENTRIES": 5_000},
    },
}

# -- the bell ---------------------------------------------------------------------------------------------------------
BROKER_SOCKET = read.socket_path(DATA_DIR, "broker.sock")
REDIS_URL = read.server_url("REDIS_URL", ("redis", "rediss"))
CELERY_BROKER_URL = REDIS_URL or f"redis+socket://{quote(str(BROKER_SOCKET))}"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 120,
    "socket_connect_timeout": 2,
    "socket_timeout": 5,
    "socket_keepalive": True,
}
CELERY_TASK_PUBLISH_RETRY = False  # a nudge that cannot be sent is not missed: the next tick finds the row
CELERY_TASK_IGNORE_RESULT = True
CELERY_DB_REUSE_MAX = 1000  # tasks; which connections are still good is looked at before each, see celery.py
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_TIME_LIMIT = 420
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# Downloads have a queue of their own: they may take minutes, and nothing that has a time to keep stands behind them.
# Mails and webhooks go there, too: a receiver that is slow to answer keeps no submission waiting.
# A worker takes from both unless it is told otherwise; see programs.py.
CELERY_TASK_DEFAULT_QUEUE = "dailies"
CELERY_TASK_QUEUES = [Queue(name, routing_key=name) for name in ("dailies", "fetches")]
CELERY_TASK_ROUTES = {f"generations.tasks.{name}": {"queue": "fetches"} for name in ("fetch", "deliver", "empty_bin")}
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "veevid_site.beat:LivingScheduler"
CELERY_BEAT_SCHEDULE = {
    "tick": {"task": "generations.tasks.tick", "schedule": 1.0, "options": {"expires": 3}},
    "compare": {"task": "generations.tasks.compare", "schedule": 30.0, "options": {"expires": 20}},
    "clear": {"task": "generations.tasks.clear", "schedule": 600.0, "options": {"expires": 300}},
    "tell": {"task": "generations.tasks.tell", "schedule": 10.0, "options": {"expires": 10}},
    "forget": {"task": "generations.tasks.forget", "schedule": 3600.0, "options": {"expires": 600}},
    "empty_bin": {"task": "generations.tasks.empty_bin", "schedule": 300.0, "options": {"expires": 120}},
}

# -- files ------------------------------------------------------------------------------------------------------------
# In DATA_DIR, or in a bucket that speaks S3. Credentials come by boto's own names (AWS_ACCESS_KEY_ID and so on).
MEDIA_ROOT = DATA_DIR / "media"
S3_BUCKET = read.matching(
    "S3_BUCKET", r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "the name of a bucket, such as dailies-clips"
)
S3_ENDPOINT_URL = read.http_url("S3_ENDPOINT_URL")
S3_REGION = read.matching("S3_REGION", r"[a-z0-9-]{1,40}", "the name of a region, such as eu-central-1")
S3_DIRECT_DOWNLOADS = read.switch("S3_DIRECT_DOWNLOADS", False)
if (S3_ENDPOINT_URL or S3_REGION or S3_DIRECT_DOWNLOADS) and not S3_BUCKET:
    raise ImproperlyConfigured("S3_BUCKET: is needed, too, when another setting that begins with S3_ is set")
BIN_DAYS = 30  # what people delete can be taken back for so long
DISK_FLOOR = 500 * 1024**2  # bytes; with less room than this nothing new is sent
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
TESTING = "pytest" in sys.modules
STORAGES = {
    "default": {
        "BACKEND": "generations.bucket.Bucket",
        "OPTIONS": {
            "bucket_name": S3_BUCKET,
            "endpoint_url": S3_ENDPOINT_URL or None,
            "region_name": S3_REGION or None,
        },
    }
    if S3_BUCKET
    else {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG or TESTING
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# -- people -----------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "generations.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_ADAPTER = "generations.views.gate.ClosedDoor"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = None  # the sign-in page asks
ACCOUNT_LOGOUT_ON_GET = False
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "gallery"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"

MFA_ADAPTER = "generations.views.signin.SecondFactors"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "Dailies"
MFA_TOTP_TOLERANCE = 1  # a clock that is half a minute off
MFA_ALLOW_UNVERIFIED_EMAIL = True  # addresses are not verified here: an admin or an invitation lets people in
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not SECURE  # http://localhost, to try it out

SOCIALACCOUNT_ADAPTER = "generations.views.signin.CompanyDoor"
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "company",
                "name": OIDC_NAME,
                "client_id": read.text("OIDC_CLIENT_ID"),
                "secret": read.text("OIDC_CLIENT_SECRET"),
                "settings": {"server_url": OIDC_ISSUER},
            }
        ]
        if OIDC
        else [],
    }
}

# -- webhooks ---------------------------------------------------------------------------------------------------------
WEBHOOK_HOSTS = read.places("WEBHOOK_HOSTS")

# -- mail -------------------------------------------------------------------------------------------------------------
vars().update(read.email("EMAIL_URL"))
MAIL = bool(read.text("EMAIL_URL"))  # what cannot be sent is not offered
DEFAULT_FROM_EMAIL = SERVER_EMAIL = read.text("EMAIL_FROM") or "dailies@localhost"
EMAIL_TIMEOUT = 10
if MAIL and not read.text("EMAIL_FROM"):
    raise ImproperlyConfigured("EMAIL_FROM: is needed, too, when EMAIL_URL is set")

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
NUMBER_GROUPING = 3  # for intcomma; other numbers in templates (ids, sizes) stay as they are
THOUSAND_SEPARATOR = ","

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"tokens": {"()": "veevid_site.logs.HideTokens"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["tokens"]}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": ["console"], "level": "INFO", "propagate": False},
        # a line for each nudge, several a second, would hide everything else
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.worker.request": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
    },
}
