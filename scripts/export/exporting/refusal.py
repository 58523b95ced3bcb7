"""What stops an export."""

import tempfile


class Refused(Exception):
    """What stops the export, in one line for the user."""


def keep_log(text, problem):
    with tempfile.NamedTemporaryFile("w", prefix="torch-export-", suffix=".log", delete=False) as log:
        log.write(f"{text}\n{problem}\n")
    return log.name


def last_line(problem):
    return first_line(str(problem).strip().rpartition("\n")[2])


def first_line(problem):
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return (lines[0] if lines else type(problem).__name__)[:300]
