// What a page does beside showing itself: it stays current, says times as the
// place has them, and listens to keys. Without it every page still works.
import { morph } from './morph.js';

const policy = globalThis.trustedTypes?.createPolicy('qarion', { createHTML: (text) => text });
const parse = (text) => new DOMParser().parseFromString(policy ? policy.createHTML(text) : text, 'text/html');
const main = document.getElementById('main');

// Times: local ones, UTC in the title.
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: 'short', timeStyle: 'medium' });
function localTimes(root) {
  for (const t of root.querySelectorAll('time[datetime]')) {
    const at = new Date(t.dateTime);
    if (!isNaN(at)) t.textContent = clock.format(at);
  }
}

function took(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 60) return (ms / 1000).toFixed(1) + ' s';
  if (s < 3600) return Math.floor(s / 60) + 'm ' + String(s % 60).padStart(2, '0') + 's';
  return Math.floor(s / 3600) + 'h ' + String(Math.floor(s / 60) % 60).padStart(2, '0') + 'm';
}

// Live: the page asks for itself again and changes only what has changed.
const every = { seen: 1000, hidden: 5000, lost: 5000 };
let tag = '', paused = false, timer = 0, lostSince = 0, said = '', saidAt = 0;
const badge = document.getElementById('live');

function sayLive() {
  const text = paused ? 'paused: p goes on' : lostSince ? 'not live since ' + clock.format(lostSince) + ', trying again' : '';
  badge.textContent = text;
  badge.hidden = !text;
}

// say tells those who listen to the page what has changed, at most every five
// seconds.
function say(text) {
  if (text === said || Date.now() - saidAt < 5000) return;
  said = text;
  saidAt = Date.now();
  document.getElementById('said').textContent = text;
}

async function refresh() {
  let wait = document.hidden ? every.hidden : every.seen;
  if (!paused && 'live' in document.body.dataset && !busyTyping()) {
    try {
      const answer = await fetch(location.href, { headers: tag ? { 'If-None-Match': tag } : {}, cache: 'no-store' });
      if (answer.status === 200) {
        tag = answer.headers.get('ETag') ?? '';
        take(parse(await answer.text()));
      } else if (answer.status !== 304) {
        throw new Error(String(answer.status));
      }
      lostSince = 0;
    } catch {
      lostSince ||= Date.now();
      wait = every.lost;
    }
    sayLive();
  }
  timer = setTimeout(refresh, wait);
}

function take(page) {
  localTimes(page);
  morph(main, page.getElementById('main'));
  document.title = page.title;
  if (!('live' in page.body.dataset)) delete document.body.dataset.live;
  const status = main.querySelector('h1 .status')?.textContent.trim();
  const counts = [...main.querySelectorAll('.figures .count')].map((c) => c.textContent).join(', ');
  if (status) say(status + ': ' + counts);
}

// busyTyping reports whether somebody fills in a form: it is not touched.
function busyTyping() {
  const at = document.activeElement;
  return main.contains(at) && /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName);
}

setInterval(() => {
  for (const at of main.querySelectorAll('[data-since]')) {
    const from = new Date(at.dataset.since);
    if (!isNaN(from)) at.textContent = took(Date.now() - from);
  }
}, 1000);

document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  clearTimeout(timer);
  refresh();
});

// Keys. Single letters can be switched off.
const keysOn = document.getElementById('keys-on');
keysOn.checked = localStorage.getItem('keys') !== 'off';
keysOn.addEventListener('change', () => localStorage.setItem('keys', keysOn.checked ? 'on' : 'off'));
let going = 0;

function step(list, by) {
  const at = list.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, at + by));
  list[next]?.focus();
  list[next]?.scrollIntoView({ block: 'nearest' });
}

const keys = {
  '?': () => document.getElementById('keys').showModal(),
  '/': () => main.querySelector('form[role="search"] input, textarea, form input:not([type="hidden"])')?.focus(),
  j: () => step([...main.querySelectorAll('tbody a.open')], 1),
  k: () => step([...main.querySelectorAll('tbody a.open')], -1),
  f: () => step([...main.querySelectorAll('tr.bad a.open')], 1),
  p: () => { paused = !paused; sayLive(); },
  g: () => { going = Date.now(); },
};

document.addEventListener('keydown', (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || !keysOn.checked || document.querySelector('dialog[open]')) return;
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)) {
    if (e.key === 'Escape') e.target.blur();
    return;
  }
  if (going && Date.now() - going < 1500) {
    going = 0;
    const to = [...document.querySelectorAll('nav a[data-key]')].find((a) => a.dataset.key === e.key);
    if (to) { e.preventDefault(); location.href = to.href; }
    return;
  }
  const act = keys[e.key];
  if (act) { e.preventDefault(); act(); }
});

localTimes(document);
timer = setTimeout(refresh, every.seen);
