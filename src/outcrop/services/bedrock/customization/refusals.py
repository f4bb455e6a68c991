"""Why a customization job cannot go on, as its owner is told."""


class JobRefused(Exception):
    """It is the job's failure message: what is missing or wrong is its owner's to mend."""
