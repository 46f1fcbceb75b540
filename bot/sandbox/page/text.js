// Text with entities becomes elements. Offsets are UTF-16 units, which is how JavaScript counts.
// Nothing here ever parses HTML: text only enters the page as text.

const TAGS = {
  bold: 'strong',
  italic: 'em',
  underline: 'u',
  strikethrough: 's',
  blockquote: 'blockquote',
  expandable_blockquote: 'blockquote',
};
const LONG_CODE = 140; // longer is shown in part; a tap copies the whole
const SAFE_LINK = /^(https?|tg):/i;

/** An element with classes and children; strings become text. */
export function element(tag, className = '', ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** A real button: focusable, and it submits nothing. */
export function button(className, onClick, ...children) {
  const made = element('button', className, ...children);
  made.type = 'button';
  made.addEventListener('click', onClick);
  return made;
}

/** Plain text as nodes; a star is drawn by us, because not every system has a font for it. */
export function plain(text) {
  const pieces = text.split(/(⭐\uFE0F?)/);
  return pieces.filter(Boolean).map((piece) => (piece[0] === '⭐' ? star() : piece));
}

function star() {
  const made = element('span', 'star', '⭐');
  made.setAttribute('role', 'img');
  made.setAttribute('aria-label', '⭐');
  return made;
}

/** The nodes of a text; `on` says what happens to copied code, commands and links. */
export function formatted(text, entities, on) {
  const ordered = [...(entities ?? [])].sort(
    (a, b) => a.offset - b.offset || b.length - a.length,
  );
  return between(text, 0, text.length, ordered, on);
}

function between(text, start, end, entities, on) {
  const nodes = [];
  let at = start;
  for (let i = 0; i < entities.length; ) {
    const entity = entities[i];
    const stop = Math.min(entity.offset + entity.length, end);
    let next = i + 1;
    while (next < entities.length && entities[next].offset < stop) next += 1;
    if (entity.offset > at) nodes.push(...plain(text.slice(at, entity.offset)));
    const inner = between(text, entity.offset, stop, entities.slice(i + 1, next), on);
    nodes.push(wrapped(entity, text.slice(entity.offset, stop), inner, on));
    at = stop;
    i = next;
  }
  if (at < end) nodes.push(...plain(text.slice(at, end)));
  return nodes;
}

function wrapped(entity, covered, inner, on) {
  switch (entity.type) {
    case 'code':
    case 'pre': {
      const copy = button(`code ${entity.type}`, () => on.copy(covered), element('span', '', covered));
      if (covered.length > LONG_CODE) copy.classList.add('long');
      copy.title = 'Copy';
      return copy;
    }
    case 'bot_command':
      return button('command', () => on.command(covered), covered);
    case 'url':
    case 'text_link':
      return link(entity.url ?? covered, inner, on);
    case 'spoiler': {
      const veil = button('spoiler', () => veil.classList.add('seen'), ...inner);
      return veil;
    }
    default:
      return element(TAGS[entity.type] ?? 'span', '', ...inner);
  }
}

function link(url, inner, on) {
  if (!SAFE_LINK.test(url)) return element('span', '', ...inner);
  const anchor = element('a', '', ...inner);
  anchor.href = url;
  anchor.target = '_blank';
  anchor.rel = 'noopener noreferrer';
  anchor.addEventListener('click', (event) => on.link(url, event));
  return anchor;
}
