"""Which software the tests of ensembles put to the test: ours.

With `ENSEMBLE_SUBJECT=apache` it is Apache's: what a test asks of us, the original has to do, too.
"""

import os

from tests.ensembles import Software, apache, ours
from tests.java import java_classpath

IS_OURS = os.environ.get("ENSEMBLE_SUBJECT", "ours") != "apache"


def subject(*flags: str) -> Software:
    return ours(*flags) if IS_OURS else apache(java_classpath(), "-Xmx512m", *flags)
