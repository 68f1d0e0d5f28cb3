"""Further images of a deployed stack, for its roll-outs."""

from dataclasses import dataclass, field

from support.site import Site
from support.waiting import until


@dataclass
class Images:
    """Images that differ from the one that serves in one thing."""

    site: Site
    _made: dict[str, str] = field(default_factory=dict)

    def after(self, command: str) -> str:
        """An image of a machine that a command was run on."""
        if command not in self._made:
            self._made[command] = self._make(command)
        return self._made[command]

    def _make(self, command: str) -> str:
        ec2 = self.site.client("ec2")
        serving = ec2.describe_instances(InstanceIds=self.site.in_service()[:1])["Reservations"][0]["Instances"][0]
        # Without user data nothing is configured, so that it is as it was baked.
        machine = ec2.run_instances(
            ImageId=serving["ImageId"],
            InstanceType=serving["InstanceType"],
            SubnetId=serving["SubnetId"],
            MinCount=1,
            MaxCount=1,
        )["Instances"][0]["InstanceId"]
        try:
            booted = "systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded' && echo booted"
            until(f"the boot of {machine}", lambda: "booted" in self.site.shell(machine, booted, check=False), 90)
            self.site.shell(machine, f"cloud-init clean --logs; : > /etc/machine-id; {command}")
            name = f"rollout-{len(self._made)}-{machine}"
            image = str(ec2.create_image(InstanceId=machine, Name=name)["ImageId"])
            ec2.create_tags(
                Resources=[image], Tags=[{"Key": "stackyard:application", "Value": self.site.demo.application}]
            )
            until(f"the image {image}", lambda: self._state(image) == "available", 120)
        finally:
            ec2.terminate_instances(InstanceIds=[machine])
        return image

    def _state(self, image: str) -> str:
        return str(self.site.client("ec2").describe_images(ImageIds=[image])["Images"][0]["State"])

    def remove(self) -> None:
        """Deregister them all."""
        for image in self._made.values():
            self.site.client("ec2").deregister_image(ImageId=image)
        self._made.clear()


def serving_images(site: Site) -> set[str]:
    """The images of the machines in service."""
    reservations = site.client("ec2").describe_instances(InstanceIds=site.in_service())["Reservations"]
    return {instance["ImageId"] for entry in reservations for instance in entry["Instances"]}
