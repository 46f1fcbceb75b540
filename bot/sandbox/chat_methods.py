"""The Bot API methods that show something in a chat: send, edit, delete, answer a tap."""

import asyncio

from bot.sandbox import rates, rules
from bot.sandbox.calls import Call
from bot.sandbox.entities import Formatted, formatted
from bot.sandbox.errors import ApiError, bad_request
from bot.sandbox.messages import Message
from bot.sandbox.questions import Questions
from bot.sandbox.rates import RateLimit
from bot.sandbox.state import Change, Chat, Params, World

_OVERALL = 0


class Sender:
    """The one way by which the bot's new messages enter a chat, and where its pace is limited."""

    def __init__(self, world: World, per_chat: RateLimit, overall: RateLimit) -> None:
        self._world = world
        self._limits = (per_chat, overall)
        self._full_at: dict[int, float] = {}

    def send(self, params: Params, content: Params, *, invoice: bool = False) -> Message:
        """Adds a message of the bot.

        Args:
            params: The parameters which all sending methods share.
            content: What makes this message what it is: text, photo, invoice.
            invoice: Whether its keyboard may have, and must begin with, a Pay button.

        Raises:
            ApiError: The bot may not write there, writes too fast, or the keyboard is wrong.
        """
        markup = params.get("reply_markup")
        rules.check_keyboard(markup, invoice=invoice)
        chat = self._world.writable(params["chat_id"])
        whole = {**self._reply(chat, params), **content, **shown_markup(markup)}
        self._take_turn(chat)
        return self._world.add_message(chat, self._world.bot, whole)

    def _take_turn(self, chat: Chat) -> None:
        now = asyncio.get_running_loop().time()
        keys = (chat.id, _OVERALL)
        states = [self._full_at.get(key, now) for key in keys]
        pairs = list(zip(self._limits, states, strict=True))
        wait = max(rates.wait_s(limit, state, now) for limit, state in pairs)
        if wait:
            raise ApiError(429, f"Too Many Requests: retry after {wait}", wait)
        for key, (limit, state) in zip(keys, pairs, strict=True):
            self._full_at[key] = rates.take(limit, state, now)

    def _reply(self, chat: Chat, params: Params) -> Params:
        wanted = params.get("reply_parameters")
        if not wanted:
            return {}
        found = chat.messages.get(wanted.get("message_id", 0))
        if found is None and not wanted.get("allow_sending_without_reply"):
            raise bad_request("message to be replied not found")
        if found is None:
            return {}
        # One level only, as Telegram does, however long the chain of replies is.
        return {"reply_to_message": {k: v for k, v in found.raw.items() if k != "reply_to_message"}}


