"""WordPress end to end on the local cloud: served, published to, killed, grown, destroyed, made again, moved.

Each test leaves the site with two healthy machines.
"""

import base64
import hashlib
import json
import os
import socket
import ssl
import time
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as seen
from selenium.webdriver.support.ui import WebDriverWait

from localcloud.certificates import Authority
from support.browser import Window, chromium, screenshot
from support.figures import record
from support.install_at_boot import user_data
from support.load import SteadyLoad
from support.picture import png
from support.site import LOGS, Site
from support.stack_trials import StackTrials
from support.waiting import until

TITLE = "A site by stackyard"
HEALTH = "curl -s -o /dev/null -m 2 -w '%{http_code}' http://127.0.0.1/healthz"


def test_two_machines_in_two_zones(healthy_site: Site) -> None:
    instances = healthy_site.group()["Instances"]
    zones = {instance["AvailabilityZone"] for instance in instances}
    record("wordpress", machines=len(instances), zones=len(zones))
    assert len(instances) == 2
    assert len(zones) == 2
    assert TITLE in requests.get(healthy_site.url, timeout=15).text


def test_a_person_publishes_a_post_with_a_picture(healthy_site: Site, tmp_path: Path) -> None:
    """Log in, upload a picture, write a post with it, publish; then look at it from everywhere."""
    site = healthy_site
    admin = json.loads(site.secret("admin"))
    picture = tmp_path / "yard.png"
    picture.write_bytes(png(320, 200))
    with chromium() as window:
        wait = WebDriverWait(window, 60)
        log_in(window, wait, site.url, admin)

        window.get(f"{site.url}wp-admin/media-new.php?browser-uploader")
        window.find_element(By.ID, "async-upload").send_keys(str(picture))
        window.find_element(By.ID, "html-upload").click()
        wait.until(seen.url_contains("upload.php"))
        window.get(f"{site.url}wp-admin/upload.php?mode=list")
        link = wait.until(
            seen.presence_of_element_located((By.CSS_SELECTOR, "a[data-clipboard-text], .copy-attachment-url"))
        )
        image = link.get_attribute("data-clipboard-text") or ""
        assert image.startswith(f"{site.url}wp-content/uploads/"), image

        published = publish(window, wait, site.url, image)
        assert published.startswith(site.url), published
        window.get(published)
        shown = window.find_element(By.CSS_SELECTOR, "img[alt=yard]")
        until(
            "the picture in the browser",
            lambda: window.execute_script("return arguments[0].naturalWidth", shown) == 320,
            20,
        )
        screenshot(window, "wordpress-post")

    path, image_path = published[len(site.url) :], image[len(site.url) :]
    assert "The yard in autumn" in requests.get(published, timeout=15).text
    assert requests.get(image, timeout=15).content == picture.read_bytes()
    host = site.url.removeprefix("http://").rstrip("/")
    for machine in site.in_service():
        page = site.shell(machine, f"curl -sf -H 'Host: {host}' 'http://127.0.0.1/{path}'")
        assert "The yard in autumn" in page
        site.shell(
            machine,
            f"curl -sf -H 'Host: {host}' 'http://127.0.0.1/{image_path}' -o /tmp/yard.png && test -s /tmp/yard.png",
        )


def log_in(window: Window, wait: WebDriverWait, url: str, admin: dict[str, str]) -> None:
    """Log in as a person does, and wait for the administrator's bar."""
    window.get(f"{url}wp-login.php")
    window.find_element(By.ID, "user_login").send_keys(admin["username"])
    window.find_element(By.ID, "user_pass").send_keys(admin["password"])
    window.find_element(By.ID, "wp-submit").click()
    wait.until(seen.presence_of_element_located((By.ID, "wpadminbar")))


