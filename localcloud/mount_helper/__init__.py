"""What a machine gets, at run time only, so that ``mount -t efs`` and ``mount -t nfs4`` work without NFS in the kernel.

``helper`` is the mount helper, ``generator`` the systemd generator that puts it in front of the packaged helpers.
"""
