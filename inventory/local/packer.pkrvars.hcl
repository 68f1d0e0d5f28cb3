# What differs when an image is built on the local cloud:
#
#   AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_ACCESS_KEY_ID=localcloud AWS_SECRET_ACCESS_KEY=localcloud-secret-key \
#     packer build -var-file=packer/wordpress.pkrvars.hcl -var-file=inventory/local/packer.pkrvars.hcl packer/
#
# The endpoint comes from the environment, as with every AWS tool: Packer's own option for it, custom_endpoint_ec2, is
# not followed by the steps that deprecate or copy an image.
ssh_interface = "private_ip"
# The address of the default network's bridge: this host.
source_cidrs   = ["172.31.0.1/32"]
variable_files = ["inventory/local/image.yml"]
