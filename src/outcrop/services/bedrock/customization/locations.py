"""Where a job's data and results lie in S3, read strictly from the URIs that its owner gave."""

import re
from dataclasses import dataclass
from typing import Final

from outcrop.services.bedrock.customization.refusals import JobRefused
from outcrop.training.spec import TRAINING_METRICS, VALIDATION_METRICS

_URI: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?")
_MOST_KEY_BYTES: Final = 1024
_TRAINING_RESULT: Final = f"training_artifacts/{TRAINING_METRICS}"
_VALIDATION_RESULT: Final = f"validation_artifacts/post_fine_tuning_validation/{VALIDATION_METRICS}"


@dataclass(frozen=True, slots=True)
class Location:
    """An object, or the folder with this prefix, which is empty or ends in a slash."""

    bucket: str
    key: str

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    def below(self, name: str) -> "Location":
        """Raises ``JobRefused`` for a key that S3 does not take."""
        return _checked(Location(self.bucket, self.key + name))


def read_file_uri(uri: str) -> Location:
    """Of one object. Raises ``JobRefused``: a folder is none, its files are not looked for."""
    bucket, key = _read(uri)
    if not key or key.endswith("/"):
        raise JobRefused(
            f"{uri!r} names no file in S3. Give the URI of one JSONL file: s3://bucket/key"
        )
    return _checked(Location(bucket, key))


def read_folder_uri(uri: str) -> Location:
    """With and without a slash at its end; the bucket itself is a folder. Raises ``JobRefused``."""
    bucket, key = _read(uri)
    return _checked(Location(bucket, key if not key or key.endswith("/") else f"{key}/"))


def result_names(job_id: str, *, is_validated: bool) -> list[str]:
    """Of a job's results below its output folder, where the documents say that they are."""
    names = [_TRAINING_RESULT, *([_VALIDATION_RESULT] if is_validated else [])]
    return [f"model-customization-job-{job_id}/{name}" for name in names]


def _read(uri: str) -> tuple[str, str]:
    found = _URI.fullmatch(uri)
    if found is None:
        raise JobRefused(f"{uri!r} is no URI of S3. Its form is s3://bucket/key")
    return found[1], found[2] or ""


def _checked(location: Location) -> Location:
    if len(location.key.encode("utf-8", "surrogatepass")) > _MOST_KEY_BYTES:
        raise JobRefused(
            f"The key {location.key[:80]!r}... in the S3 bucket {location.bucket} has more than "
            f"{_MOST_KEY_BYTES} bytes."
        )
    return location
