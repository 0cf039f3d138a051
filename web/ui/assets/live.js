// The worker that all tabs of a browser share. It holds the one stream of what
// happens, and tells each tab when something has happened to what it shows.
const tabs = new Map(); // port -> { topics, at: when it was heard last }
const forgetAfter = 150000; // milliseconds; hidden tabs speak once a minute
const mostTopics = 64;
let source = null, listening = '', last = '', up = false, retry = 0;

addEventListener('connect', ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    const isNew = !tabs.has(port);
    if (data.topics.length) tabs.set(port, { topics: new Set(data.topics), at: Date.now() });
    else tabs.delete(port);
    if (isNew && up) port.postMessage({ up });
    tune();
  };
});

setInterval(() => {
  for (const [port, tab] of tabs) if (Date.now() - tab.at > forgetAfter) tabs.delete(port);
  tune();
}, 30000);

// tune listens to what the tabs show, all of them together.
function tune() {
  const topics = new Set();
  for (const tab of tabs.values()) for (const t of tab.topics) topics.add(t);
  const wanted = [...topics].sort().slice(0, mostTopics).join(',');
  if (wanted !== listening) connect(wanted);
}

function connect(wanted) {
  clearTimeout(retry);
  source?.close();
  source = null;
  listening = wanted;
  if (!wanted) {
    last = '';
    return;
  }
  source = new EventSource('/api/v1/events?topics=' + encodeURIComponent(wanted) + (last ? '&after=' + last : ''));
  source.onopen = () => tell(true);
  source.onerror = () => {
    tell(false);
    if (source?.readyState === EventSource.CLOSED) retry = setTimeout(connect, 3000 + Math.random() * 2000, listening);
  };
  source.addEventListener('hello', (e) => { last = e.lastEventId; });
  source.addEventListener('reset', (e) => { last = e.lastEventId; tell(true); });
  source.addEventListener('changes', (e) => {
    last = e.lastEventId;
    const lines = JSON.parse(e.data);
    for (const [port, tab] of tabs) if (lines.some((line) => shows(tab.topics, line))) port.postMessage({ up });
  });
}

function tell(now) {
  up = now;
  for (const port of tabs.keys()) port.postMessage({ up });
}

// shows reports whether a line belongs to the topics of a tab.
function shows(topics, { kind, flow, run }) {
  if (run && topics.has('run:' + run)) return true;
  if (kind === 'attempt') return topics.has('log') || topics.has('log:' + flow);
  if (kind.startsWith('run.')) return topics.has('runs') || topics.has('flow:' + flow);
  return !kind.startsWith('task.') && topics.has('node');
}
