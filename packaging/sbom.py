#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""usage: sbom.py PROGRAM [OUT]   an SPDX 2.3 list (JSON) of what the program is linked with, as the system that built it has it.

The dynamic linker says which libraries are loaded, the build folder beside the program which were copied into it, dpkg says
of which package and version each is. The list is the same for the same
program and packages: its date is SOURCE_DATE_EPOCH or the commit's, its name the program's checksum."""

import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
from urllib.parse import quote

ROOT = pathlib.Path(__file__).resolve().parents[1]


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def checksum(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def needed(program):
    """The libraries that the program itself names, and where the dynamic linker finds them."""
    names = re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "-dW", program))
    found = dict(re.findall(r"^\s*(\S+) => (/\S+)", output("ldd", program), re.MULTILINE))
    return [(name, os.path.realpath(found[name])) for name in sorted(names) if name in found]


def copied(program):
    """The static libraries that the build found, which are in the program itself."""
    cache = pathlib.Path(program).parent / "CMakeCache.txt"
    paths = re.findall(r"^\w+_LIBRARY:FILEPATH=(/\S+\.a)$", cache.read_text(), re.MULTILINE) if cache.exists() else []
    return [(os.path.basename(path), os.path.realpath(path)) for path in sorted(paths)]


def package_of(path):
    """(package, version, architecture) by dpkg; it knows files by the path before or after /usr was merged."""
    for candidate in (path, path.removeprefix("/usr")):
        done = subprocess.run(["dpkg-query", "-S", candidate], capture_output=True, text=True)
        if done.returncode == 0:
            package = done.stdout.split(": ")[0].split(",")[0]
            return package.split(":")[0], *output("dpkg-query", "-W", "-f=${Version} ${Architecture}", package).split()
    sys.exit(f"sbom: no package has {path}")


def created():
    seconds = os.environ.get("SOURCE_DATE_EPOCH") or output("git", "log", "-1", "--format=%ct")
    return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def document(program):
    own = checksum(program)
    version = output(program, "--version").split()[1]
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)', pathlib.Path("/etc/os-release").read_text(), re.MULTILINE))
    packages = [{
        "SPDXID": "SPDXRef-muster", "name": "muster", "versionInfo": version, "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
        "licenseConcluded": "MIT", "licenseDeclared": "MIT", "copyrightText": "2026 The Muster authors",
        "primaryPackagePurpose": "APPLICATION", "checksums": [{"algorithm": "SHA256", "checksumValue": own}]}]
    relations = [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-muster"}]
    libraries = [(*one, "DYNAMIC_LINK") for one in needed(program)] + [(*one, "STATIC_LINK") for one in copied(program)]
    for soname, path, how in libraries:
        package, package_version, architecture = package_of(path)
        reference = "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", soname)
        packages.append({
            "SPDXID": reference, "name": package, "versionInfo": package_version, "packageFileName": soname,
            "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION", "primaryPackagePurpose": "LIBRARY",
            "checksums": [{"algorithm": "SHA256", "checksumValue": checksum(path)}],
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                              "referenceLocator": f"pkg:deb/debian/{quote(package)}@{quote(package_version, ':')}"
                                                  f"?arch={architecture}&distro={release['VERSION_CODENAME']}"}]})
        relations.append({"spdxElementId": "SPDXRef-muster", "relationshipType": how, "relatedSpdxElement": reference})
    return {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"muster-{version}",
        "documentNamespace": f"https://muster.invalid/spdx/{version}/{own}",
        "creationInfo": {"created": created(), "creators": ["Tool: packaging/sbom.py", "Organization: The Muster authors"]},
        "packages": packages, "relationships": relations}


def main():
    text = json.dumps(document(os.path.realpath(sys.argv[1])), indent=1) + "\n"
    if len(sys.argv) > 2:
        pathlib.Path(sys.argv[2]).write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
