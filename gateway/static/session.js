/* Who is looking: a read key that was typed, a token that came in the address, or nobody in particular.
 *
 * A key stays in this tab's sessionStorage and goes nowhere but into `Authorization`. A token,
 * `#token=…`, is for pages that stand in another site's page; the part behind "#" is never sent to a
 * server, and is taken out of the address at once. In such a page a key is neither asked for nor kept.
 */

const KEY = "raydo.key";
const EMBEDDED = location.pathname === "/embed";

export class Session {
  #secret = null;
  #listeners = [];

  constructor() {
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    if (token) {
      this.#secret = token;
      history.replaceState(null, "", location.pathname + location.search);
      if (!EMBEDDED) this.#keep(token);
    } else if (!EMBEDDED) {
      this.#secret = stored();
    }
  }

  /** The key or token; null where there is none. */
  get secret() {
    return this.#secret;
  }

  get embedded() {
    return EMBEDDED;
  }

  /** The tenant that the key or token names by itself; null if it names none. */
  get tenant() {
    return this.#secret === null ? null : tenantOf(this.#secret);
  }

  /** Whether the server asks for a key, and there is none. */
  get lacksKey() {
    return this.#secret === null && document.documentElement.hasAttribute("data-keyed");
  }

  /** Whether it may ask what only an administrator is told. */
  get administers() {
    return this.#secret === null || /^raydo_(admin|server)_/.test(this.#secret);
  }

  /** Use a key from now on. */
  open(key) {
    this.#secret = key;
    this.#keep(key);
  }

  /** Forget the key, and say why. */
  close(reason = "") {
    this.#secret = null;
    try { sessionStorage.removeItem(KEY); } catch (_) { /* nothing was stored then */ }
    for (const listener of this.#listeners) listener(reason);
  }

  /** Call a function when the key has been forgotten. */
  onClose(listener) {
    this.#listeners.push(listener);
  }

  #keep(key) {
    try { sessionStorage.setItem(KEY, key); } catch (_) { /* then until the page is left */ }
  }
}

/** Read the tenant in a key (`raydo_read_<base64url>_…`) or in a token's claims. */
export function tenantOf(secret) {
  try {
    if (secret.startsWith("raydo_")) {
      const parts = secret.split("_");
      return parts.length < 4 ? null : decode(parts.slice(2, -1).join("_"));
    }
    return JSON.parse(decode(secret.split(".")[1])).aud ?? null;
  } catch (_) {
    return null;
  }
}

function decode(text) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return new TextDecoder().decode(Uint8Array.from(binary, (char) => char.charCodeAt(0)));
}

function stored() {
  try { return sessionStorage.getItem(KEY); } catch (_) { return null; }
}
