"""What runs inside a virtual machine's container: it makes the disk, gives the machine its address, and is its QEMU.

Only the standard library: the file is mounted into the container and run by its Python. What it prints is the
machine's serial console. Told to end (SIGTERM), it presses the machine's power button.

The disk has what Debian's image for EC2 has: a GPT with an EFI system partition (systemd-boot, kernel, initial RAM
disk) and a root file system. That is the image's own, with the kernel's modules and the settings that a container
machine has by bind mounts.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

MIB = 1 << 20
SECTOR = 512
DISK, VARIABLES = Path("/var/lib/machine/disk.raw"), Path("/var/lib/machine/firmware-variables.fd")
DISK_MIB, ESP_MIB, GAP_MIB = 8192, 128, 1
# Given by podman: a writable copy of the image, and what the host knows.
IMAGE, GIVEN = Path("/image"), Path("/run/localcloud")
SETTINGS = {
    "systemd.conf": "etc/systemd/system.conf.d/localcloud.conf",
    "journald.conf": "etc/systemd/journald.conf.d/localcloud.conf",
    "environment": "etc/environment",
    "sudoers": "etc/sudoers.d/localcloud",
}
FIRMWARE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
FIRMWARE_DEFAULTS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
BOOT_LOADER = Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi")
KERNEL_OPTIONS = "root=LABEL=root ro console=ttyS0,115200"
MEMORY_MIB, PROCESSORS = 2048, 2
KVM_SECONDS, PROMPT_SECONDS = 10.0, 1.0
# The container's network card and what is plugged into it; the DHCP server needs an address, and nobody else sees it.
OUTSIDE, BRIDGE, TAP, DHCP_ADDRESS = "eth0", "br0", "tap0", "169.254.100.1"
MONITOR = "/run/monitor.sock"


def main() -> int:
    """Run the machine until it is powered off; returns QEMU's exit status."""
    machine = json.loads((GIVEN / "machine.json").read_text(encoding="utf-8"))
    if not DISK.exists():
        began = time.monotonic()
        make_disk()
        print(f"localcloud: the disk was made in {time.monotonic() - began:.1f} s", flush=True)
    plug_in()
    subprocess.Popen(dhcp_command(machine))
    signal.signal(signal.SIGTERM, lambda *_: ask_qemu("system_powerdown"))
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        qemu = start_qemu(machine, "kvm")
        if not is_stuck(qemu):
            return qemu.wait()
        print("localcloud: KVM does not work here, so the processor is emulated", flush=True)
        qemu.kill()
        qemu.wait()
    return start_qemu(machine, "tcg").wait()


# The disk
# --------


