/* Runs before anything is drawn, so that nobody sees the wrong theme first. */
(function () {
  var theme = null;
  try { theme = localStorage.getItem("raydo.theme"); } catch (_) { /* a page may store nothing */ }
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  if (location.pathname === "/embed") document.documentElement.dataset.embedded = "";
})();
