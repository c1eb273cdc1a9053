"""Auditing a classifier: where it looks, in which ways it decides, and which of them look like a shortcut."""

from lookright.audit.audit import PAGE, Audit, audit, check_folder, write_tables
from lookright.audit.cluster_table import Cluster
from lookright.audit.findings import Finding, Kind
from lookright.audit.looks import Looks
from lookright.audit.model import imagenet_classes, open_model, read_classes
from lookright.audit.page import write_page

__all__ = [
    "PAGE",
    "Audit",
    "Cluster",
    "Finding",
    "Kind",
    "Looks",
    "audit",
    "check_folder",
    "imagenet_classes",
    "open_model",
    "read_classes",
    "write_page",
    "write_tables",
]
