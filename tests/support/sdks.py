"""The JavaScript SDKs that tests use, installed once by npm from a lock file that names no registry."""

import shutil
import subprocess
from pathlib import Path

SDKS = Path(__file__).parents[1] / "sdks"
_INSTALLED = SDKS / "node_modules" / ".package-lock.json"


def install() -> Path:
    """Install what tests/sdks/package-lock.json says, if it is not; gives the folder ``node_modules``."""
    lock = SDKS / "package-lock.json"
    if not _INSTALLED.exists() or _INSTALLED.stat().st_mtime < lock.stat().st_mtime:
        npm = shutil.which("npm")
        assert npm is not None, "these tests need npm (on Debian: apt-get install nodejs npm)"
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=SDKS, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        _INSTALLED.touch()
    return SDKS / "node_modules"
