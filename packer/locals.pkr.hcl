locals {
  repository = abspath("${path.root}/..")

  # The application's version is the role's own variable, as the role's defaults or a variable file set it.
  defaults = [yamldecode(file("${local.repository}/roles/${var.application}/defaults/main.yml"))]
  given    = [for path in var.variable_files : yamldecode(file(abspath(path)))]
  version  = merge(concat(local.defaults, local.given)...)["${var.application}_version"]

  # What `git rev-parse HEAD` would say. Packer runs no commands, so Git's files are read:
  # a branch is a file of its own or a line of packed-refs; a detached HEAD is the commit itself.
  git      = "${local.repository}/.git"
  head     = try(trimspace(file("${local.git}/HEAD")), "unknown")
  ref      = try(regex("^ref: (.+)$", local.head)[0], "")
  commit   = try(trimspace(file("${local.git}/${local.ref}")), regex("([0-9a-f]{40}) ${local.ref}\n", file("${local.git}/packed-refs"))[0], local.head)
  revision = var.revision != "" ? var.revision : local.commit

  collection = yamldecode(file("${local.repository}/galaxy.yml"))["version"]
  built      = timestamp()
  name       = "stackyard-${var.application}-${local.version}-${var.suite}-${var.architecture}-${formatdate("YYYYMMDDhhmmss", local.built)}"

  # Beside each other: which image was made, and the software that is in it.
  manifest      = var.manifest != "" ? abspath(var.manifest) : "${local.repository}/packer/manifests/${var.application}.json"
  software_list = "${trimsuffix(local.manifest, ".json")}.cdx.json"

  instance_types = { amd64 = "t3.medium", arm64 = "t4g.medium" }
  instance_type  = var.instance_type != "" ? var.instance_type : local.instance_types[var.architecture]

  # Debian's account and the words that EC2 uses for Debian's architectures.
  debian_owner  = "136693071363"
  architectures = { amd64 = "x86_64", arm64 = "arm64" }

  # What the build makes and takes away again: found by these tags when a build was cut off.
  build_tags = merge(var.tags, {
    Name                    = "${local.name} (build)"
    "stackyard:application" = var.application
    "stackyard:build"       = local.name
  })

  # Images outlive the stacks that use them: stackyard:keep says that this is on purpose.
  image_tags = merge(var.tags, {
    Name                          = local.name
    "stackyard:application"       = var.application
    "stackyard:version"           = local.version
    "stackyard:source-image"      = "{{ .SourceAMI }}"
    "stackyard:source-image-name" = "{{ .SourceAMIName }}"
    "stackyard:revision"          = local.revision
    "stackyard:collection"        = local.collection
    "stackyard:built"             = local.built
    "stackyard:keep"              = "true"
  })
}
