"""The independent evaluator ``@cloud-copilot/iam-simulate``, beside us and never part of us.

Its licence is the AGPL: it is installed into a directory that the test throws away, and driven
through a process by JSON lines.
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from policy_cases import EVERYTHING, Case, Document, document

PACKAGE = "@cloud-copilot/iam-simulate@0.1.173"
PROGRAM = Path(__file__).with_name("iam_simulate.mjs")
TIMEOUT_S = 300

# Cases about one statement carry context keys of any type, which the checking entry would drop.
_UNCHECKED = ("condition", "elements")


class Simulator:
    def __init__(self, directory: Path) -> None:
        """Installs the evaluator there."""
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(directory), PACKAGE],
            check=True,
            capture_output=True,
            timeout=TIMEOUT_S,
        )
        self._program = Path(shutil.copy(PROGRAM, directory))

    def verdicts(self, cases: Sequence[Case]) -> list[str]:
        lines = b"\n".join(msgspec.json.encode(_simulation(case)) for case in cases)
        done = subprocess.run(
            ["node", str(self._program)],
            input=lines,
            check=False,
            capture_output=True,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == 0, done.stderr.decode()
        return [msgspec.json.decode(line, type=str) for line in done.stdout.splitlines()]


def _simulation(case: Case) -> dict[str, Any]:
    subject = case.subject
    simulation: dict[str, Any] = {
        "request": {
            "principal": {"type": "Anonymous"} if subject.kind == "anonymous" else subject.arn,
            "action": case.action,
            "resource": {"resource": case.resource, "accountId": case.owner},
            "contextVariables": case.keys,
        },
        # It knows no root user: what root may, a user may who is allowed everything.
        "identityPolicies": _named(
            [document(EVERYTHING)] if subject.kind == "root" else case.identity
        ),
        "serviceControlPolicies": [
            {"orgIdentifier": str(index), "policies": _named(level)}
            for index, level in enumerate(case.service_control)
        ],
        "resourceControlPolicies": [],
        "sessionPolicy": case.session,
        "resourcePolicy": case.resource_policy,
        "permissionBoundaryPolicies": _named([case.boundary]) if case.boundary else None,
        "vpcEndpointPolicies": _named([case.endpoint]) if case.endpoint else None,
    }
    given = {key: value for key, value in simulation.items() if value is not None}
    return {"checked": case.kind not in _UNCHECKED, "simulation": given}


def _named(documents: Sequence[Document]) -> list[dict[str, Any]]:
    return [{"name": str(index), "policy": each} for index, each in enumerate(documents)]
