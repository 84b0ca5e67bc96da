// The search over everything: "/" goes to it, arrow keys go through what was found. It works without this file.
"use strict";
(() => {
  const form = document.querySelector("[data-seek]");
  if (!form) return;
  const field = form.querySelector("input[type=search]");
  const panel = document.getElementById("seek-found");
  const KEY_OFF = "search-key-off"; // in the browser's storage: whoever dictates to it may not want a single key to act

  const isOff = () => { try { return localStorage.getItem(KEY_OFF) === "yes"; } catch { return false; } };

  const showHint = () => { form.querySelector("kbd").classList.toggle("seek-key-off", isOff()); };

  const setShown = (shown) => { panel.hidden = !shown; };

  // What was found stands below the field while one types, or on the page of the search.
  const place = () => (panel.hidden ? document.querySelector("main [data-found]") : panel);
  const links = () => [...(place()?.querySelectorAll("a") ?? [])];

  const writes = (element) => element.closest?.("input:not([type=checkbox], [type=radio]), select, textarea");

  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (writes(event.target) || isOff()) return;
    event.preventDefault();
    field.focus();
    field.select();
  });

  const step = (event, from, by) => {
    const all = links();
    const next = from + by;
    if (!all.length || next >= all.length) return;
    event.preventDefault();
    (next < 0 ? field : all[next]).focus();
  };

  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") step(event, -1, 1);
    else if (event.key === "Escape" && !panel.hidden) {
      // The first Escape closes what was found, the next one empties the field as browsers do.
      event.preventDefault();
      setShown(false);
    }
  });

  document.addEventListener("keydown", (event) => {
    const at = links().indexOf(document.activeElement);
    if (at < 0) return;
    if (event.key === "ArrowDown") step(event, at, 1);
    else if (event.key === "ArrowUp") step(event, at, -1);
    else if (event.key === "Home") step(event, 0, 0);
    else if (event.key === "End") step(event, links().length - 1, 0);
    else if (event.key === "Escape") {
      field.focus();
      setShown(false);
    }
  });

  panel.addEventListener("htmx:afterSwap", () => setShown(field.value.trim() !== "" && document.activeElement === field));
  field.addEventListener("focus", () => setShown(field.value.trim() !== "" && panel.childElementCount > 0));
  form.addEventListener("focusout", (event) => { if (!form.contains(event.relatedTarget)) setShown(false); });
  // A click on what is no link, such as a heading, takes the focus from the field and must not close the list.
  panel.addEventListener("mousedown", (event) => { if (!event.target.closest("a")) event.preventDefault(); });

  const choice = document.querySelector("[data-seek-key]");
  if (choice) {
    choice.checked = !isOff();
    choice.addEventListener("change", () => {
      try {
        localStorage.setItem(KEY_OFF, choice.checked ? "no" : "yes");
      } catch (error) {
        console.warn("The browser keeps no choice:", error);
      }
      showHint();
    });
  }
  showHint();
})();
