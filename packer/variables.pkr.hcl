# What is baked
# -------------

variable "application" {
  type        = string
  description = "The role that the image carries; also the image's stackyard:application tag."

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{1,30}$", var.application))
    error_message = "The application must be the name of a role: a small letter, then small letters, digits or underscores, 31 at most."
  }
}

variable "suite" {
  type        = string
  default     = "debian-13"
  description = "Debian release that the image is made from."

  validation {
    condition     = contains(["debian-12", "debian-13"], var.suite)
    error_message = "The suite must be debian-12 or debian-13."
  }
}

variable "architecture" {
  type        = string
  default     = "amd64"
  description = "Processor of the image, in Debian's words: amd64 (Intel, AMD) or arm64 (Graviton)."

  validation {
    condition     = contains(["amd64", "arm64"], var.architecture)
    error_message = "The architecture must be amd64 or arm64."
  }
}

variable "variable_files" {
  type        = list(string)
  default     = []
  description = "YAML files with role variables that hold for the image (versions, plugins, mirrors), relative to where packer runs or absolute. Later files win. The image remembers them, and its machines configure themselves with them. No secrets: everybody on the machine may read them."

  validation {
    condition     = alltrue([for path in var.variable_files : can(keys(yamldecode(file(abspath(path)))))])
    error_message = "Each of variable_files must be a readable YAML file that holds a mapping of role variables."
  }
}

variable "revision" {
  type        = string
  default     = ""
  description = "Git revision for the image's tag. Empty: the commit that this clone is at."
}

# Where it is built
# -----------------

variable "region" {
  type        = string
  default     = "us-east-1"
  description = "AWS region that the image is built in."

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "The region must be an AWS region's name, such as us-east-1."
  }
}

variable "instance_type" {
  type        = string
  default     = ""
  description = "Type of the build instance. Empty: t3.medium for amd64, t4g.medium for arm64."
}

variable "subnet_id" {
  type        = string
  default     = null
  description = "Subnet of the build instance. Null: a default subnet of the region."
}

variable "ssh_interface" {
  type        = string
  default     = "public_ip"
  description = "How Packer and Ansible reach the build instance: public_ip, or private_ip from inside the network."

  validation {
    condition     = contains(["public_ip", "private_ip"], var.ssh_interface)
    error_message = "The ssh_interface must be public_ip or private_ip."
  }
}

variable "source_cidrs" {
  type        = list(string)
  default     = []
  description = "Addresses that may reach the build instance's SSH port while it is built. Empty: the public address of whoever builds, alone."

  validation {
    condition     = alltrue([for cidr in var.source_cidrs : can(regex("^[0-9.]+/([89]|[12][0-9]|3[0-2])$", cidr))])
    error_message = "Each of source_cidrs must be an IPv4 network in CIDR notation with a prefix of 8 to 32, such as 203.0.113.7/32."
  }
}

variable "build_minutes" {
  type        = number
  default     = 120
  description = "Minutes after which a build instance that nobody has ended ends itself."

  validation {
    condition     = var.build_minutes >= 15 && var.build_minutes <= 1440
    error_message = "The build_minutes must be 15 to 1440."
  }
}

variable "ansible_playbook" {
  type        = string
  default     = "ansible-playbook"
  description = "The ansible-playbook command."
}

# What comes out
# --------------

variable "volume_size" {
  type        = number
  default     = 10
  description = "Size of the root volume in GiB; launch templates may make it larger, never smaller."

  validation {
    condition     = var.volume_size >= 8 && var.volume_size <= 1024
    error_message = "The volume_size must be 8 to 1024 GiB."
  }
}

variable "kms_key_id" {
  type        = string
  default     = null
  description = "KMS key of the volume and its snapshot. Null: the account's default key for EBS. Images to be shared need a key of their own."
}

variable "copy_to_regions" {
  type        = list(string)
  default     = []
  description = "Further regions that get a copy of the image, each encrypted with the account's default key for EBS there."

  validation {
    condition     = alltrue([for region in var.copy_to_regions : can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", region))])
    error_message = "Each of copy_to_regions must be an AWS region's name, such as eu-central-1."
  }
}

variable "copy_kms_key_ids" {
  type        = map(string)
  default     = {}
  description = "Keys for the copies by region, one for each of copy_to_regions: needed to share them. The build takes minutes more."
}

variable "share_with_accounts" {
  type        = list(string)
  default     = []
  description = "Account numbers that may launch the image. Needs kms_key_id: the default key cannot be shared."

  validation {
    condition     = alltrue([for account in var.share_with_accounts : can(regex("^[0-9]{12}$", account))])
    error_message = "Each of share_with_accounts must be an account number of 12 digits."
  }
}

variable "deprecate_after_days" {
  type        = number
  default     = 90
  description = "Days until EC2 lists the image as deprecated; it can still be launched by those who own it."

  validation {
    condition     = var.deprecate_after_days >= 1 && var.deprecate_after_days <= 3650
    error_message = "The deprecate_after_days must be 1 to 3650."
  }
}

variable "deregistration_protection" {
  type        = bool
  default     = false
  description = "Refuse to deregister the image until the protection is taken off."
}

variable "tags" {
  type        = map(string)
  default     = {}
  description = "Further tags for the image, its snapshot and everything that the build makes."
}

variable "manifest" {
  type        = string
  default     = ""
  description = "File that Packer writes the image's id to, in a folder that exists; the software list goes beside it, as .cdx.json. Empty: packer/manifests/<application>.json."
}
