"""Which windows of which jobs run together: one of each waiting job in turn, so that a long job
delays a short one by a batch at most. Nothing waits for company."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from outcrop.engines.lift import lift
from outcrop.engines.onnx.messages import Done, Job
from outcrop.engines.onnx.model import Floats, SentenceModel, Window

BATCH_WINDOWS = 32
# Counted with padding: the work of a run grows with its longest window.
BATCH_TOKENS = 1024


@dataclass(slots=True)
class Pending:
    """A job at work: ``waiting`` holds (text, window) pairs, the longest last."""

    job: Job
    tokens: list[int]
    sums: Floats
    weights: Floats
    waiting: list[tuple[int, Window]] = field(default_factory=list[tuple[int, Window]])


def admit(job: Job, model: SentenceModel) -> Pending:
    """Raises InputTooLong before anything of the job has run."""
    ids = [model.tokenize(text, job.max_tokens, job.truncate) for text in job.texts]
    windows = [
        (text, window) for text, tokens in enumerate(ids) for window in model.windows(tokens)
    ]
    return Pending(
        job,
        [len(tokens) for tokens in ids],
        np.zeros((len(ids), model.dimensions), np.float32),
        np.zeros((len(ids), 1), np.float32),
        sorted(windows, key=lambda pair: len(pair[1])),
    )


class Batcher:
    def __init__(self, model: SentenceModel) -> None:
        self.batches = 0
        self._model = model
        self._jobs: deque[Pending] = deque()

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def add(self, job: Job) -> None:
        if job.texts:
            self._jobs.append(admit(job, self._model))

    def cancel(self, identity: int) -> None:
        self._jobs = deque(pending for pending in self._jobs if pending.job.id != identity)

    def run(self) -> list[Done]:
        """Run one batch; the jobs that are complete by it."""
        picked = self._pick()
        self.batches += 1
        vectors = self._model.run([window for _, _, window in picked])
        for (pending, text, window), vector in zip(picked, vectors, strict=True):
            weight = np.float32(max(len(window), 1))
            pending.sums[text] += vector * weight
            pending.weights[text] += weight
        complete = {pending.job.id: pending for pending, _, _ in picked if not pending.waiting}
        return [self._done(pending) for pending in complete.values()]

    def _pick(self) -> list[tuple[Pending, int, Window]]:
        picked: list[tuple[Pending, int, Window]] = []
        longest = 0
        while self._jobs and len(picked) < BATCH_WINDOWS:
            pending = self._jobs[0]
            longest = max(longest, len(pending.waiting[-1][1]) + 2)
            if picked and longest * (len(picked) + 1) > BATCH_TOKENS:
                break
            picked.append((pending, *pending.waiting.pop()))
            self._jobs.popleft()
            if pending.waiting:
                self._jobs.append(pending)
        return picked

    def _done(self, pending: Pending) -> Done:
        job = pending.job
        vectors = pending.sums / pending.weights
        if job.normalize:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.where(lengths == 0, 1, lengths)
        lifted = lift(vectors, job.dimensions, "onnx").astype("<f4")
        return Done(job.id, lifted.tobytes(), tuple(pending.tokens), self.batches)
