// The login: the code of `qarion ui` comes in the address's fragment, which no
// server sees. What a login gives beside the cookie is kept for this address
// alone, and sent by every form (app.js).
const form = document.getElementById('login');
const wrong = document.getElementById('wrong');

async function enter(secret, name) {
  const said = await fetch('/login', {
    method: 'POST',
    headers: { Accept: 'application/json' },
    body: new URLSearchParams({ name, secret, next: form.elements.next.value }),
  });
  const answer = await said.json();
  if (!said.ok) throw new Error(answer.detail);
  localStorage.setItem('qarion-key', answer.key);
  location.replace(answer.next);
}

async function tryTo(secret, name = '') {
  form.setAttribute('aria-busy', 'true');
  try {
    await enter(secret, name);
  } catch (e) {
    wrong.textContent = e.message;
    wrong.hidden = false;
    form.elements.secret.value = '';
    form.elements.secret.focus();
  }
  form.removeAttribute('aria-busy');
}

form.addEventListener('submit', (e) => {
  e.preventDefault();
  tryTo(form.elements.secret.value, form.elements.name.value);
});

if (location.hash.length > 1) {
  const code = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, '', location.pathname + location.search); // not into the history
  tryTo(code);
} else if ('cross' in form.dataset) {
  // A link from elsewhere has led here, and then browsers hold the cookie back.
  const said = await fetch('/login', { headers: { Accept: 'application/json' } });
  if (said.ok) location.replace(form.elements.next.value);
}
