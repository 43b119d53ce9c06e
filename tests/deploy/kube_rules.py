# SPDX-License-Identifier: MIT
"""What must hold of every set of manifests that is made here, whatever the values: judge(objects, ...)."""

import re

NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
PORT_NAME = re.compile(r"^(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$")
LABEL = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?$")
WORKLOADS = ("Deployment", "Job", "Pod")


def of_kind(objects, *kinds):
    return [thing for thing in objects if thing["kind"] in kinds]


def named(objects, kind, name):
    found = [thing for thing in of_kind(objects, kind) if thing["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}: {[thing['metadata']['name'] for thing in of_kind(objects, kind)]}"
    return found[0]


def pod_of(thing):
    """(labels, spec) of the pods that a workload makes."""
    template = thing if thing["kind"] == "Pod" else thing["spec"]["template"]
    return template["metadata"].get("labels", {}), template["spec"]


def containers(spec):
    """Those before the pod's own, too."""
    return spec.get("initContainers", []) + spec["containers"]


def is_hook(thing):
    return "helm.sh/hook" in thing["metadata"].get("annotations", {})


def environment(container):
    """Name to its value, or to its source."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container.get("env", ())}


def seconds(duration):
    assert duration.endswith("s")
    return int(duration[:-1])


def judge_metadata(thing):
    meta = thing["metadata"]
    assert NAME.match(meta["name"]), meta["name"]
    for label in meta.get("labels", {}).values():
        assert LABEL.match(label), label
    for note in meta.get("annotations", {}).values():
        assert isinstance(note, str), f"{meta['name']}: an annotation that is no string: {note!r}"


def judge_security(spec):
    """The restricted profile of pod security, and some more."""
    assert spec["enableServiceLinks"] is False
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    pod = spec["securityContext"]
    assert pod["runAsNonRoot"] is True and pod.get("runAsUser", 1) > 0  # OpenShift chooses one
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(spec):
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False and own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}


def judge_container(container, spec):
    names = [entry["name"] for entry in container.get("env", ())]
    assert len(names) == len(set(names)), f"twice in env: {names}"
    for entry in container.get("env", ()):
        assert isinstance(entry.get("value", ""), str), entry
    ports = [(port["containerPort"], port.get("protocol", "TCP")) for port in container.get("ports", ())]
    assert len(ports) == len(set(ports)), f"twice in ports: {ports}"
    port_names = [port["name"] for port in container.get("ports", ())]
    assert len(port_names) == len(set(port_names)) and all(map(PORT_NAME.match, port_names)), port_names
    volumes = {volume["name"] for volume in spec.get("volumes", ())}
    assert {mount["name"] for mount in container.get("volumeMounts", ())} <= volumes
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if "httpGet" in container.get(probe, {}):
            assert container[probe]["httpGet"]["port"] in port_names


def judge_grace(spec):
    """Kubernetes must not kill before preStop and the drain are over."""
    for container in spec["containers"]:
        drain = environment(container).get("MUSTER_DRAIN")
        if drain is not None and "lifecycle" in container:
            pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
            assert spec["terminationGracePeriodSeconds"] > pause + seconds(drain)
            assert pause > 0


def variables_of(objects):
    """Every setting that containers are given."""
    return {name for thing in of_kind(objects, *WORKLOADS) for container in containers(pod_of(thing)[1])
            for name in environment(container) if name.startswith("MUSTER_")}


def judge_references(spec, objects, thing, kept):
    """What a pod names is there, or is one of `kept`: names of what the operator keeps."""
    hook = is_hook(thing) and "test" not in thing["metadata"]["annotations"]["helm.sh/hook"]
    there = [other for other in objects if not hook or is_hook(other)]  # a hook runs before the rest is made
    account = spec.get("serviceAccountName", "default")
    if account != "default" and account not in kept:
        named(there, "ServiceAccount", account)
    for container in containers(spec):
        for source in environment(container).values():
            reference = source.get("secretKeyRef") if isinstance(source, dict) else None
            if reference and reference["name"] not in kept:
                secret = named(there, "Secret", reference["name"])
                known = {**secret.get("stringData", {}), **secret.get("data", {})}
                assert reference.get("optional") or reference["key"] in known, reference
    for volume in spec.get("volumes", ()):
        if "configMap" in volume and volume["configMap"]["name"] not in kept:
            named(there, "ConfigMap", volume["configMap"]["name"])
        if volume.get("secret", {}).get("items") and volume["secret"]["secretName"] not in kept:
            known = named(there, "Secret", volume["secret"]["secretName"])["stringData"]
            assert {item["key"] for item in volume["secret"]["items"]} <= known.keys(), "a pod would wait for its key for ever"


def selected(objects, selector):
    """The workloads, but for jobs and tests, whose pods a selector takes."""
    return [thing for thing in of_kind(objects, "Deployment")
            if selector.items() <= pod_of(thing)[0].items()]


def judge_policy(policy):
    """Empty lists are dropped by Kubernetes: a tool that applies or compares again would find a change for ever."""
    assert [] not in policy["spec"].values(), f"{policy['metadata']['name']}: {policy['spec']}"


def judge_service(service, objects):
    spec = service["spec"]
    targets = selected(objects, spec["selector"])
    assert targets, f"Service {service['metadata']['name']} leads nowhere"
    for target in targets:
        _, pod = pod_of(target)
        names = {port["name"]: port.get("protocol", "TCP") for port in pod["containers"][0]["ports"]}
        for port in spec["ports"]:
            assert PORT_NAME.match(port["name"]), port
            if isinstance(port["targetPort"], str):
                assert names.get(port["targetPort"]) == port.get("protocol", "TCP"), port
    for other in of_kind(objects, "Job", "Pod"):
        assert not spec["selector"].items() <= pod_of(other)[0].items() or spec.get("clusterIP") == "None", \
            f"Service {service['metadata']['name']} would send clients to {other['metadata']['name']}"


def judge_selectors(objects):
    for thing in of_kind(objects, "Deployment"):
        chosen = thing["spec"]["selector"]["matchLabels"]
        assert selected(objects, chosen) == [thing], f"{thing['metadata']['name']} shares its selector"
    for thing in of_kind(objects, "PodDisruptionBudget"):
        assert len(selected(objects, thing["spec"]["selector"]["matchLabels"])) == 1


def judge(objects, kept=()):
    """kept: names of Secrets, accounts and the like that are somebody else's."""
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in objects]
    assert len(names) == len(set(names)), names
    for thing in objects:
        judge_metadata(thing)
    for thing in of_kind(objects, *WORKLOADS):
        _, spec = pod_of(thing)
        judge_security(spec)
        judge_grace(spec)
        judge_references(spec, objects, thing, kept)
        for container in containers(spec):
            judge_container(container, spec)
    for service in of_kind(objects, "Service"):
        judge_service(service, objects)
    for policy in of_kind(objects, "NetworkPolicy"):
        judge_policy(policy)
    judge_selectors(objects)
