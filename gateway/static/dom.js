/* Elements without markup in strings: what comes from events is only ever text. */

/** Make an element: `h("a.chip", { href: "#", onclick }, "text", child)`. Falsy children are left out. */
export function h(name, attributes, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes ?? {})) set(element, key, value);
  append(element, children);
  return element;
}

/** Make an icon of one path on a field of 24 by 24. */
export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

export const ICONS = {
  down: "M6 9l6 6 6-6",
  download: "M12 4v11m0 0l-4.5-4.5M12 15l4.5-4.5M5 19.5h14",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zm9 2l-4-4",
  check: "M5 12.5l4.5 4.5L19 7.5",
  alert: "M12 8v5m0 3.5v.01M12 3.5L2.5 20h19L12 3.5z",
  sun: "M12 16.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM12 2v2.5m0 15V22M2 12h2.5m15 0H22M5 5l1.7 1.7m10.6 10.6L19 19M19 5l-1.7 1.7M6.7 17.3L5 19",
  moon: "M20 14.5A8 8 0 0 1 9.5 4a8 8 0 1 0 10.5 10.5z",
  keyboard: "M3 7h18v10H3zM6.5 10.5h.01M10 10.5h.01M14 10.5h.01M17.5 10.5h.01M8 14h8",
  exit: "M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9",
  play: "M7 5l12 7-12 7z",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
};

/** Put other children into an element. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Make a button that shows an icon, and says what it does to who cannot see it. */
export function iconButton(name, label, onclick, attributes) {
  return h("button.ghost.square", { type: "button", "aria-label": label, title: label, onclick, ...attributes }, icon(ICONS[name]));
}

/** Make a choice of a few values, of which one holds. */
export function segmented(label, options, chosen, choose) {
  return h("div.segmented", { role: "group", "aria-label": label }, options.map(([value, text]) =>
    h("button", { type: "button", "aria-pressed": String(value === chosen), onclick: () => choose(value) }, text)));
}

/** Make a select of `[value, text]` pairs. */
export function select(label, options, chosen, choose, attributes) {
  const made = h("select", { "aria-label": label, onchange: () => choose(made.value), ...attributes },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
  return made;
}

/** Tell whether keys that are pressed now go into a field. */
export function isTyping(target) {
  return target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

function set(element, key, value) {
  if (value === undefined || value === null || value === false) return;
  if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
  else if (key === "style") for (const [name, css] of Object.entries(value)) element.style.setProperty(name, css);
  else if (key === "value") element.value = value;
  else element.setAttribute(key, value === true ? "" : value);
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child || child === 0) element.append(child);
  }
}
