# packer build -var-file=packer/jenkins.pkrvars.hcl packer/
application = "jenkins"
volume_size = 10
