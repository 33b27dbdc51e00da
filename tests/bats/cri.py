#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
#
# A client of the Kubernetes container runtime interface (CRI, runtime.v1): what a kubelet says to
# containerd and CRI-O, one call at a time, requests and answers as JSON.
#
# usage: cri.py SOCKET METHOD [JSON]        (the answer on standard output; an error: status 1)

import json
import sys

import grpc

# Messages as far as the tests need them: field -> number, type. A type in a list is repeated, "map" is one of
# strings to strings, a name is another message.
MESSAGES = {
    "Empty": {},
    "VersionResponse": {"version": (1, "string"), "runtimeName": (2, "string"), "runtimeVersion": (3, "string")},
    "StatusResponse": {"status": (1, "RuntimeStatus")},
    "RuntimeStatus": {"conditions": (1, ["RuntimeCondition"])},
    "RuntimeCondition": {"type": (1, "string"), "status": (2, "int"), "message": (4, "string")},
    "RunPodSandboxRequest": {"config": (1, "PodSandboxConfig"), "runtimeHandler": (2, "string")},
    "PodSandboxConfig": {"metadata": (1, "PodSandboxMetadata"), "hostname": (2, "string"), "logDirectory": (3, "string"),
                         "dnsConfig": (4, "DNSConfig"), "labels": (6, "map"), "annotations": (7, "map"),
                         "linux": (8, "LinuxPodSandboxConfig")},
    "DNSConfig": {"servers": (1, ["string"]), "searches": (2, ["string"]), "options": (3, ["string"])},
    "PodSandboxMetadata": {"name": (1, "string"), "uid": (2, "string"), "namespace": (3, "string"), "attempt": (4, "int")},
    "LinuxPodSandboxConfig": {"cgroupParent": (1, "string"), "securityContext": (2, "LinuxSandboxSecurityContext")},
    "LinuxSandboxSecurityContext": {"namespaceOptions": (1, "NamespaceOption")},
    "NamespaceOption": {"network": (1, "int"), "pid": (2, "int"), "ipc": (3, "int")},
    "Sandbox": {"podSandboxId": (1, "string")},
    "PodSandboxStatusResponse": {"status": (1, "PodSandboxStatus")},
    "PodSandboxStatus": {"id": (1, "string"), "state": (3, "int"), "network": (5, "PodSandboxNetworkStatus"),
                         "runtimeHandler": (9, "string")},
    "PodSandboxNetworkStatus": {"ip": (1, "string")},
    "CreateContainerRequest": {"podSandboxId": (1, "string"), "config": (2, "ContainerConfig"),
                               "sandboxConfig": (3, "PodSandboxConfig")},
    "ContainerConfig": {"metadata": (1, "ContainerMetadata"), "image": (2, "ImageSpec"), "command": (3, ["string"]),
                        "args": (4, ["string"]), "envs": (6, ["KeyValue"]), "mounts": (7, ["Mount"]), "labels": (9, "map"),
                        "annotations": (10, "map"), "logPath": (11, "string"), "linux": (15, "LinuxContainerConfig")},
    "ContainerMetadata": {"name": (1, "string"), "attempt": (2, "int")},
    "ImageSpec": {"image": (1, "string")},
    "KeyValue": {"key": (1, "string"), "value": (2, "string")},
    "Mount": {"containerPath": (1, "string"), "hostPath": (2, "string"), "readonly": (3, "int")},
    "LinuxContainerConfig": {"resources": (1, "LinuxContainerResources"),
                             "securityContext": (2, "LinuxContainerSecurityContext")},
    "LinuxContainerResources": {"memoryLimitInBytes": (4, "int"), "cpuShares": (3, "int")},
    "LinuxContainerSecurityContext": {"namespaceOptions": (3, "NamespaceOption"), "runAsUser": (5, "Int64Value"),
                                      "readonlyRootfs": (7, "int"), "noNewPrivs": (11, "int"),
                                      "maskedPaths": (13, ["string"]), "readonlyPaths": (14, ["string"])},
    "Int64Value": {"value": (1, "int")},
    "Container": {"containerId": (1, "string")},
    "StopContainerRequest": {"containerId": (1, "string"), "timeout": (2, "int")},
    "UpdateContainerResourcesRequest": {"containerId": (1, "string"), "linux": (2, "LinuxContainerResources")},
    "ContainerStatusResponse": {"status": (1, "ContainerStatus")},
    "ContainerStatus": {"id": (1, "string"), "state": (3, "int"), "exitCode": (7, "int"), "reason": (10, "string"),
                        "message": (11, "string")},
    "ExecSyncRequest": {"containerId": (1, "string"), "cmd": (2, ["string"]), "timeout": (3, "int")},
    "ExecSyncResponse": {"stdout": (1, "string"), "stderr": (2, "string"), "exitCode": (3, "int")},
    "ContainerStatsResponse": {"stats": (1, "ContainerStats")},
    "ContainerStats": {"memory": (3, "MemoryUsage")},
    "MemoryUsage": {"workingSetBytes": (2, "Int64Value")},
}

