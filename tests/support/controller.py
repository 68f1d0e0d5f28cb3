"""A Jenkins controller over HTTP, as its administrator's scripts use it."""

import json
from typing import Any

import requests


class Controller:
    """A controller.

    Args:
        url: Its address, with a slash at its end.
        secret: The secret with the password of ``admin``.
        session: How it is reached, where that takes more than the address.
    """

    def __init__(self, url: str, secret: str, session: requests.Session | None = None) -> None:
        self.url = url
        self._session = session or requests.Session()
        [self._session.auth] = json.loads(secret).items()

    def get(self, path: str) -> Any:
        """What a page of the API says."""
        answer = self._session.get(f"{self.url}{path}", timeout=30)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, data: str = "") -> requests.Response:
        """Send a request with its crumb."""
        crumb = self.get("crumbIssuer/api/json")
        answer = self._session.post(
            f"{self.url}{path}",
            data=data.encode(),
            headers={crumb["crumbRequestField"]: crumb["crumb"], "Content-Type": "application/xml"},
            timeout=30,
        )
        answer.raise_for_status()
        return answer

    def jobs(self) -> list[str]:
        """Names of all jobs."""
        return [job["name"] for job in self.get("api/json")["jobs"]]

    def make_job(self, name: str, label: str = "") -> None:
        """Make a job that does nothing, on an agent of that label if one is given."""
        where = f"<assignedNode>{label}</assignedNode>" if label else ""
        self.post(f"createItem?name={name}", f"<project>{where}</project>")

    def build(self, job: str, seconds: float) -> str:
        """Begin a build of so many seconds; returns its path."""
        return f"job/{job}/{self.post(f'job/{job}/build?seconds={seconds}').text.strip()}"

    def agent(self, build: str) -> str:
        """The name of the agent that a build runs on, or ran; empty where it waits for one."""
        found: str = self.get(f"{build}/api/json")["builtOn"]
        return found

    def log(self, build: str) -> str:
        """What a build has said."""
        return self._session.get(f"{self.url}{build}/consoleText", timeout=30).text

    def result(self, build: str) -> str | None:
        """How a build ended; None while it runs."""
        found: str | None = self.get(f"{build}/api/json")["result"]
        return found