def publish(window: Window, wait: WebDriverWait, url: str, image: str) -> str:
    """Publish a post from the editor's page, by the call that its button makes; returns the post's address."""
    window.get(f"{url}wp-admin/post-new.php")
    wait.until(lambda shown: shown.execute_script("return !!(window.wp && wp.apiFetch)"))
    window.set_script_timeout(60)
    address: str = window.call(
        """
        const [title, content, done] = arguments;
        wp.apiFetch({path: '/wp/v2/posts', method: 'POST', data: {title, content, status: 'publish'}})
          .then(post => done(post.link), error => done('failed: ' + error.message));
        """,
        "The yard in autumn",
        f'<p>Crates, stacked.</p><img src="{image}" alt="yard">',
    )
    return address


def test_a_killed_machine_is_replaced(healthy_site: Site) -> None:
    """Only requests that were under way on the machine may fail."""
    site = healthy_site
    victim = site.in_service()[0]
    with SteadyLoad(site.url, TITLE) as load:
        until("fifty requests", lambda: load.total > 50, 60)
        site.localcloud("kill", victim)
        killed = time.monotonic()
        heal = site.wait_healthy(without={victim})
        until("fifty more requests", lambda n=load.total: load.total > n + 50, 60)
    record("wordpress", heal_s=heal, failed_requests_kill=load.failed, total_requests_kill=load.total)
    late = [failure for failure in load.failures if failure.began > killed]
    assert not late, load.reasons()
    assert load.failed <= load.threads, load.reasons()


@pytest.mark.long
def test_a_machine_whose_nginx_stopped_is_replaced(healthy_site: Site) -> None:
    site = healthy_site
    victim = site.in_service()[0]
    with SteadyLoad(site.url, TITLE) as load:
        until("fifty requests", lambda: load.total > 50, 60)
        site.shell(victim, "systemctl stop nginx")
        site.wait_healthy(without={victim})
    record("wordpress", failed_requests_stopped_nginx=load.failed)
    assert load.failed == 0, load.reasons()


@pytest.mark.long
def test_the_group_grows_and_shrinks(healthy_site: Site) -> None:
    """2, 4, 2 machines; and the boot of a golden machine is timed on the way."""
    site = healthy_site
    scaling = site.client("autoscaling")
    with SteadyLoad(site.url, TITLE) as load:
        until("fifty requests", lambda: load.total > 50, 60)
        scaling.set_desired_capacity(AutoScalingGroupName=site.name, DesiredCapacity=4)
        site.wait_healthy(4)
        scaling.set_desired_capacity(AutoScalingGroupName=site.name, DesiredCapacity=2)
        site.wait_healthy(2)
    record("wordpress", failed_requests_scale=load.failed, total_requests_scale=load.total)
    assert load.failed == 0, load.reasons()


@pytest.mark.skipif(not os.environ.get("STACKYARD_SOAK"), reason="installs a whole machine; set STACKYARD_SOAK")
def test_a_golden_machine_is_sooner_healthy_than_one_that_installs_at_boot(healthy_site: Site) -> None:
    """Both from RunInstances to the first healthy answer, outside the group, with the same boot document."""
    site = healthy_site
    golden = seconds_to_healthy(site)
    data = site.client("ec2").describe_launch_template_versions(LaunchTemplateName=site.name, Versions=["$Default"])
    document = base64.b64decode(data["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"]).decode()
    debian = site.client("ec2").describe_images(
        Owners=["136693071363"], Filters=[{"Name": "name", "Values": ["debian-13-amd64-*"]}]
    )["Images"][0]["ImageId"]
    script = user_data(site.client("s3"), site.demo.settings.region, document, site.variables)
    installed = seconds_to_healthy(site, ImageId=debian, UserData=script)
    record(
        "wordpress",
        boot_to_healthy_golden_s=golden,
        boot_to_healthy_install_at_boot_s=installed,
        boot_times_faster_golden=installed / golden,
    )
    assert installed >= 5 * golden


