"""Which pages of a program may be given back, and that it still works then."""

import sys

import pydantic_core
import pytest

from crmstream.stack.program_pages import clean_ranges, forget

SMAPS = """\
1000-3000 r-xp 00000000 08:01 1 /opt/_chdb.abi3.so
Rss: 8 kB
Anonymous:             0 kB
3000-4000 r--p 00002000 08:01 1 /opt/_chdb.abi3.so
Anonymous:             4 kB
4000-5000 rw-p 00003000 08:01 1 /opt/_chdb.abi3.so
Anonymous:             0 kB
5000-6000 r-xp 00000000 08:01 2 /opt/_chdb/libother.so
Anonymous:             0 kB
6000-7000 r--p 00000000 00:00 0
Anonymous:             0 kB
8000-9000 r--p 00000000 08:01 1 /opt/_chdb.abi3.so (deleted)
Anonymous:             0 kB
"""


def test_only_unchanged_read_only_pages_of_the_library_are_given_back() -> None:
    assert list(clean_ranges(SMAPS.splitlines(), "_chdb.")) == [(0x1000, 0x2000), (0x8000, 0x1000)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says which pages are clean")
def test_a_library_works_without_the_pages_that_it_had() -> None:
    forget("_pydantic_core")
    assert pydantic_core.from_json(b'{"a": [1, 2.5, "x"]}') == {"a": [1, 2.5, "x"]}


def test_a_library_that_is_not_there_is_nothing() -> None:
    forget("no-such-library")
