#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A random policy with a way out and published ports, on the tests' internet: what "vrun why" says of
attempts, against what happens.

    why_outside.py zone                 prints what the name server is to know
    why_outside.py policy FILE          writes a policy that loads
    why_outside.py try                  in the sandbox: everything it can try, a line each, while its ports are open
    why_outside.py visit FROM TO        outside: comes to every published port from an address
    why_outside.py compare ID FILE...   asks "vrun why ID" about every line that was printed

VRUN names the program; VRUN_SEED repeats another run."""

import errno
import json
import os
import random
import socket
import subprocess
import sys
import threading

VRUN = os.environ.get("VRUN")
SEED = int(os.environ.get("VRUN_SEED", "20240229"))
NAMES = {"web.example.com": "192.0.2.10", "api.example.com": "192.0.2.11", "deep.er.example.com": "192.0.2.12",
         "example.com": "192.0.2.13", "intranet.example.com": "10.20.0.1", "metadata.example.org": "169.254.169.254",
         "www.example.org": "203.0.113.5", "local.example.com": "127.0.0.1"}
ADDRESSES = ["192.0.2.10", "192.0.2.14", "203.0.113.5", "10.20.0.1", "169.254.169.254", "198.18.0.2"]
MACHINE = ["host", "198.18.0.2", "local.example.com"]
TCP, UDP = [80, 443, 8080], [7]
HOSTS = ["*", "web.example.com", "api.example.com", "*.example.com", "*.er.example.com", "example.com", "*.example.org",
         "192.0.2.0/24", "192.0.2.10", "10.20.0.1", "10.0.0.0/8", "169.254.169.254", "203.0.113.0/24", "0.0.0.0/0", "127.0.0.0/8", "host"]
RANGES = ["*", "80", "443", "1-443", "7", "80,8080", "7,443"]
ERRORS = ["EACCES", "EHOSTUNREACH", "ECONNREFUSED"]
FROMS = ["host", "198.51.100.1", "198.51.100.53", "198.51.100.0/24", "*", "0.0.0.0/0"]
PUBLISHED = {8000: 18400, 8001: 18401}


def rule(r):
    verb = r.choice(["allow", "allow", "deny"])
    if r.random() < 0.2:
        out = {"deny": "listen", "at": ":%d" % r.choice(sorted(PUBLISHED)), "from": [r.choice(FROMS)]}
    else:
        out = {verb: "connect", "to": r.choice(HOSTS) + ":" + r.choice(RANGES), "proto": r.choice(["tcp", "tcp", "udp", ["tcp", "udp"]])}
    if "deny" in out and r.random() < 0.5:
        out["onDeny"] = r.choice(ERRORS)
    return out


def policy(path):
    r = random.Random(SEED)
    rules = [{"allow": "listen", "at": ":%d" % port, "from": r.sample(FROMS, r.randint(1, 2)), "publish": "0.0.0.0:%d" % at}
             for port, at in PUBLISHED.items()]
    doc = {"version": 1, "domain": "app", "onDeny": r.choice(ERRORS), "net": {"rules": rules}}
    for _ in range(40):
        rules.append(rule(r))
        with open(path, "w", encoding="ascii") as f:
            json.dump(doc, f, indent=1)
        if subprocess.run([VRUN, "policy", "check", path], capture_output=True).returncode or len(rules) > 10:
            rules.pop()
    with open(path, "w", encoding="ascii") as f:
        json.dump(doc, f, indent=1)


def result(action):
    try:
        return action()
    except socket.gaierror:
        return "NXDOMAIN"
    except socket.timeout:
        return "silence"
    except OSError as e:
        return errno.errorcode.get(e.errno, "?")


def tcp(host, port):
    s = socket.socket()
    s.settimeout(20)
    with s:
        s.connect(socket.getaddrinfo(host, port, socket.AF_INET)[0][4])
        return "0" if s.recv(100) else "EOF"


def udp(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(20)
        s.sendto(b"x", socket.getaddrinfo(host, port, socket.AF_INET)[0][4])
        return "0" if s.recv(100) == b"x" else "?"


def greet(port):
    s = socket.socket()
    s.bind(("0.0.0.0", port))
    s.listen(20)
    while True:
        c, _ = s.accept()
        c.sendall(b"hello")
        c.close()


def attempt():
    for port in PUBLISHED:
        threading.Thread(target=greet, args=(port,), daemon=True).start()
    for host in list(NAMES) + ADDRESSES + ["host"]:
        if host in NAMES:
            print("resolve -", host, 0, result(lambda: socket.getaddrinfo(host, 1, socket.AF_INET) and "0"))
        for port in TCP:
            print("connect tcp", host, port, result(lambda: tcp(host, port)))
        for port in UDP if host not in MACHINE else []:
            print("connect udp", host, port, result(lambda: udp(host, port)))
    print("end", flush=True)
    sys.stdin.readline()


def visit(source, to):
    def once(port):
        with socket.create_connection((to, port), 20, (source, 0)) as s:
            return "0" if s.recv(100) == b"hello" else "EOF"

    for port, at in PUBLISHED.items():
        print("accept tcp", "host" if source == "127.0.0.1" else source, port, result(lambda: once(at)))
    print("end")


def why(run, kind, proto, host, port):
    what = {"resolve": ["--resolve", host], "connect": ["--connect", f"{host}:{port}"],
            "accept": ["--accept-from", f"{host}:{port}"]}[kind]
    if kind != "accept" and host in NAMES:
        what += ["--resolved", NAMES[host]]
    p = subprocess.run([VRUN, "why", run, "--json"] + what + (["--proto", proto] if kind == "connect" else []),
                       capture_output=True, text=True)
    if p.returncode not in (0, 1):
        sys.exit(f"why {run} {what}: {p.stderr}")
    return json.loads(p.stdout)


def fits(said, kind, host, happened):
    if kind == "accept":
        return happened == ("0" if said["allow"] else "ECONNRESET")
    if not said["allow"]:
        return happened == said["onDeny"]
    # Nobody listens on the machine itself.
    return happened == ("ECONNREFUSED" if host in MACHINE and kind == "connect" else "0")


def compare(run, files):
    counts, bad = {}, 0
    for path in files:
        with open(path, encoding="ascii") as f:
            lines = f.read().splitlines()
        if not lines or lines.pop() != "end":
            sys.exit(f"{path}: it did not come to its end")
        for line in lines:
            kind, proto, host, port, happened = line.split()
            said = why(run, kind, proto, host, port)
            key = (kind, proto, "allowed" if said["allow"] else "denied")
            counts[key] = counts.get(key, 0) + 1
            if not fits(said, kind, host, happened):
                bad += 1
                print(f"{line}\n  why says: {json.dumps(said)}")
    print(f"seed {SEED}: {sum(counts.values())} attempts, {bad} differ")
    for key in sorted(counts):
        print("  " + " ".join(key), counts[key])
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    if sys.argv[1] == "zone":
        print(json.dumps({name: {"A": [a]} for name, a in NAMES.items()}))
    elif sys.argv[1] == "policy":
        policy(sys.argv[2])
    elif sys.argv[1] == "try":
        attempt()
    elif sys.argv[1] == "visit":
        visit(sys.argv[2], sys.argv[3])
    else:
        compare(sys.argv[2], sys.argv[3:])
