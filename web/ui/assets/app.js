// What a page does beside showing itself: it stays current, says times as the
// place has them, and listens to keys. Without it every page still works.
import { morph } from './morph.js';

const policy = globalThis.trustedTypes?.createPolicy('qarion', { createHTML: (text) => text, createScriptURL: (url) => url });
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

// Live: the page asks for itself again when it hears that something has happened
// to what it shows, and changes only what has changed. Where no stream tells, it
// asks by the clock.
const every = { seen: 1000, hidden: 5000, lost: 5000, told: 5000, toldHidden: 60000 };
const gap = { seen: 500, hidden: 5000 }; // between two questions
let tag = '', paused = false, timer = 0, lostSince = 0, said = '', saidAt = 0;
let told = false, asking = false, again = false, askedAt = 0;
const badge = document.getElementById('live');

function sayLive() {
  const text = paused ? 'paused: p goes on' : reading() ? 'paused while you read: at the top it goes on' : lostSince ? 'not live since ' + clock.format(lostSince) + ', trying again' : '';
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

// reading reports whether somebody has gone down in a list that grows at its top:
// its lines stay where they are.
function reading() { return scrollY > 150 && main.querySelector('[data-grows]') !== null; }
let wasReading = false;
document.addEventListener('scroll', () => {
  if (reading() === wasReading) return;
  wasReading = !wasReading;
  sayLive();
  if (!wasReading) soon();
}, { passive: true });

async function refresh() {
  const hidden = document.hidden;
  let wait = told ? (hidden ? every.toldHidden : every.told) : hidden ? every.hidden : every.seen;
  again = false;
  if (busyTyping() || reading()) {
    wait = every.seen;
  } else if (!paused && 'live' in document.body.dataset) {
    asking = true;
    askedAt = Date.now();
    try {
      const answer = await fetch(location.href, { headers: tag ? { 'If-None-Match': tag } : {}, cache: 'no-store' });
      if (answer.status === 200) {
        tag = answer.headers.get('ETag') ?? '';
        take(parse(await answer.text()));
      } else if (answer.status === 401) { // the login has ended
        location.reload();
      } else if (answer.status !== 304) {
        throw new Error(String(answer.status));
      }
      lostSince = 0;
    } catch {
      lostSince ||= Date.now();
      wait = every.lost;
    }
    asking = false;
    sayLive();
  }
  timer = setTimeout(refresh, again ? gap.seen : wait);
}

// soon asks in a moment, at most twice a second.
function soon() {
  if (again) return;
  again = true;
  if (asking) return; // it goes on afterwards
  clearTimeout(timer);
  const rest = (document.hidden ? gap.hidden : gap.seen) - (Date.now() - askedAt);
  timer = setTimeout(refresh, Math.max(0, rest));
}

// One stream for all tabs, in a worker that they share.
function listen() {
  const url = new URL('live.js', import.meta.url).href;
  const port = new SharedWorker(policy ? policy.createScriptURL(url) : url, { type: 'module', name: 'qarion' }).port;
  const hello = () => port.postMessage({ topics: document.body.dataset.topics.split(',') });
  port.onmessage = ({ data }) => {
    told = data.up;
    soon();
  };
  hello();
  setInterval(hello, 30000); // who is silent for long is forgotten
  addEventListener('pageshow', hello);
  addEventListener('pagehide', () => port.postMessage({ topics: [] }));
}
if (globalThis.SharedWorker && 'live' in document.body.dataset && document.body.dataset.topics) listen();

function take(page) {
  shownAt = performance.now();
  localTimes(page);
  showCopies(page);
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

// How long it has been going on, from what the node said: the clock of this
// machine may be another.
let shownAt = performance.now();
setInterval(() => {
  for (const at of main.querySelectorAll('[data-ms]')) {
    at.textContent = took(Number(at.dataset.ms) + performance.now() - shownAt);
  }
}, 1000);

document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  clearTimeout(timer);
  refresh();
});

// What changes something carries the key of the login, where there is one: the
// cookie alone may have been seen by another server on this machine.
document.addEventListener('formdata', (e) => {
  const key = localStorage.getItem('qarion-key');
  if (key && e.target.method === 'post') e.formData.set('qarion-key', key);
});
document.addEventListener('submit', (e) => {
  if (e.target.getAttribute('action') === '/logout') localStorage.removeItem('qarion-key');
});

// What can be copied, where the browser lets a page do so.
function showCopies(root) {
  if (navigator.clipboard) for (const b of root.querySelectorAll('button.copy')) b.hidden = false;
}
document.addEventListener('click', async (e) => {
  const button = e.target.closest?.('button.copy');
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  say('copied ' + button.dataset.copy);
  button.firstChild.data = 'copied';
  setTimeout(() => { button.firstChild.data = 'copy'; }, 1500);
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
  '.': () => main.querySelector('form[method="post"] button.main, form[method="post"] button, details:has(form[method="post"]) > summary')?.focus(),
  Escape: () => document.activeElement === document.body ? history.back() : document.activeElement.blur(),
  p: () => { paused = !paused; sayLive(); },
  g: () => { going = Date.now(); },
};

// Arrows go along the edges of a graph, and up and down within a level.
function along(box, key) {
  const boxes = [...box.closest('svg').querySelectorAll('.box')];
  const after = (b) => b.dataset.after.split(' ').filter(Boolean).map(Number);
  const place = (b) => { const r = b.querySelector('rect'); return [Number(r.getAttribute('x')), Number(r.getAttribute('y'))]; };
  const [x, y] = place(box);
  let to;
  if (key === 'ArrowLeft') to = boxes[after(box)[0]];
  else if (key === 'ArrowRight') to = boxes.find((b) => after(b).includes(boxes.indexOf(box)));
  else {
    const down = key === 'ArrowDown';
    to = boxes.filter((b) => place(b)[0] === x && (down ? place(b)[1] > y : place(b)[1] < y))
      .sort((a, b) => (place(a)[1] - place(b)[1]) * (down ? 1 : -1))[0];
  }
  to?.focus();
  to?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

document.addEventListener('keydown', (e) => {
  if (e.key.startsWith('Arrow') && !e.ctrlKey && !e.metaKey && !e.altKey && e.target.matches?.('svg .box')) {
    e.preventDefault();
    along(e.target, e.key);
    return;
  }
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
showCopies(document);
timer = setTimeout(refresh, every.seen);
