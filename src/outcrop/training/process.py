"""The training process. Run as ``python -m outcrop.training.process``; what it is told and what it
reports stands in ``spec``. Data are read and judged before PyTorch is imported.
"""

import os
import signal
from typing import Final

import msgspec

from outcrop.processes.affinity import allowed_cpus
from outcrop.processes.parent import die_with
from outcrop.training.bases import BaseBroken
from outcrop.training.checkpoints import CheckpointUnusable
from outcrop.training.cluster import ClusterBroken, train_on_cluster
from outcrop.training.datasets import DataRejected
from outcrop.training.job import Data, read_data, told, train_job
from outcrop.training.libraries import LibraryMissing, load_libraries
from outcrop.training.loop import Diverged, StopAsked
from outcrop.training.orders import Orders, Reports, read_spec
from outcrop.training.spec import Broken, Rejected, Trained, TrainingSpec
from outcrop.training.tokenizer import BaseUnusable

_STDOUT, _STDERR = 1, 2
_REASONS: Final = (BaseBroken, BaseUnusable, CheckpointUnusable, ClusterBroken, LibraryMissing)


def main() -> None:
    # stdout is the reports' alone: whatever a library prints goes to stderr.
    out = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reports = Reports(out)
    try:
        spec = read_spec()
    except msgspec.DecodeError as error:
        reports.end(Broken(message=f"The training process was not told what to train: {error}"))
        os._exit(1)
    die_with(spec.parent)
    orders = Orders(reports, spec.cluster)
    orders.listen()
    _work(spec, reports, orders)
    # No clean-up: threads of libraries may still run.
    os._exit(0)


def _work(spec: TrainingSpec, reports: Reports, orders: Orders) -> None:
    try:
        data = read_data(spec)
        reports.report(told(data))
        reports.end(_train(spec, data, reports, orders))
    except StopAsked:
        reports.stop()
    except (DataRejected, Diverged) as error:
        reports.end(Rejected(message=str(error)))
    except _REASONS as error:
        reports.end(Broken(message=str(error)))
    except MemoryError:
        reports.end(Broken(message="The training process has no memory left."))
    # PyTorch's own words tell shapes, devices and memory, and no data.
    except RuntimeError as error:
        reports.end(Broken(message=f"{_place(error)} {str(error)[:500]}"))
    # The last resort: whatever a library raises is a report. Its text may quote the data, so the
    # kind of error and the place tell what happened.
    except Exception as error:  # noqa: BLE001
        reports.end(Broken(message=_place(error)))


def _train(spec: TrainingSpec, data: Data, reports: Reports, orders: Orders) -> Trained:
    if spec.cluster is not None:
        return train_on_cluster(spec, spec.cluster, data, reports, orders)
    _limit_threads(spec)
    return train_job(spec, data, reports, orders)


def _limit_threads(spec: TrainingSpec) -> None:
    load_libraries().torch.set_num_threads(spec.threads or len(allowed_cpus()))


def _place(error: Exception) -> str:
    trace, where = error.__traceback__, "nowhere"
    while trace is not None:
        where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"Training failed: {type(error).__name__} at {where}."


if __name__ == "__main__":
    main()
