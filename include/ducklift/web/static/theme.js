// Before the first paint: the colours that Airflow is set to. Its UI keeps the choice in this origin's local storage.
(function () {
  "use strict";
  function follow() {
    var chosen = null;
    try { chosen = window.localStorage.getItem("theme"); } catch (refused) { /* storage is switched off: the system decides */ }
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
    else delete document.documentElement.dataset.theme;
    document.dispatchEvent(new Event("themechange"));
  }
  document.documentElement.classList.add("scripted");
  window.addEventListener("storage", function (event) { if (event.key === "theme" || event.key === null) follow(); });
  follow();
})();
