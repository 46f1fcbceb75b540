"""The Telegram side: the only package that knows aiogram."""
