"""What the options of the contract say of methods and fields."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from releaseregistry.v1 import annotations_pb2

# The generated types know an extension only as a field, not as one of certain options.
_RULES: Any = annotations_pb2.rules
_REQUIRED_SCOPE: Any = annotations_pb2.required_scope


def rules_of(field: Any) -> annotations_pb2.FieldRules:
    """What the field of a FieldDescriptor may hold; rules without content when it has none."""
    rules: annotations_pb2.FieldRules = field.GetOptions().Extensions[_RULES]
    return rules


def scope_of(method: MethodDescriptor) -> str:
    """The scope that a method requires; "" when it names none."""
    return str(method.GetOptions().Extensions[_REQUIRED_SCOPE])
