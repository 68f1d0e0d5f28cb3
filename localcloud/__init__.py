"""A local cloud: AWS's API on one Linux machine, with real systemd machines behind it."""
