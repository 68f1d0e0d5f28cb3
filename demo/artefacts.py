"""Where an image's contents come from when the demo bakes it.

An operator without a way to upstream's site keeps the archive in a bucket and names it by the role's variables; the
demo does the same, in a bucket of the local cloud. Where upstream answers, the archive in the bucket is upstream's.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import requests
import yaml

from demo.phases import REPOSITORY, read

BUCKET = "stackyard-artefacts"


def wordpress(s3: Any, region: str, suite: str = "trixie") -> dict[str, Any]:
    """Put WordPress' archive into the bucket.

    Args:
        s3: boto3 client of S3.
        region: The bucket's region.
        suite: Debian suite whose version of WordPress is taken.

    Returns:
        The role variables that name the archive.
    """
    archive = json.loads(read("tools/wordpress_repack", suite))
    if archive["source"] != "upstream":
        print(
            f"   wordpress.org cannot be reached: taking Debian's repack of WordPress {archive['version']}", flush=True
        )
    url = upload(s3, region, Path(archive["path"]))
    return {
        "wordpress_version": archive["version"],
        "wordpress_archive_url": url,
        "wordpress_archive_checksum": f"sha256:{archive['sha256']}",
        **database_authority(s3.meta.endpoint_url, "wordpress"),
    }


def etherpad(s3: Any, region: str, suite: str = "trixie") -> dict[str, Any]:
    """Put Etherpad's archive and a plug-in into the bucket, the same for each suite; otherwise as ``wordpress``.

    Node is Debian's own, which differs.
    """
    archive, plugin = (json.loads(line) for line in read("tools/etherpad_build").splitlines())
    print(f"   taking Etherpad {archive['version']} as npm has it, which needs no newer Node than Debian's", flush=True)
    return {
        "nodejs_version": {"bookworm": "18", "trixie": "20"}[suite],
        "etherpad_version": archive["version"],
        "etherpad_archive_url": upload(s3, region, Path(archive["path"])),
        "etherpad_archive_checksum": f"sha256:{archive['sha256']}",
        "etherpad_plugins": [
            {
                "name": plugin["name"],
                "version": plugin["version"],
                "url": upload(s3, region, Path(plugin["path"])),
                "checksum": f"sha256:{plugin['sha256']}",
            }
        ],
        **database_authority(s3.meta.endpoint_url, "etherpad"),
    }


# What is read at the start, and what agents need.
JENKINS_PLUGINS = ("configuration-as-code", "credentials", "ssh-credentials", "ssh-slaves", "ec2-fleet")


def jenkins(s3: Any, region: str, suite: str = "trixie") -> dict[str, Any]:
    """Put a stand-in for Jenkins into the bucket, the same for each suite; otherwise as ``wordpress``.

    Its signed repository, plug-ins and the manager that installs them.
    """
    stand_in = json.loads(read("tools/jenkins_stand_in/build"))
    print(f"   taking a stand-in for Jenkins {stand_in['versions'][-1]}, which is not Jenkins", flush=True)
    www = Path(stand_in["www"])
    for path in (path for path in www.rglob("*") if path.is_file()):
        url = upload(s3, region, path, f"jenkins/{path.relative_to(www)}")
    repository = url.partition("/jenkins/")[0] + "/jenkins"
    return {
        "jenkins_version": stand_in["versions"][-1],
        "jenkins_repository_url": repository,
        "jenkins_repository_key_url": f"{repository}/key.asc",
        "jenkins_repository_key_fingerprint": stand_in["fingerprint"],
        "jenkins_repository_key_checksum": stand_in["key_checksum"],
        "jenkins_update_center_url": repository,
        "jenkins_plugin_manager_url": f"{repository}/{stand_in['manager']}",
        "jenkins_plugin_manager_checksum": stand_in["manager_checksum"],
        "jenkins_plugins": [plugin for plugin in stand_in["plugins"] if plugin["name"] in JENKINS_PLUGINS],
    }


# The order is that of the ports on which inventory/local publishes them.
APPLICATIONS = {"wordpress": wordpress, "etherpad": etherpad, "jenkins": jenkins}


def database_authority(endpoint: str, application: str) -> dict[str, str]:
    """Return the checksum of the authority that signs the local cloud's databases; inventory/local has its address.

    Args:
        endpoint: The local cloud's API.
        application: Whose role variable it becomes.
    """
    reply = requests.get(f"{endpoint}/global/global-bundle.pem", timeout=30)
    reply.raise_for_status()
    return {f"{application}_database_ca_checksum": f"sha256:{hashlib.sha256(reply.content).hexdigest()}"}


def upload(s3: Any, region: str, path: Path, key: str = "") -> str:
    """Put a file into the bucket, readable by everybody as upstream's is, by default under its own name.

    Returns:
        Its URL as a machine sees it.
    """
    if BUCKET not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=BUCKET)
        statement = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{BUCKET}/*",
        }
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.upload_file(str(path), BUCKET, key or path.name)
    return f"http://s3.{region}.amazonaws.com/{BUCKET}/{key or path.name}"


def write_variables(path: Path, variables: dict[str, Any]) -> Path:
    """Write role variables for `packer build -var variable_files=…`; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("---\n" + yaml.safe_dump(variables))
    return path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path
