/* The dashboard's filters: they hide what does not fit, say how many claims are left, and keep the
   choice in the page's address. Without this script the page is a plain list of all claims. */
(function () {
  "use strict";

  function ready(form) {
    var board = form.closest(".unmix-dashboard");
    var entries = Array.prototype.slice.call(board.querySelectorAll("li[data-outcome]"));
    var sections = Array.prototype.slice.call(board.querySelectorAll(".dashboard-paper"));
    var shown = form.querySelector(".dashboard-shown");
    var names = ["paper", "kind", "outcome"];

    function apply() {
      var given = new URLSearchParams();
      names.forEach(function (name) {
        if (form.elements[name].value) given.set(name, form.elements[name].value);
      });
      entries.forEach(function (entry) {
        entry.hidden = names.some(function (name) {
          return given.has(name) && entry.dataset[name] !== given.get(name);
        });
      });
      sections.forEach(function (section) {
        section.hidden = !section.querySelector("li[data-outcome]:not([hidden])");
      });
      var tiles = entries.filter(function (entry) {
        return entry.parentElement.classList.contains("outcome-tiles");
      });
      var left = tiles.filter(function (tile) { return !tile.hidden; }).length;
      shown.textContent = left === tiles.length
        ? "All " + left + " claims are shown."
        : left + " of " + tiles.length + " claims are shown.";
      var query = given.toString();
      window.history.replaceState(null, "", (query ? "?" + query : window.location.pathname) +
        window.location.hash);
    }

    var asked = new URLSearchParams(window.location.search);
    names.forEach(function (name) {
      var field = form.elements[name];
      var known = Array.prototype.some.call(field.options, function (option) {
        return option.value === asked.get(name);
      });
      if (known) field.value = asked.get(name);
    });
    form.hidden = false;
    form.addEventListener("change", apply);
    form.addEventListener("submit", function (event) { event.preventDefault(); });
    form.addEventListener("reset", function () { window.setTimeout(apply, 0); });
    apply();
  }

  document.addEventListener("DOMContentLoaded", function () {
    Array.prototype.forEach.call(document.querySelectorAll(".dashboard-filters"), ready);
  });
})();
