"""The collection's plugins are imported under the names that Ansible gives them, by the link that `make setup` lays."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / ".ansible/collections"))
