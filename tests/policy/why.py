#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random policies of three domains, and attempts: what "vrun why" says of each, against what happens.

    why.py policies DIR     writes DIR/{a,b,c}.json, which load together
    why.py attempts DIR     writes DIR/{a,b,c}.attempts for the guest "attempts"
    why.py compare DIR IDS  asks "vrun why ID" about every line of DIR/{a,b,c}.out and compares

VRUN names the program; VRUN_SEED repeats another run."""

import json
import os
import random
import subprocess
import sys

VRUN = os.environ["VRUN"]
SEED = int(os.environ.get("VRUN_SEED", "20240229"))
NAMES = "abc"
ADDRESSES = {"a": ["10.88.0.1", "fd00:88::1"], "b": ["10.88.0.2", "fd00:88::2"], "c": ["10.88.0.3"]}
NOBODY = ["10.88.0.9", "10.99.1.1", "192.0.2.7", "fd00:88::9", "2001:db8::5"]
OWN = ["127.0.0.1", "127.0.0.77", "::1"]
PORTS = [1080, 2000, 2001, 2005, 3000, 65535]
HOSTS = ["*", "a", "b", "c", "alias-b", "10.88.0.0/24", "10.88.0.2", "10.0.0.0/8", "[fd00:88::/64]", "[fd00:88::2]",
         "192.0.2.0/24", "127.0.0.0/8", "0.0.0.0/0", "[::/0]"]
FROMS = ["*", "a", "b", "c", "10.88.0.0/24", "10.88.0.1", "[fd00:88::/64]"]
ERRORS = ["EACCES", "EHOSTUNREACH", "ECONNREFUSED"]
RANGES = ["*", "1080", "2000-2004", "2001", "2000-3000", "3000,65535"]


def rule(r):
    protos = r.choice(["tcp", "udp", ["tcp", "udp"]])
    verb = r.choice(["allow", "allow", "allow", "deny"])
    if r.random() < 0.6:
        out = {verb: "connect", "to": r.choice(HOSTS) + ":" + r.choice(RANGES), "proto": protos}
        if verb == "deny" and r.random() < 0.5:
            out["onDeny"] = r.choice(ERRORS)
        return out
    out = {verb: "listen", "at": ":" + r.choice(RANGES), "proto": protos}
    if verb == "allow" or r.random() < 0.5:
        out["from"] = r.sample(FROMS, r.randint(1, 2))
    return out


def loads(path):
    return subprocess.run([VRUN, "policy", "check", path], capture_output=True).returncode == 0


def policies(where):
    r = random.Random(SEED)
    for name in NAMES:
        path = os.path.join(where, name + ".json")
        doc = {"version": 1, "domain": name, "onDeny": r.choice(ERRORS), "net": {"address": ADDRESSES[name], "rules": []}}
        if name == "b":
            doc["net"]["names"] = ["alias-b"]
        for _ in range(24):
            doc["net"]["rules"].append(rule(r))
            with open(path, "w", encoding="ascii") as f:
                json.dump(doc, f, indent=1)
            if not loads(path) or len(doc["net"]["rules"]) > 9:
                doc["net"]["rules"].pop()
        with open(path, "w", encoding="ascii") as f:
            json.dump(doc, f, indent=1)


def leaves(where, name, proto, address, port):
    """Nothing is to be sent to the real world by a test: what would be allowed to is not tried."""
    if address not in NOBODY:
        return False
    question = [VRUN, "policy", "why", os.path.join(where, name + ".json"), "--connect", place(address, port), "--proto", proto]
    return subprocess.run(question, capture_output=True).returncode == 0


def attempts(where):
    r = random.Random(SEED + 1)
    count = int(os.environ.get("ATTEMPTS", "120"))
    everybody = [a for v in ADDRESSES.values() for a in v]
    for name in NAMES:
        lines = set()
        while len(lines) < count:
            proto, port = r.choice(["tcp", "tcp", "udp"]), r.choice(PORTS)
            if r.random() < 0.25:
                lines.add(f"listen {proto} {r.choice(ADDRESSES[name] + OWN + ['0.0.0.0', '::'])} {port}")
            else:
                address = r.choice(everybody * 3 + OWN + NOBODY)
                if not leaves(where, name, proto, address, port):
                    lines.add(f"connect {proto} {address} {port}")
        with open(os.path.join(where, name + ".attempts"), "w", encoding="ascii") as f:
            f.write("\n".join(sorted(sorted(lines), key=lambda _: r.random())) + "\n")


def place(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def why(run, kind, proto, address, port):
    what = place("" if address in ("0.0.0.0", "::") and kind == "listen" else address, port)
    p = subprocess.run([VRUN, "why", run, "--json", "--" + kind, what, "--proto", proto], capture_output=True, text=True)
    if p.returncode not in (0, 1):
        sys.exit(f"why {run} --{kind} {what}: {p.stderr}")
    return json.loads(p.stdout)


def compare(where, prefix):
    counts, bad, rules = {}, 0, set()
    for name in NAMES:
        with open(os.path.join(where, name + ".out"), encoding="ascii") as f:
            lines = f.read().splitlines()
        if not lines or lines.pop() != "end":
            sys.exit(f"{name}: the guest did not come to its end")
        for line in lines:
            kind, proto, address, port, happened = line.split()[:5]
            said = why(prefix + "-" + name, kind, proto, address, port)
            word = "allowed" if said["allow"] else "denied"
            # That nobody is there is not the policy's word; ECONNREFUSED may be either's.
            fits = happened == said["onDeny"] if word == "denied" else happened not in ("EACCES", "EHOSTUNREACH")
            counts[(kind, proto, word)] = counts.get((kind, proto, word), 0) + 1
            rules.update((s["file"], s["rule"]) for s in said["sides"] if "rule" in s)
            if not fits:
                bad += 1
                print(f"{name}: {line}\n  why says {word} {said.get('onDeny', '')}: {json.dumps(said['sides'])}")
    print(f"seed {SEED}: {sum(counts.values())} attempts, {len(rules)} rules decided, {bad} differ")
    for key in sorted(counts):
        print("  " + " ".join(key), counts[key])
    for word in ("allowed", "denied"):
        if sum(n for k, n in counts.items() if k[2] == word) < sum(counts.values()) / 10:
            sys.exit(f"hardly anything was {word}: this proves nothing")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    if sys.argv[1] == "policies":
        policies(sys.argv[2])
    elif sys.argv[1] == "attempts":
        attempts(sys.argv[2])
    else:
        compare(sys.argv[2], sys.argv[3])
