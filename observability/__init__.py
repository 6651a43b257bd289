"""What the system does: the nodes' metrics, audit journals and changes, collected and kept.

Collectors take them from the nodes' admin ports by cursor (`manage.py collect`). No HTML here.
"""
