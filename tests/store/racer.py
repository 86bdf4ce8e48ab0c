"""One of several processes that do the same at the same moment: racer.py FOLDER NUMBER WHAT URL ARGUMENTS."""

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from components.store import Store  # noqa: E402
from components.store.lease import lease  # noqa: E402


def create(store: Store, me: str, count: str) -> list[bool]:
    return [store.create(f"race/{i}", me.encode()) for i in range(int(count))]


def count(store: Store, me: str, times: str) -> None:
    """Adds to a number in a way that loses counts unless it is done one at a time."""
    for _ in range(int(times)):
        with lease(store, "counter", poll=0.01, expires=20):
            value = store.read_json("count.json") if store.exists("count.json") else 0
            time.sleep(0.01)
            store.write_json("count.json", value + 1)


def hold(store: Store, me: str, name: str) -> None:
    with lease(store, name, poll=0.05, expires=1.5):
        print("held", flush=True)
        time.sleep(60)


def write_half(store: Store, me: str, rel: str) -> None:
    """Dies in the middle of a local write."""

    def half(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    Path.write_bytes = half  # type: ignore[assignment,method-assign]
    store.write_bytes(rel, b"new" * 1000)


def write_much(store: Store, me: str, rel: str) -> None:
    print("writing", flush=True)
    store.write_bytes(rel, b"n" * (48 << 20))


if __name__ == "__main__":
    folder, me, what, url, *arguments = sys.argv[1:]
    store = Store(url)
    store.exists("nothing")  # imports and connections come before the race
    Path(folder, f"ready-{me}").touch()
    while not Path(folder, "go").exists():
        time.sleep(0.001)
    print(globals()[what](store, me, *arguments), flush=True)
