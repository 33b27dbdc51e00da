# SPDX-License-Identifier: Apache-2.0
"""The schema against the loader; see schema.sh."""

import copy
import glob
import json
import os
import random
import subprocess
import sys
import tempfile

import jsonschema

SRC, VRUN = sys.argv[1:3]
COUNT = 3000
VALUES = [
    None, True, 0, 1, -1, 65536, 1.5, "", "x", "none", "loopback", "udp", "tcp", "wire", "db:5432", ":80", "host",
    "host:1", "a.example:443", "*.a.example:80,443", "[2001:db8::/32]:1-2", "10.0.0.0/8:*", "10.0.0.1", "a b", "a:0",
    "a:080", "512M", "1MB/s", "0", "10", "127.0.0.1:0", "[::]:80", "localhost", "kill", "MX", [], {}, ["a"],
    ["a:1", "b:2"], ["tcp", "udp"], ["a", "a"], {"file": "x"}, {"names": ["a.b"]}, {"pools": ["10.0.0.0/16"]},
]
results = []


def report(ok, text, *details):
    results.append(ok)
    print(f"{'ok' if ok else 'not ok'} {len(results)} - {text}")
    for detail in details if not ok else ():
        print("#", detail)


def places(doc, found):
    """Every container with a key or index of it."""
    items = doc.items() if isinstance(doc, dict) else enumerate(doc) if isinstance(doc, list) else ()
    for key, value in list(items):
        found.append((doc, key))
        places(value, found)
    return found


def mutate(doc, keys, rng):
    doc = copy.deepcopy(doc)
    for _ in range(rng.choice([1, 1, 2])):
        container, key = rng.choice(places(doc, []))
        kind = rng.randrange(4)
        if kind == 0:
            del container[key]
        elif kind == 1:
            container[key] = copy.deepcopy(rng.choice(VALUES))
        elif kind == 2 and isinstance(container, dict):
            container[rng.choice(keys)] = copy.deepcopy(rng.choice(VALUES))
        elif isinstance(container, list):
            container.append(copy.deepcopy(rng.choice([container[key], rng.choice(VALUES)])))
        if not places(doc, []):
            break
    return doc


def all_keys(node, found):
    if isinstance(node, dict):
        found |= set(node.get("properties", {}))
        for value in node.values():
            all_keys(value, found)
    elif isinstance(node, list):
        for value in node:
            all_keys(value, found)
    return found


def loader_accepts(docs):
    """One verdict for each document."""
    with tempfile.TemporaryDirectory(prefix="vrun-schema-") as directory:
        paths = []
        for i, doc in enumerate(docs):
            paths.append(os.path.join(directory, f"{i}.json"))
            with open(paths[-1], "w", encoding="utf-8") as f:
                json.dump(doc, f)
        out = subprocess.run([VRUN, "policy", "check", "--json", *paths], stdout=subprocess.PIPE, check=False)
        return [(not entry["errors"], entry["errors"]) for entry in json.loads(out.stdout)]


def main():
    with open(f"{SRC}/bundle-spec/policy.schema.json", encoding="utf-8") as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    report(True, "the schema is one")
    printed = subprocess.run([VRUN, "policy", "schema"], stdout=subprocess.PIPE, check=False).stdout
    report(json.loads(printed or b"null") == schema, "vrun policy schema prints it")

    seeds = []
    for path in sorted(glob.glob(f"{SRC}/policies/*.json") + glob.glob(f"{SRC}/tests/fuzz/corpus-policy/*")):
        try:
            with open(path, encoding="utf-8") as f:
                doc = json.load(f)
        except ValueError:
            continue
        if path.endswith(".test.json"):
            continue
        (accepted, errors), = loader_accepts([doc])
        complaint = next(validator.iter_errors(doc), None)
        if accepted:
            seeds.append(doc)
            report(complaint is None, f"{os.path.basename(path)} is valid", complaint and complaint.message)
        else:
            print("#", os.path.basename(path), "is refused by the loader:", errors[0]["message"])

    seed = int(os.environ.get("VRUN_SEED", "1"))
    rng = random.Random(seed)
    keys = sorted(all_keys(schema, set())) + ["unknown"]
    docs = [mutate(rng.choice(seeds), keys, rng) for _ in range(COUNT)]
    counts = {}
    bad = []
    for doc, (accepted, errors) in zip(docs, loader_accepts(docs)):
        valid = validator.is_valid(doc)
        counts[accepted, valid] = counts.get((accepted, valid), 0) + 1
        if accepted and not valid:
            bad.append(json.dumps(doc) + " " + next(validator.iter_errors(doc)).message[:200])
    report(not bad, f"the schema accepts what the loader accepts, in {COUNT} documents (seed {seed})", *bad[:3])
    report(counts.get((True, True), 0) > COUNT // 20, "many of them are accepted by both", counts)
    report(counts.get((False, False), 0) > COUNT // 4, "many are refused by both", counts)
    # Structure is the schema's business: what it lets through and the loader refuses is about meaning.
    share = counts.get((False, True), 0) / COUNT
    report(share < 0.2, "the schema misses little", f"{share:.0%} are refused by the loader alone")
    print("#", {f"loader {a}, schema {v}": n for (a, v), n in sorted(counts.items())})
    print(f"1..{len(results)}")
    return 0 if all(results) else 1


sys.exit(main())
