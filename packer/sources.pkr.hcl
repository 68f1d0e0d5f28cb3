source "amazon-ebs" "debian" {
  region = var.region

  source_ami_filter {
    owners      = [local.debian_owner]
    most_recent = true

    filters = {
      name                = "${var.suite}-${var.architecture}-*"
      architecture        = local.architectures[var.architecture]
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }

  # The build instance
  instance_type               = local.instance_type
  subnet_id                   = var.subnet_id
  associate_public_ip_address = var.ssh_interface == "public_ip"
  run_tags                    = local.build_tags
  run_volume_tags             = local.build_tags

  # Should nobody be left to end it, because the build was killed, it ends itself, and its volume with it.
  shutdown_behavior = "terminate"
  user_data         = "#cloud-config\n${jsonencode({ power_state = { mode = "poweroff", delay = var.build_minutes } })}"

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  # A launch with an encrypted volume gives an encrypted image at once; encrypt_boot would
  # copy the finished image, minutes more.
  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_type           = "gp3"
    volume_size           = var.volume_size
    encrypted             = true
    kms_key_id            = var.kms_key_id
    delete_on_termination = true
  }

  # Access to it: a key and a security group that live as long as the build
  communicator                              = "ssh"
  ssh_username                              = "admin"
  ssh_interface                             = var.ssh_interface
  ssh_timeout                               = "5m"
  temporary_key_pair_type                   = "ed25519"
  temporary_security_group_source_cidrs     = var.source_cidrs
  temporary_security_group_source_public_ip = length(var.source_cidrs) == 0

  # The image
  ami_name        = local.name
  ami_description = "${var.application} ${local.version} on ${var.suite} (${var.architecture}), by stackyard ${local.collection}"
  ami_regions     = var.copy_to_regions
  ami_users       = var.share_with_accounts
  imds_support    = "v2.0"
  deprecate_at    = timeadd(local.built, "${var.deprecate_after_days * 24}h")
  tags            = local.image_tags
  snapshot_tags   = local.image_tags

  # Copies under keys of their own are made from the finished image, that of the build's region too.
  encrypt_boot       = length(var.copy_kms_key_ids) > 0 ? true : null
  kms_key_id         = length(var.copy_kms_key_ids) > 0 ? var.kms_key_id : null
  region_kms_key_ids = length(var.copy_kms_key_ids) > 0 ? var.copy_kms_key_ids : null

  deregistration_protection {
    enabled = var.deregistration_protection
  }
}
