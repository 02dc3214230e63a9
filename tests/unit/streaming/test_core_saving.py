"""Machine code of several shapes is saved and loaded by several processes: each finds its own."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

from weir.streaming.core import jit
from weir.streaming.core.interpreted import INTERPRETED


class Cache:
    """Stands for Numba's cache of one function."""

    def __init__(self, folder: Path) -> None:
        self.cache_path, self.saved = str(folder), threading.Event()

    def save_overload(self, signature: object, code: object) -> None:
        del signature, code
        self.saved.set()


def test_code_is_saved_when_no_other_process_saves(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "code")
    jit._save_alone(cache)
    (tmp_path / "code").mkdir()
    with (tmp_path / "code" / jit.SAVING).open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        saving = threading.Thread(target=cache.save_overload, args=("signature", "code"))
        saving.start()
        assert not cache.saved.wait(0.2)
    saving.join(10)
    assert cache.saved.is_set()


def test_every_entry_point_saves_alone() -> None:
    from weir.streaming.core import passes  # noqa: PLC0415  (compiled code is loaded where it is asked for)

    compiled = [each for each in vars(passes).values() if hasattr(each, "_cache") and hasattr(each, "signatures")]
    cached = [each for each in compiled if type(each._cache).__name__ == "FunctionCache"]
    assert bool(cached) != INTERPRETED
    assert all(each._cache.save_overload.__name__ == "save_alone" for each in cached)


_NAMES = """
import sys
from numba import typeof
from numba.core.itanium_mangler import mangle_type
from weir.schemas.project import load_shipped
from weir.streaming.core.working_memory import build_memory, build_types
from weir.streaming.kernels import kernel_of
names = {}
for name in sys.argv[1:]:
    shape = kernel_of(load_shipped(name).stream).shape
    names[name] = [mangle_type(typeof(records)) for records in build_memory(build_types(shape))]
print(names["clicks"])
"""


def test_compiled_functions_have_one_name_in_every_process_whatever_came_before() -> None:
    alone, after = (
        subprocess.run([sys.executable, "-c", _NAMES, *streams], capture_output=True, text=True, check=True).stdout
        for streams in (["clicks"], ["transfers", "sessions", "clicks"])
    )
    assert alone == after
