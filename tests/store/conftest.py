import ast
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from components.store import Store


class Racers:
    """Processes that wait for each other and then all do the same."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.processes: list[subprocess.Popen] = []

    def start(self, number: int, what: str, url: str, *arguments: object) -> list[subprocess.Popen]:
        racer = [sys.executable, str(Path(__file__).with_name("racer.py")), str(self.folder)]
        for i in range(number):
            command = [*racer, str(i), what, url, *map(str, arguments)]
            self.processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        until = time.monotonic() + 60
        while len(list(self.folder.glob("ready-*"))) < number and time.monotonic() < until:
            time.sleep(0.01)
        (self.folder / "go").touch()
        return self.processes

    def results(self) -> list:
        outputs = [process.communicate(timeout=60)[0] for process in self.processes]
        assert all(process.returncode == 0 for process in self.processes)
        return [ast.literal_eval(output.strip().splitlines()[-1]) for output in outputs]

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture
def racers(tmp_path):
    folder = tmp_path / "racers"
    folder.mkdir()
    result = Racers(folder)
    yield result
    result.end()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def local(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def memory() -> Store:
    return Store(f"memory://{uuid.uuid4().hex}")


@pytest.fixture(params=["local", "memory", pytest.param("s3", marks=pytest.mark.s3)])
def store(request) -> Store:
    """A store of every kind."""
    if request.param != "s3":
        return request.getfixturevalue(request.param)
    return Store(f"s3://{request.getfixturevalue('bucket')}/some/folder")