class ChatMethods:
    """Messages, photos, edits, deletion, answers to taps, chat actions, files."""

    def __init__(self, world: World, sender: Sender, taps: Questions) -> None:
        self._world = world
        self._sender = sender
        self._taps = taps

    def send_message(self, call: Call) -> Params:
        """See https://core.telegram.org/bots/api#sendmessage."""
        return self._sender.send(call.params, _text(call.params)).raw

    def send_photo(self, call: Call) -> Params:
        """See https://core.telegram.org/bots/api#sendphoto; uploads and known file ids only."""
        caption = _caption(call.params)
        if (content := call.files.get("photo")) is not None:
            file_id = self._world.store_file(content, rules.check_photo(content)).file_id
        else:
            file_id = call.params["photo"]
        stored = self._world.files.get(file_id)
        if stored is None:
            raise bad_request("wrong file identifier/HTTP URL specified")
        size = {
            "file_id": file_id,
            "file_unique_id": stored.unique_id,
            "width": stored.picture.width,
            "height": stored.picture.height,
            "file_size": len(stored.content),
        }
        return self._sender.send(call.params, {"photo": [size], **caption}).raw

    def edit_message_text(self, call: Call) -> Params:
        """See https://core.telegram.org/bots/api#editmessagetext."""
        return self._edit(call.params, "text", ("text", "entities"), _text(call.params))

    def edit_message_caption(self, call: Call) -> Params:
        """See https://core.telegram.org/bots/api#editmessagecaption."""
        names = ("caption", "caption_entities")
        return self._edit(call.params, "photo", names, _caption(call.params))

    def edit_message_reply_markup(self, call: Call) -> Params:
        """See https://core.telegram.org/bots/api#editmessagereplymarkup."""
        return self._edit(call.params, None, (), {})

    def delete_message(self, call: Call) -> bool:
        """See https://core.telegram.org/bots/api#deletemessage."""
        chat = self._world.chat(call.params["chat_id"])
        message = chat.messages.get(call.params["message_id"])
        if message is None:
            raise bad_request("message to delete not found")
        if self._world.now() - message.raw["date"] > rules.DELETABLE_FOR_S:
            raise bad_request("message can't be deleted for everyone")
        self._world.delete_message(chat, message)
        return True

    def answer_callback_query(self, call: Call) -> bool:
        """See https://core.telegram.org/bots/api#answercallbackquery."""
        rules.check_callback_answer(call.params.get("text", ""))
        self._taps.answer(call.params["callback_query_id"], call.params)
        return True

    def send_chat_action(self, call: Call) -> bool:
        """See https://core.telegram.org/bots/api#sendchataction."""
        rules.check_chat_action(call.params["action"])
        chat = self._world.writable(call.params["chat_id"])
        detail = {"action": call.params["action"]}
        self._world.publish(Change(chat.id, "action", detail=detail))
        return True

    def get_file(self, call: Call) -> Params:
        """See https://core.telegram.org/bots/api#getfile."""
        stored = self._world.files.get(call.params["file_id"])
        if stored is None:
            raise bad_request("wrong file_id or the file is temporarily unavailable")
        return {
            "file_id": stored.file_id,
            "file_unique_id": stored.unique_id,
            "file_size": len(stored.content),
            "file_path": stored.path,
        }

    def _edit(
        self, params: Params, must_have: str | None, drop: tuple[str, ...], new: Params
    ) -> Params:
        """Replaces the named parts of a message; a keyboard that is not given again goes."""
        chat = self._world.writable(params.get("chat_id"))
        message = chat.messages.get(params.get("message_id", 0))
        if message is None:
            raise bad_request("message to edit not found")
        if not message.from_bot:
            raise bad_request("message can't be edited")
        if must_have and must_have not in message.raw:
            what = "text" if must_have == "text" else "caption"
            raise bad_request(f"there is no {what} in the message to edit")
        markup = params.get("reply_markup")
        rules.check_keyboard(markup, invoice="invoice" in message.raw)
        kept = {k: v for k, v in message.raw.items() if k not in (*drop, "reply_markup")}
        raw = {**kept, **new, **shown_markup(markup)}
        rules.check_modified(message.raw, raw)
        raw["edit_date"] = self._world.now()
        return self._world.replace_message(chat, message, raw).raw


def shown_markup(markup: Params | None) -> Params:
    """The part of a message which holds its inline keyboard; other keyboards are not shown."""
    rows = [row for row in (markup or {}).get("inline_keyboard", []) if row]
    return {"reply_markup": {"inline_keyboard": rows}} if rows else {}


def _text(params: Params) -> Params:
    marked = formatted(params.get("text", ""), params.get("parse_mode"), params.get("entities"))
    rules.check_text(marked.text)
    return _parts(marked, "text", "entities")


def _caption(params: Params) -> Params:
    explicit = params.get("caption_entities")
    marked = formatted(params.get("caption", ""), params.get("parse_mode"), explicit)
    rules.check_caption(marked.text)
    return _parts(marked, "caption", "caption_entities")


def _parts(marked: Formatted, text_name: str, entities_name: str) -> Params:
    parts: Params = {text_name: marked.text} if marked.text else {}
    return parts | ({entities_name: marked.entities} if marked.entities else {})
