// morph makes one element like another and keeps what is alike: elements are
// matched by id, else by place, so that focus, scrolling and what a person has
// opened stay.
export function morph(from, to) {
  attributes(from, to);
  children(from, to);
}

const kept = new Set(['open']); // of <details>: what a person opened stays open

function attributes(from, to) {
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !kept.has(name)) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value && !(kept.has(name) && from.localName === 'details')) from.setAttribute(name, value);
  }
}

function children(from, to) {
  const byId = new Map();
  for (const child of from.children) if (child.id) byId.set(child.id, child);
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const known = wanted.id ? byId.get(wanted.id) : null;
    if (known) {
      if (known !== at) from.insertBefore(known, at);
      morph(known, wanted);
      at = known.nextSibling;
    } else if (at && alike(at, wanted)) {
      if (at.nodeType === Node.ELEMENT_NODE) morph(at, wanted);
      else if (at.data !== wanted.data) at.data = wanted.data;
      at = at.nextSibling;
    } else {
      from.insertBefore(document.importNode(wanted, true), at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function alike(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && !a.id && !b.id;
}
