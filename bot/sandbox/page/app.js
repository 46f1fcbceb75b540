// The chat of one person with the bot. The server's event stream is the only source of what is
// shown; what a person does is posted, and its effect comes back through the stream.

import { alertBox, askToPay, checkVpn, showPicture, toast } from './dialogs.js';
import { price, rendered, vpnLink } from './message.js';
import { button, element, plain } from './text.js';

const TYPING_MS = 5000; // Telegram shows a chat action for five seconds or until the next message
const INVOICE_LINK = /^https:\/\/t\.me\/(\$|invoice\/)/;
const byId = (id) => document.getElementById(id);
const list = byId('messages');
const input = byId('text');

const state = { me: 0, bot: null, people: [], commands: [], messages: new Map(), vpn: false };
const unread = new Map();
let stream = null;
let typingTimer = 0;
let pinned = true;
let lastTop = 0;

// --- talking to the server ---------------------------------------------------------------------

async function post(action, body) {
  const response = await fetch(`/sandbox/${action}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ person: state.me, ...body }),
  });
  const answer = await response.json().catch(() => ({ error: response.statusText }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/** Runs an action of the person; what goes wrong is told, not lost. */
async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    toast(error.message || 'The sandbox does not answer');
    return null;
  }
}

function listen(personId) {
  stream?.close();
  state.me = personId;
  unread.delete(personId);
  stream = new EventSource(personId ? `/sandbox/events?person=${personId}` : '/sandbox/events');
  const on = (name, act) => stream.addEventListener(name, (event) => act(JSON.parse(event.data)));
  on('snapshot', showAll);
  on('message', showMessage);
  on('deleted', ({ message_id: id }) => removeMessage(id));
  on('people', showPeople);
  on('commands', (commands) => { state.commands = commands; showComposer(); });
  on('action', showTyping);
  on('elsewhere', ({ id }) => { unread.set(id, (unread.get(id) ?? 0) + 1); showPeople(state.people); });
  stream.onopen = () => { byId('offline').hidden = true; };
  stream.onerror = () => { byId('offline').hidden = false; };
}

// --- showing ------------------------------------------------------------------------------------

const me = () => state.people.find((person) => person.id === state.me);

function showAll(snapshot) {
  state.me = snapshot.me;
  state.bot = snapshot.bot;
  state.commands = snapshot.commands;
  state.vpn = snapshot.can_check_vpn;
  state.messages = new Map(snapshot.messages.map((message) => [message.message_id, message]));
  byId('bot-name').textContent = byId('intro-name').textContent = state.bot.first_name;
  list.replaceChildren(...snapshot.messages.map((message) => rendered(message, on)));
  showPeople(snapshot.people);
  stopTyping();
  pinned = true;
  scrollDown();
}

function showPeople(people) {
  state.people = people;
  byId('people').replaceChildren(...people.map(personEntry));
  document.title = `${me().name} · ${state.bot.first_name}`;
  showComposer();
}

function personEntry(person) {
  const entry = element('a', 'person');
  const waiting = unread.get(person.id);
  entry.href = `/?person=${person.id}`;
  if (person.id === state.me) entry.setAttribute('aria-current', 'page');
  entry.append(
    element('span', `face face-${person.id % 5}`, person.name.slice(0, 1)),
    element(
      'span',
      'who',
      element('b', '', person.name),
      element('small', '', [person.role, person.language].filter(Boolean).join(' · ')),
    ),
    waiting
      ? element('span', 'badge', String(waiting))
      : element('span', 'purse', ...plain(price(person.stars, 'XTR'))),
  );
  entry.addEventListener('click', (event) => switchTo(event, person.id));
  return entry;
}

function switchTo(event, personId) {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return; // a new tab is a second person
  event.preventDefault();
  history.pushState(null, '', `/?person=${personId}`);
  listen(personId);
}

function showMessage(message) {
  const known = list.querySelector(`[data-id="${message.message_id}"]`);
  const item = rendered(message, on);
  if (known) {
    item.classList.add('changed');
    known.replaceWith(item);
  } else {
    item.classList.add('arrived');
    list.append(item);
    if (message.from.is_bot) stopTyping();
  }
  state.messages.set(message.message_id, message);
  showComposer();
  if (!message.from.is_bot) pinned = true;
}

function removeMessage(id) {
  state.messages.delete(id);
  list.querySelector(`[data-id="${id}"]`)?.remove();
  showComposer();
}

function showComposer() {
  const person = me();
  const fresh = !person.started && !state.messages.size;
  byId('intro').hidden = Boolean(state.messages.size);
  byId('start').hidden = !(fresh || person.blocked);
  byId('start').textContent = person.blocked ? 'Restart bot' : 'Start';
  byId('compose').hidden = fresh || person.blocked;
  byId('stop').hidden = fresh || person.blocked;
  byId('menu').hidden = !state.commands.length;
  byId('check-vpn').hidden = !state.vpn || !newestLink();
  byId('bot-status').textContent = person.blocked ? 'stopped by you' : 'bot';
}

function newestLink() {
  return [...state.messages.values()].reverse().map(vpnLink).find(Boolean) ?? null;
}

function showTyping() {
  byId('typing').hidden = false;
  byId('bot-status').textContent = 'typing…';
  clearTimeout(typingTimer);
  typingTimer = setTimeout(stopTyping, TYPING_MS);
}

function stopTyping() {
  clearTimeout(typingTimer);
  byId('typing').hidden = true;
  showComposer();
}

// The end stays in view while it grows, by messages, edits or loading photos, unless the person
// has scrolled away from it.
function scrollDown() {
  const area = byId('scroll');
  if (pinned) area.scrollTop = area.scrollHeight;
}

// Only a movement upwards lets go: the event of our own scroll may come when more has arrived.
byId('scroll').addEventListener('scroll', ({ target }) => {
  const near = target.scrollHeight - target.scrollTop - target.clientHeight < 120;
  if (near) pinned = true;
  else if (target.scrollTop < lastTop) pinned = false;
  lastTop = target.scrollTop;
});

const growth = new ResizeObserver(scrollDown);
growth.observe(list);
growth.observe(byId('scroll'));
growth.observe(byId('typing'));

// --- what the person does -----------------------------------------------------------------------

const on = {
  canCheckVpn: () => state.vpn,
  copy: async (text) => {
    await attempt(() => navigator.clipboard.writeText(text));
    toast('Copied');
  },
  command: (text) => attempt(() => post('say', { text })),
  picture: showPicture,
  checkVpn: (link) => attempt(() => checkVpn(link, () => post('check-vpn', { link }))),
  link: (url, event) => {
    if (!INVOICE_LINK.test(url)) return;
    event.preventDefault();
    payLink(url);
  },
  key: (message, key, pressed) => {
    if (key.pay) return payMessage(message);
    if (key.copy_text) return on.copy(key.copy_text.text);
    if (key.url && INVOICE_LINK.test(key.url)) return payLink(key.url);
    if (key.url) return window.open(key.url, '_blank', 'noopener,noreferrer');
    return tap(message, key, pressed);
  },
};

async function tap(message, key, pressed) {
  pressed.classList.add('busy');
  pressed.setAttribute('aria-busy', 'true');
  const answer = await attempt(() =>
    post('tap', { message_id: message.message_id, data: key.callback_data }),
  );
  pressed.classList.remove('busy');
  pressed.removeAttribute('aria-busy');
  if (answer && !answer.answered) toast('The bot did not answer');
  else if (answer?.alert) alertBox(answer.text);
  else if (answer?.text) toast(answer.text);
}

function payMessage(message) {
  ask(message.invoice, { message_id: message.message_id });
}

async function payLink(link) {
  const invoice = await attempt(() => post('invoice', { link }));
  if (invoice) ask(invoice, { link });
}

const REFUSALS = {
  BOT_PRECHECKOUT_TIMEOUT: 'The shop did not answer in time. You were not charged.',
  BALANCE_TOO_LOW: 'Your purse does not hold enough Stars.',
};

function ask(invoice, target) {
  askToPay(invoice, me().stars, async () => {
    const outcome = await attempt(() => post('pay', target));
    if (outcome && !outcome.paid) alertBox(REFUSALS[outcome.reason] ?? outcome.reason);
  });
}

// --- the composer -------------------------------------------------------------------------------

function showCommands(prefix) {
  const box = byId('commands');
  const fits = state.commands.filter(({ command }) => command.startsWith(prefix));
  box.replaceChildren(...fits.map(commandEntry));
  box.hidden = !fits.length;
  byId('menu').setAttribute('aria-expanded', String(!box.hidden));
}

function commandEntry({ command, description }) {
  const send = () => { hideCommands(); input.value = ''; on.command(`/${command}`); input.focus(); };
  return button('', send, element('b', '', `/${command}`), element('span', '', description));
}

function hideCommands() {
  byId('commands').hidden = true;
  byId('menu').setAttribute('aria-expanded', 'false');
}

byId('compose').addEventListener('submit', async (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (!text) return;
  input.value = '';
  hideCommands();
  await attempt(() => post('say', { text }));
});

input.addEventListener('input', () => {
  const typed = input.value.match(/^\/(\w*)$/);
  if (typed) showCommands(typed[1]);
  else hideCommands();
});

byId('menu').addEventListener('click', () => {
  if (byId('commands').hidden) showCommands('');
  else hideCommands();
});

// Arrow keys walk from the text box through the commands above it and back.
document.querySelector('.composer').addEventListener('keydown', (event) => {
  const entries = [...byId('commands').children];
  if (event.key === 'Escape') { hideCommands(); input.focus(); }
  if (byId('commands').hidden || !['ArrowUp', 'ArrowDown'].includes(event.key)) return;
  event.preventDefault();
  const stops = [...entries, input];
  const at = Math.max(stops.indexOf(document.activeElement), 0);
  const step = event.key === 'ArrowUp' ? -1 : 1;
  stops[(at + step + stops.length) % stops.length].focus();
});

byId('start').addEventListener('click', () => attempt(async () => {
  if (me().blocked) await post('block', { blocked: false });
  await post('say', { text: '/start' });
  input.focus();
}));

byId('stop').addEventListener('click', () => attempt(() => post('block', { blocked: true })));
byId('check-vpn').addEventListener('click', () => on.checkVpn(newestLink()));
addEventListener('popstate', () => listen(personInAddress()));

function personInAddress() {
  return Number(new URLSearchParams(location.search).get('person')) || 0;
}

listen(personInAddress());