def make_disk() -> None:
    """Write the disk; it appears under its name when it is complete."""
    modules = next(Path("/usr/lib/modules").iterdir())
    prepare_root(modules)
    DISK.parent.mkdir(parents=True, exist_ok=True)
    unfinished = DISK.with_suffix(".new")
    with unfinished.open("wb") as file:
        file.truncate(DISK_MIB * MIB)
    subprocess.run(["sfdisk", "--quiet", str(unfinished)], input=partitions(), text=True, check=True)
    write_boot_partition(unfinished, modules.name)
    offset = (GAP_MIB + ESP_MIB) * MIB
    run(
        "mkfs.ext4", "-q", "-F", "-L", "root", "-b", "4096", "-E", f"offset={offset}", "-d", str(IMAGE),
        str(unfinished), str((DISK_MIB * MIB - offset - GAP_MIB * MIB) // 4096),
    )  # fmt: skip
    shutil.copy(FIRMWARE_DEFAULTS, VARIABLES)
    unfinished.rename(DISK)


def prepare_root(modules: Path) -> None:
    """Add to the image what only a machine with a kernel of its own needs, and what podman gives to a container."""
    target = IMAGE / "usr/lib/modules" / modules.name
    target.parent.mkdir(exist_ok=True)
    run("cp", "--archive", str(modules), str(target))
    (IMAGE / "etc/fstab").write_text("LABEL=root / ext4 rw,errors=remount-ro 0 1\n", encoding="utf-8")
    for name, path in SETTINGS.items():
        (IMAGE / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(GIVEN / name, IMAGE / path)
    # podman leaves an empty one; the machine's comes with its address.
    with contextlib.suppress(FileNotFoundError):
        (IMAGE / "etc/resolv.conf").unlink()


def partitions() -> str:
    """The partition table, for sfdisk."""
    esp, root = GAP_MIB * MIB // SECTOR, (GAP_MIB + ESP_MIB) * MIB // SECTOR
    return f"label: gpt\nstart={esp}, size={root - esp}, type=uefi, name=esp\nstart={root}, type=linux, name=root\n"


def write_boot_partition(disk: Path, kernel: str) -> None:
    """Make the EFI system partition: the removable-media path is what an empty set of UEFI variables boots."""
    offset = GAP_MIB * MIB
    run(
        "mkfs.vfat", "-F", "32", "-s", "1", "-n", "ESP", "--offset", str(offset // SECTOR), str(disk),
        str(ESP_MIB * MIB // 1024),
    )  # fmt: skip
    partition = f"{disk}@@{offset}"
    entry, loader = Path("/run/debian.conf"), Path("/run/loader.conf")
    entry.write_text(f"title Debian\nlinux /vmlinuz\ninitrd /initrd.img\noptions {KERNEL_OPTIONS}\n", encoding="utf-8")
    loader.write_text("timeout 0\n", encoding="utf-8")
    run("mmd", "-i", partition, "::/EFI", "::/EFI/BOOT", "::/loader", "::/loader/entries")
    for source, target in (
        (BOOT_LOADER, "EFI/BOOT/BOOTX64.EFI"),
        (loader, "loader/loader.conf"),
        (entry, "loader/entries/debian.conf"),
        (Path(f"/boot/vmlinuz-{kernel}"), "vmlinuz"),
        (Path(f"/boot/initrd.img-{kernel}"), "initrd.img"),
    ):
        run("mcopy", "-i", partition, str(source), f"::/{target}")


# The network
# -----------


def plug_in() -> None:
    """Put the machine on the container's network card: the address that podman keeps for it becomes the machine's."""
    for command in (
        f"address flush dev {OUTSIDE}",
        # The API's hardware address is the machine's, not the card's.
        f"link set {OUTSIDE} address 02:{random_bytes(5)}",
        f"link add {BRIDGE} type bridge",
        f"tuntap add dev {TAP} mode tap",
        f"link set {OUTSIDE} master {BRIDGE} up",
        f"link set {TAP} master {BRIDGE} up",
        f"link set {BRIDGE} up",
        f"address add {DHCP_ADDRESS}/32 dev {BRIDGE}",
    ):
        run("ip", *command.split())


def dhcp_command(machine: dict[str, Any]) -> list[str]:
    """A DHCP server that knows one machine."""
    return [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--log-facility=/run/dhcp.log",
        f"--interface={BRIDGE}", "--bind-interfaces", "--no-ping", "--dhcp-broadcast", "--dhcp-authoritative",
        "--dhcp-leasefile=/run/dhcp.leases", f"--dhcp-range={machine['subnet']},static,{machine['netmask']},infinite",
        f"--shared-network={BRIDGE},{machine['subnet']}",
        # cloud-init's client and the machine's own give themselves different ids.
        f"--dhcp-host={machine['mac']},id:*,{machine['address']},{machine['host_name'].partition('.')[0]},infinite",
        f"--dhcp-option=option:router,{machine['gateway']}",
        f"--dhcp-option=option:dns-server,{machine['resolver']}",
        f"--dhcp-option=option:domain-name,{machine['host_name'].partition('.')[2]}",
    ]  # fmt: skip


# The machine
# -----------


def qemu_command(machine: dict[str, Any], accelerator: str) -> list[str]:
    """A machine that looks like EC2's to systemd and cloud-init."""
    identity = system_uuid(machine["id"])
    return [
        "qemu-system-x86_64", "-name", machine["id"], "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", f"q35,accel={accelerator}", "-cpu", "max", "-smp", str(PROCESSORS), "-m", str(MEMORY_MIB),
        "-smbios", "type=0,vendor=Amazon EC2",
        "-smbios", f"type=1,manufacturer=Amazon EC2,product={machine['type']},serial={identity},uuid={identity}",
        "-smbios", f"type=2,manufacturer=Amazon EC2,asset={machine['id']}",
        "-smbios", "type=3,manufacturer=Amazon EC2,asset=Amazon EC2",
        "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={FIRMWARE}",
        "-drive", f"if=pflash,unit=1,format=raw,file={VARIABLES}",
        "-drive", f"if=virtio,format=raw,discard=unmap,cache=unsafe,file={DISK}",
        "-netdev", f"tap,id=network,ifname={TAP},script=no,downscript=no",
        "-device", f"virtio-net-pci,netdev=network,mac={machine['mac']},romfile=",
        "-device", "virtio-rng-pci", "-serial", "stdio", "-qmp", f"unix:{MONITOR},server=on,wait=off",
    ]  # fmt: skip


def start_qemu(machine: dict[str, Any], accelerator: str) -> subprocess.Popen[bytes]:
    """Switch the machine on."""
    qemu = subprocess.Popen(qemu_command(machine, accelerator), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert qemu.stdout is not None  # noqa: S101 (it is a pipe)
    threading.Thread(target=copy_console, args=(qemu.stdout.fileno(),)).start()
    return qemu


def copy_console(source: int) -> None:
    """Print the serial console by whole lines, or what there is of one when nothing follows, such as a prompt.

    An emulated machine writes letter by letter, and podman notes the time of each write.
    """
    waiting = b""
    while True:
        ready, _, _ = select.select([source], [], [], PROMPT_SECONDS)
        data = os.read(source, 65536) if ready else b""
        waiting += data
        printed = waiting.rfind(b"\n") + 1 if data else len(waiting)
        sys.stdout.buffer.write(waiting[:printed])
        sys.stdout.buffer.flush()
        waiting = waiting[printed:]
        if ready and not data:
            return


def system_uuid(instance_id: str) -> str:
    """A UUID that begins as EC2's do, the same for the same instance."""
    return f"ec2{str(uuid.uuid5(uuid.NAMESPACE_OID, instance_id))[3:]}"


def is_stuck(qemu: subprocess.Popen[bytes]) -> bool:
    """Whether QEMU gives up in its first seconds: in a cloud's machine /dev/kvm may be there and not work."""
    deadline = time.monotonic() + KVM_SECONDS
    while time.monotonic() < deadline:
        if qemu.poll() is not None or ask_qemu("query-status").get("status") == "internal-error":
            return True
        time.sleep(0.5)
    return False


def ask_qemu(command: str) -> dict[str, Any]:
    """Give QEMU's monitor a command; returns its answer, empty when nobody answers."""
    with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as monitor:
        monitor.settimeout(5)
        monitor.connect(MONITOR)
        lines = monitor.makefile("r", encoding="utf-8")
        lines.readline()
        answer: dict[str, Any] = {}
        for each in ("qmp_capabilities", command):
            monitor.sendall(json.dumps({"execute": each}).encode())
            # Events come in between.
            while "return" not in (answer := json.loads(lines.readline())):
                pass
        return dict(answer["return"])
    return {}


def random_bytes(count: int) -> str:
    """Bytes of a hardware address."""
    return ":".join(f"{byte:02x}" for byte in os.urandom(count))


def run(*command: str) -> None:
    """Run a program that must succeed; what it says is on the console."""
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
