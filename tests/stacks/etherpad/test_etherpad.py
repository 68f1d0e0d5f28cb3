"""Etherpad end to end on the local cloud: edited, changed over, killed, without its database, destroyed, made again.

It is the real Etherpad 1.8.14. ``make soak`` raises the number of edits.
"""

import json
import os
import secrets
import subprocess
import tarfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from localcloud.database_engines import DATA
from support.browser import chromium, screenshot
from support.figures import record
from support.site import Site
from support.site_images import Images, serving_images
from support.stack_trials import StackTrials
from support.typists import Typists
from support.waiting import until

EDITS = 2000 if os.environ.get("STACKYARD_SOAK") else 200
CACHE = Path(os.environ.get("STACKYARD_CACHE", Path.home() / ".cache/stackyard")) / "etherpad"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Etherpad's code, for the people who type: the same archive as the image is baked with."""
    folder = tmp_path_factory.mktemp("etherpad")
    archive = json.loads((CACHE / "etherpad-1.8.14.json").read_text())["path"]
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / "etherpad-1.8.14" / "src"


def in_pad(window: WebDriver) -> Any:
    """Go into the frame that a pad is edited in; returns the body."""
    window.switch_to.default_content()
    for frame in ("ace_outer", "ace_inner"):
        [found] = until(f"the frame {frame}", lambda name=frame: window.find_elements(By.NAME, name), 30)
        window.switch_to.frame(found)
    [body] = until("the pad", lambda: window.find_elements(By.ID, "innerdocbody"), 30)
    return body


def test_how_soon_a_machine_is_healthy(healthy_site: Site) -> None:
    record("etherpad", boot_to_healthy_golden_s=healthy_site.boot_seconds())


def test_two_people_see_each_other_s_text_and_colours(healthy_site: Site) -> None:
    address = f"{healthy_site.url}p/together-{secrets.token_hex(3)}"
    with chromium() as one, chromium() as other:
        for window in (one, other):
            window.get(address)
        in_pad(one).send_keys(Keys.END, " Crates, stacked.")
        until("the other's view", lambda: "Crates, stacked." in in_pad(other).text, 30)
        in_pad(other).send_keys(Keys.END, " And counted.")
        until("the first's view", lambda: "And counted." in in_pad(one).text, 30)
        authors = {
            word
            for span in in_pad(one).find_elements(By.CSS_SELECTOR, "span[class*=author-]")
            for word in (span.get_attribute("class") or "").split()
            if word.startswith("author-")
        }
        assert len(authors) == 2
        colours = {
            in_pad(one).find_element(By.CSS_SELECTOR, f"span.{author}").value_of_css_property("background-color")
            for author in authors
        }
        assert len(colours) == 2
        one.switch_to.default_content()
        screenshot(one, "etherpad-two-people")


@dataclass
class Writers:
    """Which machines have connections to the database, looked at ten times a second.

    Attributes:
        site: The site.
        together: The sets of more than one machine that were seen at once.
    """

    site: Site
    together: list[set[str]] = field(default_factory=list)
    looks: int = 0
    failure: Exception | None = None

    def __enter__(self) -> "Writers":
        [database] = [entry["name"] for entry in self.site.containers() if entry["kind"] == "database"]
        self._database = database
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()
        # One that stopped looking has seen nothing, which proves nothing.
        assert self.failure is None, self.failure

    def _watch(self) -> None:
        question = "select distinct substring_index(host, ':', 1) from processlist where user like 'etherpad%'"
        client = f"mariadb --no-defaults --socket={DATA}/mariadb.sock --user=root"
        try:
            while not self._stop.wait(0.1):
                hosts = set(self.site.shell(self._database, f'{client} -N information_schema -e "{question}"').split())
                self.looks += 1
                if len(hosts) > 1:
                    self.together.append(hosts)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            self.failure = error


def change_over(site: Site, source: Path, pad: str, **variables: Any) -> tuple[Typists, Writers]:
    """Replace the machine while four people type, and let them type until the edits are enough."""
    before = set(site.in_service())
    with Writers(site) as writers, Typists(source, site.url, pad) as typists:
        time.sleep(EDITS / 30)
        site.playbook("etherpad", **variables)
        site.wait_healthy(without=before)
        time.sleep(EDITS / 10)
    return typists, writers


def test_no_edit_is_lost_when_the_image_is_changed(healthy_site: Site, images: Images, source: Path) -> None:
    site, image = healthy_site, images.after("true")
    typists, writers = change_over(site, source, "changed", etherpad_stack_image_id=image)
    assert serving_images(site) == {image}
    record(
        "etherpad",
        edits_sent=typists.sent,
        edits_lost_update=len(typists.lost),
        longest_silence_update_s=typists.longest_silence,
        reconnections_update=sum(person["reconnections"] for person in typists.seen),
    )
    assert typists.sent >= EDITS, typists.seen
    assert len(typists.accepted) >= EDITS / 2, typists.seen
    assert typists.lost == []
    assert typists.disordered == []
    assert typists.trouble == []
    assert writers.looks > 20
    assert writers.together == []
    # All of them came back by themselves.
    assert all(person["accepted"][-1][1] > time.time() - 60 for person in typists.seen)
    site.playbook("etherpad")


