"""The request log names actions and tells reads from writes."""

import json
from pathlib import Path
from typing import Any

import pytest

from localcloud.request_log import RequestLog, identify

SIGNATURE = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"


def request(service: str, method: str = "POST", path: str = "/", **more: str) -> dict[str, Any]:
    return {
        "HTTP_AUTHORIZATION": SIGNATURE.format(service),
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        **more,
    }


FORM = {"CONTENT_TYPE": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.parametrize(
    ("environ", "body", "expected"),
    [
        (request("ec2", **FORM), b"Action=RunInstances&Version=1", ("ec2", "RunInstances", True)),
        (request("ec2", **FORM), b"Action=DescribeInstances", ("ec2", "DescribeInstances", False)),
        (request("elasticloadbalancing", **FORM), b"Action=CreateRule", ("elbv2", "CreateRule", True)),
        (
            request("secretsmanager", HTTP_X_AMZ_TARGET="secretsmanager.GetSecretValue"),
            b"",
            ("secretsmanager", "GetSecretValue", False),
        ),
        (
            request("elasticfilesystem", "PUT", "/2015-02-01/file-systems/fs-1/backup-policy"),
            b"",
            ("efs", "PutBackupPolicy", True),
        ),
        (request("s3", "PUT", "/bucket/key"), b"", ("s3", "PutObject", True)),
        (request("s3", "PUT", "/bucket/key", HTTP_X_AMZ_COPY_SOURCE="a/b"), b"", ("s3", "CopyObject", True)),
        (request("s3", "GET", "/bucket", QUERY_STRING="policy"), b"", ("s3", "GetBucketPolicy", False)),
        (request("route53", "GET", "/2013-04-01/hostedzone"), b"", ("route53", "ListHostedZones", False)),
    ],
)
def test_actions_are_named(environ: dict[str, Any], body: bytes, expected: tuple[str, str, bool]) -> None:
    action = identify(environ, body)
    assert (action.service, action.name, action.write) == expected


def test_a_line_holds_no_body(tmp_path: Path) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        assert b"MasterUserPassword=hidden" in environ["wsgi.input"].read()
        start_response("403 Forbidden", [])
        return [b"no"]

    class Input:
        def read(self, _size: int = -1) -> bytes:
            return b"Action=CreateDBInstance&MasterUserPassword=hidden"

    seen: list[tuple[str, int]] = []
    log = RequestLog(
        application, str(tmp_path / "log"), after=lambda action, status: seen.append((action.name, status))
    )
    environ = request("rds", **FORM) | {"wsgi.input": Input(), "CONTENT_LENGTH": "49", "REMOTE_ADDR": "10.0.0.9"}
    assert list(log(environ, lambda *_: None)) == [b"no"]
    text = (tmp_path / "log").read_text()
    assert "hidden" not in text
    line = json.loads(text)
    assert (line["action"], line["write"], line["status"], line["client"]) == (
        "CreateDBInstance",
        True,
        403,
        "10.0.0.9",
    )
    assert seen == [("CreateDBInstance", 403)]
