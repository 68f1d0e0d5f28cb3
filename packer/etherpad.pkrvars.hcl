# packer build -var-file=packer/etherpad.pkrvars.hcl packer/
application = "etherpad"
volume_size = 10
