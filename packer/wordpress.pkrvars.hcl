# packer build -var-file=packer/wordpress.pkrvars.hcl packer/
application = "wordpress"
volume_size = 10
