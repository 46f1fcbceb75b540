// One message of the Bot API becomes one list item.

import { button, element, formatted, plain } from './text.js';

const clock = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit', hour12: false });
const VPN_LINK = /vless:\/\/\S+/;

/** The `vless://` link in a message, or null; the same rule as `Message.link` in Python. */
export function vpnLink(message) {
  const text = message.text ?? message.caption ?? '';
  for (const entity of message.entities ?? message.caption_entities ?? []) {
    const part = text.slice(entity.offset, entity.offset + entity.length);
    if (['code', 'pre'].includes(entity.type) && part.includes('vless://')) return part.trim();
  }
  return text.match(VPN_LINK)?.[0] ?? null;
}

/** A price as people read it: Stars are whole, other currencies come in hundredths. */
export function price(amount, currency) {
  if (currency === 'XTR') return `⭐ ${amount.toLocaleString('en')}`;
  return `${(amount / 100).toLocaleString('en', { minimumFractionDigits: 2 })} ${currency}`;
}

/** The list item of a message. */
export function rendered(message, on) {
  const service = serviceText(message);
  const item = service
    ? element('li', 'service', element('span', '', ...plain(service)))
    : element('li', message.from.is_bot ? 'from-bot' : 'from-me', ...pieces(message, on));
  if (message.photo) item.classList.add('with-photo');
  item.dataset.id = message.message_id;
  return item;
}

function serviceText(message) {
  const paid = message.successful_payment;
  const refund = message.refunded_payment;
  if (paid) {
    const again = paid.is_recurring && !paid.is_first_recurring ? 'Renewed: you' : 'You';
    return `${again} paid ${price(paid.total_amount, paid.currency)}`;
  }
  if (refund) return `${price(refund.total_amount, refund.currency)} came back to you`;
  return null;
}

function pieces(message, on) {
  const bubble = element('div', 'bubble', ...content(message, on), stamp(message));
  const rows = message.reply_markup?.inline_keyboard ?? [];
  const link = vpnLink(message);
  const parts = [bubble];
  if (rows.length) parts.push(keyboard(message, rows, on));
  if (link && message.from.is_bot && on.canCheckVpn()) parts.push(checkRow(link, on));
  return parts;
}

function content(message, on) {
  const parts = [];
  if (message.photo) parts.push(photo(message.photo.at(-1), on));
  if (message.invoice) parts.push(invoiceCard(message.invoice));
  const text = message.text ?? message.caption;
  if (text) {
    const entities = message.entities ?? message.caption_entities;
    parts.push(element('div', 'text', ...formatted(text, entities, on)));
  }
  return parts;
}

function photo(size, on) {
  const image = element('img');
  image.src = `/sandbox/files/${encodeURIComponent(size.file_id)}`;
  image.alt = 'Photo';
  image.width = size.width;
  image.height = size.height;
  return button('photo', () => on.picture(image.src), image);
}

function invoiceCard(invoice) {
  return element(
    'div',
    'invoice',
    element('span', 'invoice-coin', ...plain(invoice.currency === 'XTR' ? '⭐' : '💳')),
    element(
      'div',
      '',
      element('strong', '', invoice.title),
      element('p', '', invoice.description),
      element('p', 'invoice-price', ...plain(price(invoice.total_amount, invoice.currency))),
    ),
  );
}

function stamp(message) {
  const time = element('time', 'stamp', clock.format(new Date(message.date * 1000)));
  if (message.edit_date) time.prepend('edited ');
  if (!message.from.is_bot) time.append(element('span', 'ticks', ' ✓✓'));
  return time;
}

function keyboard(message, rows, on) {
  const board = element('div', 'keyboard');
  for (const row of rows) {
    board.append(element('div', 'keys', ...row.map((key) => keyButton(message, key, on))));
  }
  return board;
}

function keyButton(message, key, on) {
  const label = element('span', '', ...plain(key.text));
  const made = button('key', () => on.key(message, key, made), label);
  if (key.pay) made.classList.add('pay');
  if (key.url) made.classList.add('opens');
  return made;
}

function checkRow(link, on) {
  const check = button('key check', () => on.checkVpn(link), element('span', '', 'Check my VPN'));
  return element('div', 'keyboard', element('div', 'keys', check));
}