def seconds_to_healthy(site: Site, **options: str) -> float:
    """Launch a machine by the stack's template, wait for its first healthy answer, and end it."""
    ec2 = site.client("ec2")
    began = time.monotonic()
    machine = ec2.run_instances(
        LaunchTemplate={"LaunchTemplateName": site.name},
        SubnetId=site.group()["VPCZoneIdentifier"].split(",")[0],
        MinCount=1,
        MaxCount=1,
        **options,
    )["Instances"][0]["InstanceId"]
    try:
        until(
            f"a healthy answer of {machine}",
            lambda: "200" in site.shell(machine, HEALTH, check=False),
            600,
            every=0.1,
        )
        return time.monotonic() - began
    finally:
        (LOGS / f"boot-{machine}.log").write_text(site.shell(machine, "journalctl --no-pager -b", check=False))
        ec2.terminate_instances(InstanceIds=[machine])


@pytest.mark.long
def test_the_site_comes_back_after_its_database(healthy_site: Site) -> None:
    site = healthy_site
    posts = published_posts(site)
    assert posts
    site.client("rds").reboot_db_instance(DBInstanceIdentifier=site.name)
    until(
        "the database",
        lambda: (
            site.client("rds").describe_db_instances(DBInstanceIdentifier=site.name)["DBInstances"][0][
                "DBInstanceStatus"
            ]
            == "available"
        ),
        120,
    )
    until("the same posts", lambda: published_posts(site) == posts, 120)
    site.wait_healthy()


def published_posts(site: Site) -> dict[int, str]:
    """Texts of the published posts by number; none while the site does not answer."""
    answer = requests.get(f"{site.url}wp-json/wp/v2/posts", timeout=30)
    return {post["id"]: post["content"]["rendered"] for post in answer.json()} if answer.ok else {}


class TestStack(StackTrials):
    """What every stack must pass."""


@pytest.mark.long
def test_the_site_moves_to_a_domain_over_https(healthy_site: Site, tmp_path: Path) -> None:
    """Last, because the site has another address afterwards."""
    site, domain = healthy_site, "www.yard.example"
    authority = Authority(tmp_path / "ca", "A test's authority")
    certificate, key, chain = authority.issue([domain])
    files = {"certificate_file": certificate, "certificate_key_file": key, "certificate_chain_file": chain}
    for name, pem in files.items():
        (tmp_path / name).write_bytes(pem)
    variables = {f"wordpress_stack_{name}": str(tmp_path / name) for name in files}
    variables |= {"wordpress_stack_https": True, "wordpress_stack_domain": domain, "wordpress_stack_site_url": ""}
    site.playbook("wordpress", **variables)
    site.wait_healthy()
    assert site.playbook("wordpress", **variables).changed == 0

    balancer = site.balancer_address()
    with (
        socket.create_connection((balancer, 443), timeout=15) as connection,
        ssl.create_default_context(cafile=authority.path).wrap_socket(connection, server_hostname=domain) as verified,
    ):
        assert verified.version() in ("TLSv1.2", "TLSv1.3")
    redirect = requests.get(f"http://{balancer}/", headers={"Host": domain}, timeout=15, allow_redirects=False)
    assert (redirect.status_code, redirect.headers["Location"]) == (301, f"https://{domain}:443/")

    # Chromium has no switch to trust an authority, only one to trust a key, named by its SHA-256.
    public = x509.load_pem_x509_certificate(certificate).public_key()
    pin = hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    with chromium(
        f"--host-resolver-rules=MAP {domain} {balancer}",
        f"--ignore-certificate-errors-spki-list={base64.b64encode(pin).decode()}",
    ) as window:
        log_in(window, WebDriverWait(window, 60), f"https://{domain}/", json.loads(site.secret("admin")))
        assert window.current_url.startswith(f"https://{domain}/wp-admin/")
        cookies = [cookie for cookie in window.get_cookies() if cookie["name"].startswith("wordpress_")]
        assert cookies
        assert all(cookie["secure"] for cookie in cookies if "test_cookie" not in cookie["name"])
        window.get(f"https://{domain}/")
        assert TITLE in window.title
        assert f"http://{domain}" not in window.find_element(By.TAG_NAME, "head").get_attribute("innerHTML")
        screenshot(window, "wordpress-https")
