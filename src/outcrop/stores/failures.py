"""What a store can refuse. The message is one sentence that a user can act on."""


class StoreError(Exception):
    pass


class NoSuchItem(StoreError):
    pass


class NameTaken(StoreError):
    pass


class DamagedRecord(StoreError):
    pass
