"""The demo: an application's whole life on the local cloud, as a stranger sees it with ``make demo``.

It only runs the programs that an operator would run (localcloud, packer, ansible-playbook) and says
how long each took.
"""
