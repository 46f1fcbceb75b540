"""How fast messages may go: Telegram's limits, as arithmetic on the caller's monotonic seconds.

Each limit is one number, the moment at which all that was sent is paid for; no timer refills it.
"""

from dataclasses import dataclass

#: Keeps the rounded sum of many fractions from refusing the message that just fits, seconds.
ROUNDING_S = 1e-6
#: More chats than this are looked through for those that may be forgotten.
MANY_CHATS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceLimits:
    """What Telegram allows: messages in one chat, and of the whole bot, edits included.

    `chat_interval_s` holds in the long run; after a quiet time `chat_burst` may go together, so
    that who has just paid does not wait for the link behind two lines of progress.
    """

    chat_interval_s: float
    chat_burst: int
    interval_s: float


#: https://core.telegram.org/bots/faq: one a second in a chat, with short bursts, and 30 a second
#: over all; 5 of these are left for the answers of the chat, which are never held up.
TELEGRAM = PaceLimits(chat_interval_s=1.0, chat_burst=3, interval_s=1 / 25)


class Pace:
    """Who may be written to, and when. Forgets chats that are quiet."""

    def __init__(self, limits: PaceLimits = TELEGRAM) -> None:
        self.limits = limits
        self._free_at = 0.0
        self._paused_until = 0.0
        self._chats: dict[int, float] = {}
        self._flooded: dict[int, float] = {}

    def paused(self, now: float) -> bool:
        """Whether nobody may be written to."""
        return now < self._paused_until

    def chat_wait_s(self, chat_id: int, now: float) -> float:
        """Seconds until this chat may have one more message; 0 when it may have it now."""
        spare = (self.limits.chat_burst - 1) * self.limits.chat_interval_s
        paced = self._chats.get(chat_id, now) - spare - now
        wait = max(paced, self._flooded.get(chat_id, now) - now)
        return wait if wait > ROUNDING_S else 0.0

    def take(self, chat_id: int, now: float) -> float:
        """Take the next place for a message to this chat: so many seconds from now."""
        at = max(now, self._free_at)
        self._free_at = at + self.limits.interval_s
        self._forget(now)
        self._chats[chat_id] = max(self._chats.get(chat_id, at), at) + self.limits.chat_interval_s
        return at - now

    def give_back(self, chat_id: int) -> None:
        """Nothing went to this chat after all: its own place is free again."""
        if chat_id in self._chats:
            self._chats[chat_id] -= self.limits.chat_interval_s

    def flooded(self, chat_id: int, after_s: float, now: float) -> None:
        """Telegram wants to hear nothing for a while.

        Its answer does not say whether it means the chat or the bot. Two chats at a time are the
        bot: then all wait, or each further message would make the wait longer.
        """
        self._forget(now)
        until = now + after_s
        if any(other != chat_id for other in self._flooded):
            self._paused_until = max(self._paused_until, until, *self._flooded.values())
        self._flooded[chat_id] = until

    @property
    def chats(self) -> int:
        """How many chats are remembered."""
        return len(self._chats.keys() | self._flooded.keys())

    def _forget(self, now: float) -> None:
        self._flooded = {chat: until for chat, until in self._flooded.items() if until > now}
        if len(self._chats) > MANY_CHATS:
            self._chats = {chat: until for chat, until in self._chats.items() if until > now}
