/* A panel's rows as a file, for whoever goes on in a spreadsheet. */

import { cell } from "./format.js";

/** Write rows as CSV (RFC 4180). A text that a spreadsheet would run as a formula is made harmless. */
export function toCsv(columns, rows) {
  const lines = [columns, ...rows].map((row) => row.map(field).join(","));
  return `${lines.join("\r\n")}\r\n`;
}

/** Hand a file over to the browser. */
export function download(name, columns, rows) {
  const address = URL.createObjectURL(new Blob([toCsv(columns, rows)], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

function field(value) {
  let text = cell(value);
  if (typeof value !== "number" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