@pytest.mark.long
def test_without_the_lease_two_machines_write(healthy_site: Site, source: Path) -> None:
    """The trial above proves something only if it notices this."""
    site = healthy_site
    _, writers = change_over(site, source, "unleased", etherpad_stack_lease=False)
    record("etherpad", violations_without_lease=len(writers.together))
    assert writers.together
    site.playbook("etherpad")
    site.wait_healthy()


@pytest.mark.long
def test_a_machine_that_fails_gives_the_lease_back(healthy_site: Site, source: Path) -> None:
    """The new machine takes the lease and finds no database; the old one goes on."""
    site = healthy_site
    [machine] = site.in_service()
    with Typists(source, site.url, "failed") as typists:
        time.sleep(5)
        failed = site.playbook("etherpad", check=False, etherpad_database_name="nowhere", etherpad_start_seconds=10)
        until("good health", lambda: health(site, machine) == 200, 60)
        time.sleep(15)
    assert failed.status != 0
    assert "rolled back" in failed.output
    site.wait_healthy()
    assert site.in_service() == [machine]
    record("etherpad", edits_lost_rollback=len(typists.lost), longest_silence_rollback_s=typists.longest_silence)
    assert typists.lost == []
    assert typists.disordered == []
    assert all(person["accepted"][-1][1] > time.time() - 60 for person in typists.seen)
    site.playbook("etherpad")


@pytest.mark.long
def test_a_machine_is_configured_in_place(healthy_site: Site) -> None:
    """With the version and the plug-ins of its image, which no inventory names."""
    site = healthy_site
    [machine] = site.in_service()
    for title in ("In place", ""):
        given = {"etherpad_title": title} if title else {}
        site.playbook("configure", "-l", machine, **given)
        site.wait_healthy()
        assert site.in_service() == [machine]
        page = requests.get(f"{site.url}p/in-place", timeout=15).text
        assert ("In place" in page) == bool(title)


def test_a_killed_machine_is_replaced(healthy_site: Site, source: Path) -> None:
    site = healthy_site
    [victim] = site.in_service()
    with Typists(source, site.url, "killed") as typists:
        time.sleep(10)
        site.localcloud("kill", victim)
        heal = site.wait_healthy(without={victim}, seconds=300)
        time.sleep(20)
    record("etherpad", heal_s=heal, edits_lost_kill=len(typists.lost), longest_silence_kill_s=typists.longest_silence)
    assert typists.lost == []
    assert all(person["accepted"][-1][1] > time.time() - 60 for person in typists.seen)


def health(site: Site, machine: str) -> int:
    """The status of a machine's health page, as the load balancer's check sees it."""
    answer = site.shell(
        machine, "curl -s -o /dev/null -m 8 -w '%{http_code}' http://127.0.0.1:9001/healthz", check=False
    )
    return int(answer or 0)


@pytest.mark.long
def test_a_database_that_is_away_for_a_while_costs_no_machine(healthy_site: Site, source: Path) -> None:
    site = healthy_site
    [machine] = site.in_service()
    [database] = [entry["name"] for entry in site.containers() if entry["kind"] == "database"]
    site.podman("pause", database)
    try:
        until("bad health", lambda: health(site, machine) == 503, 30)
        time.sleep(30)
    finally:
        site.podman("unpause", database)
    until("good health", lambda: health(site, machine) == 200, 60)
    site.wait_healthy()
    assert site.in_service() == [machine]
    with Typists(source, site.url, "afterwards", people=1) as typists:
        time.sleep(8)
    assert len(typists.accepted) > 3
    assert typists.lost == []


def test_api_needs_its_key(healthy_site: Site) -> None:
    key = json.loads(healthy_site.secret("keys"))["api"]

    def call(function: str, **given: str) -> dict[str, Any]:
        answer: dict[str, Any] = requests.get(
            f"{healthy_site.url}api/1.2.15/{function}", params=given, timeout=15
        ).json()
        return answer

    assert call("createPad", apikey="wrong", padID="by-api")["code"] == 4
    made = call("createPad", apikey=key, padID="by-api", text="Made by the API")
    assert made["code"] == 0, made
    for kind in ("txt", "html"):
        exported = requests.get(f"{healthy_site.url}p/by-api/export/{kind}", timeout=15)
        assert exported.status_code == 200
        assert "Made by the API" in exported.text


def test_history_is_thrown_away_only_where_etherpad_can(healthy_site: Site) -> None:
    refused = healthy_site.playbook("etherpad_pads_compact", check=False, etherpad_pads_older_than_days=365)
    assert refused.status != 0
    assert "has version 1.2.15 of the API and cannot throw history away" in refused.output


def test_admin_page_needs_its_password_and_tells_version_and_plugin(healthy_site: Site) -> None:
    site = healthy_site
    assert requests.get(f"{site.url}admin/plugins/info", timeout=15).status_code == 401
    [(name, password)] = json.loads(site.secret("admin")).items()
    page = requests.get(f"{site.url}admin/plugins/info", auth=(name, password), timeout=15)
    assert page.status_code == 200
    assert "1.8.14" in page.text
    assert "ep_headings2" in page.text


class TestStack(StackTrials):
    """What every stack must pass."""
