"""Runs plans written in Python on recorded inputs.

Usage: run.py DESCRIPTORS INPUTS OUT PLAN.py...

DESCRIPTORS is a serialized FileDescriptorSet, INPUTS holds PlanInputs, each after
its length (4 bytes, big-endian). For each plan and input, OUT gets a byte, 0 for
a result and 1 for an exception, and the PlanResult after its length.
"""

import importlib.util
import struct
import sys
import types

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory


def messages(path):
    """Makes the classes and puts them where plans import them from."""
    with open(path, "rb") as f:
        files = descriptor_pb2.FileDescriptorSet.FromString(f.read())
    pool = descriptor_pool.Default()
    module = types.ModuleType("agentic_common.pb")
    for file in files.file:
        found = pool.AddSerializedFile(file.SerializeToString())
        found = pool.FindFileByName(file.name)
        for name, descriptor in found.message_types_by_name.items():
            setattr(module, name, message_factory.GetMessageClass(descriptor))
        for name, enum in found.enum_types_by_name.items():
            values = {value.name: value.number for value in enum.values}
            setattr(module, name, types.SimpleNamespace(**values))
    sys.modules["agentic_common"] = types.ModuleType("agentic_common")
    sys.modules["agentic_common.pb"] = module
    return module


def inputs(path):
    with open(path, "rb") as f:
        data = f.read()
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def load(path):
    spec = importlib.util.spec_from_file_location("plan", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.plan


def main(descriptors, recorded, out, *plans):
    pb = messages(descriptors)
    assert any_pb2.DESCRIPTOR
    values = list(inputs(recorded))
    with open(out, "wb") as f:
        for path in plans:
            plan = load(path)
            for value in values:
                plan_input = pb.PlanInput.FromString(value)
                try:
                    result = plan(plan_input)
                    if not isinstance(result, pb.PlanResult):
                        raise TypeError("no PlanResult")
                    f.write(b"\0")
                    data = result.SerializeToString(deterministic=True)
                except Exception:
                    f.write(b"\1")
                    data = b""
                f.write(struct.pack(">I", len(data)) + data)


main(*sys.argv[1:])
