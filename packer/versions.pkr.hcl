packer {
  # 1.10 brought `packer plugins install --path`, with which tools/packer/obtain works offline.
  required_version = ">= 1.10.0"

  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.8.1, < 2.0.0"
    }
    ansible = {
      source  = "github.com/hashicorp/ansible"
      version = ">= 1.1.2, < 2.0.0"
    }
  }
}
