build {
  name    = var.application
  sources = ["source.amazon-ebs.debian"]

  provisioner "ansible" {
    command       = var.ansible_playbook
    playbook_file = "${local.repository}/playbooks/image.yml"
    host_alias    = "image"
    user          = "admin"
    # Packer's proxy offers only an ssh-rsa host key, which OpenSSH 9 refuses.
    use_proxy = false

    ansible_env_vars = [
      "ANSIBLE_CONFIG=${local.repository}/ansible.cfg",
      # The host key is minutes old and known to nobody.
      "ANSIBLE_HOST_KEY_CHECKING=False",
      # Connections to this machine alone: another one may get its address, and builds may begin in the same second.
      "ANSIBLE_SSH_CONTROL_PATH_DIR=${pathexpand("~/.ansible/cp")}/${build.ID}",
      "ANSIBLE_NOCOLOR=True",
      # Of every strategy that is not its own, as Mitogen's, ansible-core says at each run that it is not for ever.
      "ANSIBLE_DEPRECATION_WARNINGS=False",
    ]

    extra_arguments = concat(
      ["--extra-vars", jsonencode({
        image_application   = var.application
        image_name          = local.name
        image_version       = local.version
        image_software_list = local.software_list
        image_variables     = keys(merge(local.given...))
      })],
      flatten([for path in var.variable_files : ["--extra-vars", "@${abspath(path)}"]]),
    )
  }

  post-processor "manifest" {
    output     = local.manifest
    strip_path = true

    custom_data = {
      application = var.application
      version     = local.version
      region      = var.region
      revision    = local.revision
    }
  }
}
