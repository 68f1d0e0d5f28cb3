# packer build -var-file=packer/jenkins_agent.pkrvars.hcl packer/
application = "jenkins_agent"
volume_size = 10
