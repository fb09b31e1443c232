/* Where a key is asked for. */

import { fill, h, icon, ICONS } from "./dom.js";
import { tenantOf } from "./session.js";

/** Show the form, and call `opened(key)` with what was typed. */
export function signIn(place, { reason, embedded, opened }) {
  if (embedded) {
    return fill(place, h("section.sign-in", {}, h("h1", {}, "This view has ended"),
      h("p", {}, reason || "A page that shows this needs a token: ", !reason && h("code", {}, "/embed#token=…"))));
  }
  const field = h("input", { type: "password", id: "key", name: "key", required: true, autocomplete: "off", placeholder: "raydo_read_…", spellcheck: "false" });
  const told = h("p.refused", { role: "alert", hidden: !reason }, icon(ICONS.alert), h("span", {}, reason));
  const form = h("form", {
    onsubmit: (event) => {
      event.preventDefault();
      const key = field.value.trim();
      const write = /^raydo_(write|browser)_/.test(key);
      if (!write) return opened(key);
      told.hidden = false;
      told.lastChild.textContent = `This key only sends events${tenantOf(key) ? ` of ${tenantOf(key)}` : ""}. A read key is needed here.`;
      return undefined;
    },
  }, h("label", { for: "key" }, "Read key"), field, told, h("button.primary", { type: "submit" }, "Open the dashboard"));
  fill(place, h("section.sign-in", {},
    h("h1", {}, "Sign in"),
    h("p", {}, "This server asks for a key. It stays in this tab, and is forgotten when the tab is closed."),
    form,
    h("p.quiet", {}, "None yet? On the server:"),
    h("pre", {}, h("code", {}, "raydo keys create --kind read --tenant acme --name \"the dashboard\""))));
  field.focus();
  return undefined;
}
