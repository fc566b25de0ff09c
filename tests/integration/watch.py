"""A real Prometheus and a real Alertmanager over running processes, as they are shipped, and somebody on call.

What is rewritten of the shipped files: where the processes answer, where Alertmanager is, whom it tells; and, for a
test that has no minutes, every duration divided by one factor. Ages that a rule allows stay: the gateway looks at them
no more often than ever.
"""

import re
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import orjson
import yaml

from gateway.dev_kafka.config import free_port
from tests.integration.process import ROOT, Serve, eventually

DURATION = re.compile(r"\b(\d+)(s|m|h)\b")
UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Notification:
    """What somebody on call gets."""

    at: float
    alert: str
    status: str
    """firing or resolved."""


@dataclass(slots=True)
class Watch:
    """Leaving the context ends the programs."""

    folder: Path
    processes: Mapping[str, Serve]
    """Roles -> process."""
    factor: float = 1.0
    pager: list[Notification] = field(default_factory=list)
    url: str = ""
    """Of Prometheus."""
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "Watch":
        self.folder.mkdir()
        on_call = ThreadingHTTPServer(("127.0.0.1", 0), partial(_OnCall, self.pager))
        on_call.daemon_threads = True
        threading.Thread(target=on_call.serve_forever, name="on-call", daemon=True).start()
        self._stack.callback(on_call.server_close)
        self._stack.callback(on_call.shutdown)
        prometheus, alertmanager = free_port(), free_port()
        self.url = f"http://127.0.0.1:{prometheus}"
        self._write(alertmanager, on_call.server_address[1])
        try:
            self._run("prometheus-alertmanager", alertmanager, "--storage.path=alerts", "--cluster.listen-address=")
            self._run("prometheus", prometheus, "--storage.tsdb.path=series")
            assert eventually(self._sees_everybody, 30, 0.1), "Prometheus does not see every process"
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def until(self, alert: str, status: str, seconds: float) -> bool:
        """Waits for a notification."""
        return eventually(lambda: any(n.alert == alert and n.status == status for n in self.pager), seconds, 0.1)

    def ever_fired(self) -> set[str]:
        """Alerts that fired at all, also those that somebody on call is spared."""
        answer = httpx.get(
            f"{self.url}/api/v1/query",
            params={"query": 'count by (alertname) (max_over_time(ALERTS{alertstate="firing"}[1h]))'},
            trust_env=False,
        )
        return {one["metric"]["alertname"] for one in answer.raise_for_status().json()["data"]["result"]}

    def _sees_everybody(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/api/v1/query", params={"query": 'up{job="origin"} == 1'}, trust_env=False)
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and len(answer.json()["data"]["result"]) == len(self.processes)

    def _run(self, program: str, port: int, *options: str) -> None:
        command = [program, f"--config.file={program}.yml", f"--web.listen-address=127.0.0.1:{port}", *options]
        with (self.folder / f"{program}.log").open("ab") as log:
            running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        self._stack.callback(running.wait, 20)
        self._stack.callback(running.terminate)

    def _write(self, alertmanager: int, on_call: int) -> None:
        config = _shipped("ops/compose/prometheus.yml")
        targets = [{"targets": [_address(one)], "labels": {"role": roles}} for roles, one in self.processes.items()]
        config["scrape_configs"][0]["static_configs"] = targets
        config["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{alertmanager}"]}]
        self._put("prometheus.yml", config)
        self._put("origin.rules.yml", _shipped("ops/alerts/origin.rules.yml"))
        config = _shipped("ops/alerts/alertmanager.yml")
        hook = {"url": f"http://127.0.0.1:{on_call}/", "send_resolved": True}
        config["receivers"][0]["webhook_configs"] = [hook]
        self._put("prometheus-alertmanager.yml", config)

    def _put(self, name: str, content: Any) -> None:
        (self.folder / name).write_text(yaml.safe_dump(content if self.factor == 1 else self._faster(content)))

    def _faster(self, content: Any) -> Any:
        if isinstance(content, dict):
            return {key: self._faster(value) for key, value in content.items()}
        if isinstance(content, list):
            return [self._faster(value) for value in content]
        if isinstance(content, str) and "//" not in content:
            return DURATION.sub(lambda m: f"{int(int(m[1]) * UNITS[m[2]] * 1000 / self.factor)}ms", content)
        return content


class _OnCall(BaseHTTPRequestHandler):
    """Somebody's pager."""

    def __init__(self, pager: list[Notification], *more: Any) -> None:
        self._pager = pager
        super().__init__(*more)

    def do_POST(self) -> None:
        """One notification of Alertmanager's."""
        told = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
        self._pager.append(Notification(time.monotonic(), told["groupLabels"]["alertname"], told["status"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def lines(process: Serve, *events: str) -> Sequence[Mapping[str, Any]]:
    """What a process said of these events, in order."""
    said = [orjson.loads(line) for line in process.said().splitlines() if line.startswith("{")]
    return [line for line in said if line["event"] in events]


def _address(process: Serve) -> str:
    """Where a process tells its metrics."""
    (listening,) = lines(process, "probes.listening")
    return f"127.0.0.1:{listening['port']}"


def _shipped(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))
