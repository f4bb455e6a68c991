"""E-mail of SNS: what is written, and how it gets to the configured SMTP server.

Headers are written by ``email.message``, which lets no line end in.
"""

import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Final

from outcrop.config import Mail
from outcrop.jobs.delivery import NotDelivered
from outcrop.topics.endpoints import Undeliverable
from outcrop.topics.envelopes import confirm_url, unsubscribe_url
from outcrop.topics.mail_password import password_of
from outcrop.topics.messages import Message

CONFIRMATION: Final = "AWS Notification - Subscription Confirmation"
LEFT: Final = "AWS Notification - Unsubscribe Confirmation"
NOTIFICATION: Final = "AWS Notification Message"
_TIMEOUT_S: Final = 30.0
_SENDER: Final = "AWS Notifications"


def subject_of(message: Message) -> str:
    match message.kind:
        case "SubscriptionConfirmation":
            return CONFIRMATION
        case "UnsubscribeConfirmation":
            return LEFT
        case "Notification":
            return message.subject or NOTIFICATION


def sender_name(message: Message, display_name: str) -> str:
    """Confirmations never bear the topic's name."""
    return display_name if message.kind == "Notification" and display_name else _SENDER


def text_of(message: Message, base_url: str, subscription_arn: str) -> str:
    match message.kind:
        case "SubscriptionConfirmation":
            return (
                "You have chosen to subscribe to the topic:\n"
                f"{message.topic_arn}\n\n"
                "To confirm the subscription, open this link:\n"
                f"{confirm_url(base_url, message)}\n\n"
                "If you did not ask for it, do nothing: without confirmation no messages are sent, "
                "and the link ends after three days.\n"
            )
        case "UnsubscribeConfirmation":
            return (
                "You no longer get messages of the topic:\n"
                f"{message.topic_arn}\n\n"
                "If this was a mistake, subscribe again by this link:\n"
                f"{confirm_url(base_url, message)}\n"
            )
        case "Notification":
            return (
                f"{message.body}\n\n-- \n"
                f"This message was published to {message.topic_arn}. To get no more of them, open "
                f"this link:\n{unsubscribe_url(base_url, subscription_arn)}\n"
            )


def write_mail(mail: Mail, to: str, name: str, subject: str, text: str) -> EmailMessage:
    written = EmailMessage()
    written["From"] = Address(display_name=name, addr_spec=mail.sender)
    written["To"] = Address(addr_spec=to)
    written["Subject"] = subject
    written["Date"] = formatdate(usegmt=True)
    written["Message-ID"] = make_msgid(domain=mail.sender.rpartition("@")[2])
    written.set_content(text)
    return written


def send_mail(mail: Mail, written: EmailMessage) -> None:
    """Blocks. Raises ``NotDelivered`` or ``Undeliverable``."""
    try:
        with _connected(mail) as server:
            server.send_message(written)
    except smtplib.SMTPRecipientsRefused as error:
        code, reason = next(iter(error.recipients.values()))
        said = f"The mail server refuses the address: {code} {_text(reason)}"
        raise (Undeliverable if code >= 500 else NotDelivered)(said) from error
    except smtplib.SMTPDataError as error:
        said = f"The mail server refuses the message: {error.smtp_code} {_text(error.smtp_error)}"
        raise (Undeliverable if error.smtp_code >= 500 else NotDelivered)(said) from error
    except (smtplib.SMTPException, OSError) as error:
        place = f"{mail.host}:{mail.port}"
        raise NotDelivered(f"The mail server {place} did not take the message: {error}") from error


def _connected(mail: Mail) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if mail.tls == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            mail.host, mail.port, timeout=_TIMEOUT_S, context=context
        )
    else:
        server = smtplib.SMTP(mail.host, mail.port, timeout=_TIMEOUT_S)
    try:
        if mail.tls == "starttls":
            server.starttls(context=context)
        if mail.username is not None:
            server.login(mail.username, password_of(mail))
    except (smtplib.SMTPException, OSError):
        server.close()
        raise
    return server


def _text(reason: bytes | str) -> str:
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