METHODS = {
    "Version": ("Empty", "VersionResponse"),
    "Status": ("Empty", "StatusResponse"),
    "RunPodSandbox": ("RunPodSandboxRequest", "Sandbox"),
    "PodSandboxStatus": ("Sandbox", "PodSandboxStatusResponse"),
    "StopPodSandbox": ("Sandbox", "Empty"),
    "RemovePodSandbox": ("Sandbox", "Empty"),
    "CreateContainer": ("CreateContainerRequest", "Container"),
    "StartContainer": ("Container", "Empty"),
    "StopContainer": ("StopContainerRequest", "Empty"),
    "RemoveContainer": ("Container", "Empty"),
    "ContainerStatus": ("Container", "ContainerStatusResponse"),
    "ContainerStats": ("Container", "ContainerStatsResponse"),
    "UpdateContainerResources": ("UpdateContainerResourcesRequest", "Empty"),
    "ExecSync": ("ExecSyncRequest", "ExecSyncResponse"),
}


def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def counted(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def pack_value(number, kind, value):
    if kind == "int":
        return varint(number << 3) + varint(int(value))
    if kind == "string":
        return counted(number, value.encode())
    if kind == "map":
        return b"".join(counted(number, counted(1, k.encode()) + counted(2, v.encode())) for k, v in value.items())
    return counted(number, pack(kind, value))


def pack(name, message):
    out = b""
    for field, value in message.items():
        number, kind = MESSAGES[name][field]
        if isinstance(kind, list):
            out += b"".join(pack_value(number, kind[0], v) for v in value)
        else:
            out += pack_value(number, kind, value)
    return out


def read_varint(data, at):
    n = shift = 0
    while True:
        n |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return n, at


def unpack(name, data):
    fields = {number: (field, kind) for field, (number, kind) in MESSAGES[name].items()}
    out, at = {}, 0
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag & 7 == 0:
            value, at = read_varint(data, at)
        elif tag & 7 == 2:
            size, at = read_varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            sys.exit(f"cri.py: wire type {tag & 7} in {name}")
        if tag >> 3 not in fields:
            continue
        field, kind = fields[tag >> 3]
        one = kind[0] if isinstance(kind, list) else kind
        if one == "string":
            value = value.decode(errors="replace")
        elif one != "int":
            value = unpack(one, value)
        if isinstance(kind, list):
            out.setdefault(field, []).append(value)
        else:
            out[field] = value
    return out


def main():
    path, method = sys.argv[1:3]
    request, answer = METHODS[method]
    message = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    with grpc.insecure_channel("unix://" + path) as channel:
        call = channel.unary_unary("/runtime.v1.RuntimeService/" + method,
                                   request_serializer=lambda m: pack(request, m),
                                   response_deserializer=lambda d: unpack(answer, d))
        try:
            print(json.dumps(call(message, timeout=60)))
        except grpc.RpcError as error:
            sys.exit(f"cri.py: {method}: {error.details()}")


main()
