"""What several test suites share: loads, figures, playbook runs, a browser."""
