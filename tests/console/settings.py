"""The console's settings over a folder of its own, and a hasher that takes no time."""

import os
import tempfile

os.environ["ENSEMBLE_VAR"] = tempfile.mkdtemp(prefix="ensemble-console-")

from console.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALLOWED_HOSTS = ["testserver", "127.0.0.1"]

STATIC_ROOT.mkdir()  # noqa: F405  # empty: the serving of static files is the browser tests' matter

if OBSERVED_DATABASE == "default":  # noqa: F405  # PostgreSQL: tests of both speak of one
    DATABASES["observed"] = {**DATABASES["default"], "TEST": {"MIRROR": "default"}}  # noqa: F405
