# What differs when an image is built on the local cloud:
# packer build -var-file=packer/wordpress.pkrvars.hcl -var-file=inventory/local/packer.pkrvars.hcl packer/
endpoint      = "http://127.0.0.1:4566"
ssh_interface = "private_ip"
# The bridge's own address: the host.
source_cidrs = ["172.31.0.1/32"]
