"""The world inside the sandbox: people, their chats with the bot, messages and files.

Every visible change gets the next revision number and is published, so nobody has to poll.
Changes happen on one event loop, between awaits; nothing here waits.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from bot.sandbox.errors import ApiError, bad_request
from bot.sandbox.messages import Message
from bot.sandbox.pictures import Picture

Params = dict[str, Any]

STARS_AT_FIRST = 10_000
"""Play money in a new person's purse: enough for every plan of a demo, and visibly finite."""

_EPOCH = 1_767_225_600
"""2026-01-01. Numbers made from the time count from here, so that they stay below 2**31."""

CALLS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Change:
    """Something became visible.

    Attributes:
        chat_id: Whose chat; ``None`` when it concerns everybody.
        kind: ``message``, ``deleted``, ``action``, ``person`` or ``commands``.
        message: For ``message`` and ``deleted``.
        detail: For the rest.
    """

    chat_id: int | None
    kind: str
    message: Message | None = None
    detail: Params = field(default_factory=dict)


@dataclass(slots=True)
class Chat:
    """One person and the private chat with the bot; the person's id is the chat's id.

    Attributes:
        user: The Bot API ``User`` object.
        role: What the page calls the person.
        started: Whether the person ever wrote to the bot; before that the bot may not write.
        blocked: Whether the person has blocked the bot.
        stars: Play money left.
        instance: The ``chat_instance`` of callback queries.
        messages: What is in the chat now, by message id, oldest first.
        next_id: The next message id.
    """

    user: Params
    role: str
    stars: int
    next_id: int
    started: bool = False
    blocked: bool = False
    instance: str = field(default_factory=lambda: str(secrets.randbits(62)))
    messages: dict[int, Message] = field(default_factory=dict)

    @property
    def id(self) -> int:
        """The person's id, which is also the chat's."""
        return int(self.user["id"])

    def described(self) -> Params:
        """The Bot API ``Chat`` object."""
        names: Params = {k: self.user[k] for k in ("first_name", "username") if k in self.user}
        return {"id": self.id, "type": "private", **names}


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Uploaded content that ``getFile`` finds again."""

    file_id: str
    unique_id: str
    content: bytes
    picture: Picture

    @property
    def path(self) -> str:
        """The ``file_path`` of the Bot API."""
        return f"photos/{self.unique_id}.{self.picture.media_type.removeprefix('image/')}"


class World:
    """Everything that exists in one sandbox, apart from undelivered updates and money."""

    def __init__(self, bot: Params, wall_clock: Callable[[], float]) -> None:
        self.bot = bot
        self.wall_clock = wall_clock
        self.chats: dict[int, Chat] = {}
        self.files: dict[str, StoredFile] = {}
        self.commands: dict[str, list[Params]] = {}
        self.calls: deque[Any] = deque(maxlen=CALLS_KEPT)
        self.revision = 0
        self._watchers: set[asyncio.Queue[Change]] = set()

    def now(self) -> int:
        """Unix time for the ``date`` of messages, in seconds."""
        return int(self.wall_clock())

    def number_from_time(self, per_s: int = 1) -> int:
        """A start for a sequence of ids which a later sandbox starts above.

        Args:
            per_s: How many ids a second the sequence can use up without catching up.
        """
        return max(1, int((self.wall_clock() - _EPOCH) * per_s))

    def enter(self, user: Params, role: str, stars: int) -> Chat:
        """A new person, who has not written to the bot yet."""
        chat = Chat(user=user, role=role, stars=stars, next_id=self.number_from_time())
        self.chats[chat.id] = chat
        self.publish(Change(chat.id, "person"))
        return chat

    def person_changed(self, chat: Chat) -> None:
        """Purse, block or role are different now."""
        self.publish(Change(chat.id, "person"))

    def chat(self, chat_id: object) -> Chat:
        """The chat that a call names.

        Raises:
            ApiError: There is no such chat.
        """
        found = self.chats.get(chat_id) if isinstance(chat_id, int) else None
        if found is None:
            raise bad_request("chat not found")
        return found

    def writable(self, chat_id: object) -> Chat:
        """The chat, if the bot may write into it.

        Raises:
            ApiError: The person is unknown, never wrote, or has blocked the bot.
        """
        chat = self.chat(chat_id)
        if chat.blocked:
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        if not chat.started:
            raise ApiError(403, "Forbidden: bot can't initiate conversation with a user")
        return chat

    def add_message(self, chat: Chat, sender: Params, content: Params) -> Message:
        """Appends a message to the chat and publishes it."""
        raw = {
            "message_id": chat.next_id,
            "from": sender,
            "chat": chat.described(),
            "date": self.now(),
            **content,
        }
        chat.next_id += 1
        return self._show(chat, Message(self._next_revision(), raw, self._photo(raw)))

    def replace_message(self, chat: Chat, message: Message, raw: Params) -> Message:
        """Puts a changed message in the place of the old one and publishes it."""
        changed = replace(message, revision=self._next_revision(), raw=raw)
        return self._show(chat, changed)

    def delete_message(self, chat: Chat, message: Message) -> None:
        """Takes a message out of the chat."""
        del chat.messages[message.id]
        self._next_revision()
        self.publish(Change(chat.id, "deleted", message))

    def store_file(self, content: bytes, picture: Picture) -> StoredFile:
        """Keeps uploaded content under a fresh id."""
        stored = StoredFile(secrets.token_urlsafe(24), secrets.token_hex(8), content, picture)
        self.files[stored.file_id] = stored
        return stored

    def publish(self, change: Change) -> None:
        """Hands a change to everybody who watches."""
        for watcher in self._watchers:
            watcher.put_nowait(change)

    @contextmanager
    def watch(self) -> Iterator[asyncio.Queue[Change]]:
        """A queue of all changes from now on."""
        queue: asyncio.Queue[Change] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            yield queue
        finally:
            self._watchers.discard(queue)

    def _show(self, chat: Chat, message: Message) -> Message:
        chat.messages[message.id] = message
        self.publish(Change(chat.id, "message", message))
        return message

    def _next_revision(self) -> int:
        self.revision += 1
        return self.revision

    def _photo(self, raw: Params) -> bytes | None:
        sizes = raw.get("photo")
        return self.files[sizes[-1]["file_id"]].content if sizes else None
