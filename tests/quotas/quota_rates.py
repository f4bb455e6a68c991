"""What calls of a model on demand are limited to, one unit at a time."""

from outcrop.catalog.model import Model
from outcrop.quotas.book import QuotaBook


def per_minute(book: QuotaBook, account: str, region: str, model: Model, unit: str) -> int | None:
    rates = book.rates(account, region, model)
    return next((rate.per_minute for rate in rates if rate.unit == unit), None)
