"""The broker's class cache fits the Java runtime and the jars of this environment."""

import subprocess

from crmstream.stack.jars import CACHE_FILE, java_binary, kafka_class_path
from crmstream.stack.jvm_cache import make_cache
from crmstream.stack.parts import JAVA_OPTIONS


def test_the_cache_is_made_once() -> None:
    assert not make_cache(), "`make env` has made it"


def test_java_accepts_it() -> None:
    """With this mode Java refuses to start if the cache is another runtime's or belongs to other jars."""
    insist = ["-XX:AOTMode=on", f"-XX:AOTCache={CACHE_FILE}", "-cp", kafka_class_path()]
    done = subprocess.run(
        [java_binary(), *JAVA_OPTIONS, *insist, "kafka.Kafka", "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4.1.0" in done.stdout
