"""What one job, one person and the plane as a whole may take."""

from datetime import timedelta
from typing import Final

ZNODES_MAX: Final = 100_000  # that one job looks at
BYTES_MAX: Final = 256 << 20  # of values, in one job
VALUE_BYTES_MAX: Final = 1_000_000  # of one znode: what a request to a server holds
FILE_BYTES_MAX: Final = 32 << 20  # of a file that is sent here
UNPACKED_BYTES_MAX: Final = 64 << 20  # of what is in it
SECONDS_MAX: Final = 3_600  # of one run; what is left is resumed by the person
OPEN_PER_PERSON_MAX: Final = 10  # jobs that have not ended
KEPT_PER_PERSON_MAX: Final = 200
FOLDER_BYTES_MAX: Final = 4 << 30  # of all jobs' files
KEPT_FOR: Final = timedelta(days=7)
ROWS_SHOWN: Final = 200  # of a dry run, and of what is in its way
ERRORS_KEPT: Final = 200
REFUSED_MAX: Final = 1_000  # steps in a row that are refused: then it stops
PATH_BYTES_MAX: Final = 4_096
DEPTH_MAX: Final = 500
ACL_ENTRIES_MAX: Final = 100
AT_ONCE_ZNODES: Final = 200  # steps of one transaction, and reads in flight
AT_ONCE_BYTES: Final = 400_000  # of their values and ACLs: a request holds 1 MiB
