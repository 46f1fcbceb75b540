// The sheets over the chat: paying, checking the VPN, alerts, and the toast at the bottom.

import { price } from './message.js';
import { plain } from './text.js';

const TOAST_MS = 3500;
const byId = (id) => document.getElementById(id);
let toastTimer = 0;

/** A line that goes away by itself. */
export function toast(text) {
  const shown = byId('toast');
  shown.textContent = text;
  shown.classList.add('shown');
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => shown.classList.remove('shown'), TOAST_MS);
}

/** A text that waits for OK. */
export function alertBox(text) {
  byId('alert-text').textContent = text;
  byId('alert').showModal();
}

/** A photo in full size; any click closes it. */
export function showPicture(source) {
  byId('picture-image').src = source;
  byId('picture').showModal();
}

/** Asks before paying; `pay` is called once, and its promise keeps the sheet busy. */
export function askToPay(invoice, purse, pay) {
  const confirm = byId('pay-confirm');
  const cost = price(invoice.total_amount, invoice.currency);
  byId('pay-title').textContent = invoice.title;
  byId('pay-description').textContent = invoice.description;
  byId('pay-price').replaceChildren(...plain(cost));
  byId('pay-purse').replaceChildren(...plain(price(purse, 'XTR')));
  confirm.replaceChildren(...plain(`Pay ${cost}`));
  confirm.disabled = false;
  confirm.onclick = async () => {
    confirm.disabled = true;
    confirm.textContent = 'Asking the shop…';
    try {
      await pay();
    } finally {
      byId('pay').close();
    }
  };
  byId('pay').showModal();
}

/** Runs `check(link)` in view of the person: one step for the link, one for the tunnel. */
export function checkVpn(link, check) {
  const run = async () => {
    const target = linkTarget(link);
    show('', '');
    step('vpn-link', target ? 'done' : 'failed', target ?? 'no server in this link');
    step('vpn-tunnel', 'busy', 'fetching a page through it…');
    byId('vpn-again').disabled = true;
    const outcome = await check(link);
    byId('vpn-again').disabled = false;
    step('vpn-tunnel', outcome.ok ? 'done' : 'failed', outcome.ok ? 'works' : 'no page came back');
    show(outcome.ok ? 'good' : 'bad', verdict(outcome));
  };
  byId('vpn-again').onclick = run;
  if (!byId('vpn').open) byId('vpn').showModal();
  return run();
}

function verdict({ ok, latency_ms: latency, detail }) {
  if (ok && latency !== null) {
    return `Page fetched through the tunnel in ${Math.round(latency)} ms`;
  }
  return detail || (ok ? 'The tunnel works' : 'The tunnel does not work');
}

function step(id, state, text) {
  const row = byId(id);
  row.className = state;
  row.querySelector('span').textContent = text;
}

function show(state, text) {
  byId('vpn-result').className = `verdict ${state}`;
  byId('vpn-result').textContent = text;
}

function linkTarget(link) {
  const found = link.match(/^vless:\/\/[^@]*@([^/?#]+)/);
  return found ? found[1] : null;
}
