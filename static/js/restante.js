// What pages gain when scripts run. Every page works without this file.
"use strict";
(() => {
  const announce = (text) => {
    const place = document.getElementById("announce");
    if (!place) return;
    place.textContent = "";
    // Emptied first and filled in the next frame: the same sentence twice is then read twice.
    requestAnimationFrame(() => { place.textContent = text; });
  };

  // Buttons that need a script are hidden in the page and shown here; those that a script makes needless go.
  const enhance = (root) => {
    for (const button of root.querySelectorAll("[data-no-script]")) button.hidden = true;
    for (const button of root.querySelectorAll("[data-script][hidden]")) button.hidden = false;
  };

  // -- copying ------------------------------------------------------------------------------------------------

  const copyOldWay = (text) => {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "visually-hidden";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  };

  // Browsers offer the clipboard only over HTTPS and on localhost; elsewhere the old command still works.
  const copyText = async (text) => {
    try {
      if (navigator.clipboard) {
        await navigator.clipboard.writeText(text);
        return true;
      }
    } catch (error) {
      console.warn("The clipboard refused:", error);
    }
    return copyOldWay(text);
  };

  const copy = async (button) => {
    const source = button.dataset.copyFrom && document.getElementById(button.dataset.copyFrom);
    const text = source ? source.value : button.dataset.copy;
    if (!text) {
      if (source) source.focus();
      return;
    }
    const done = await copyText(text);
    button.focus();
    const words = done ? button.dataset.done : button.dataset.failed;
    announce(words);
    const label = button.querySelector("[data-label]");
    if (!label || button.dataset.copied) return;
    const before = label.textContent;
    label.textContent = words;
    button.dataset.copied = "yes";
    setTimeout(() => {
      label.textContent = before;
      delete button.dataset.copied;
    }, 2000);
  };

  // -- passwords ------------------------------------------------------------------------------------------------

  const setShown = (field, shown) => {
    field.type = shown ? "text" : "password";
    field.dataset.secret = "";
    field.spellcheck = false;
    field.autocapitalize = "none";
    const button = document.querySelector(`[data-reveal="${field.id}"]`);
    if (!button) return;
    button.setAttribute("aria-pressed", String(shown));
    button.querySelector("[data-label]").textContent = shown ? button.dataset.hide : button.dataset.show;
  };

  // No letter or digit that looks like another one: these are read aloud and typed into telephones.
  const ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789";

  const randomLetter = () => {
    const byte = new Uint8Array(1);
    // Bytes above the largest multiple are thrown away, or the first letters would come more often.
    const limit = 256 - (256 % ALPHABET.length);
    do crypto.getRandomValues(byte); while (byte[0] >= limit);
    return ALPHABET[byte[0] % ALPHABET.length];
  };

  // Four groups of five: 20 letters out of 31 are 99 bits.
  const newPassword = () =>
    Array.from({ length: 4 }, () => Array.from({ length: 5 }, randomLetter).join("")).join("-");

  const generate = (button) => {
    const field = document.getElementById(button.dataset.generate);
    field.value = newPassword();
    setShown(field, true);
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
    field.select();
    announce(button.dataset.done);
  };

  // -- lists ----------------------------------------------------------------------------------------------------------

  document.addEventListener("change", (event) => {
    const all = event.target.closest("[data-tick-all]");
    if (!all) return;
    for (const tick of document.getElementById(all.dataset.tickAll).querySelectorAll("tbody .tick")) tick.checked = all.checked;
  });

  // A spreadsheet takes a value that begins like a formula for one.
  const csvValue = (text) => `"${(/^[=+\-@]/.test(text) ? "'" : "") + text.replaceAll('"', '""')}"`;

  // The file is made of the table in the page: what it holds is not sent again.
  const saveTable = (button) => {
    const rows = [...document.getElementById(button.dataset.csv).rows];
    const lines = rows.map((row) => [...row.cells].map((cell) => csvValue(cell.textContent.trim())).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", lines.join("\r\n"), "\r\n"], { type: "text/csv" }));
    link.download = button.dataset.csvName;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  // -- menus ------------------------------------------------------------------------------------------------------

  const closeMenus = (except) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (menu !== except) menu.open = false;
    }
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from], [data-reveal], [data-generate], [data-close], [data-csv]");
    closeMenus(event.target.closest("details.menu"));
    if (!button) return;
    if (button.dataset.reveal) {
      const field = document.getElementById(button.dataset.reveal);
      setShown(field, field.type === "password");
    } else if (button.dataset.generate) {
      generate(button);
    } else if (button.dataset.csv) {
      saveTable(button);
    } else if ("close" in button.dataset) {
      button.closest(".note").remove();
      document.getElementById("main").focus();
    } else {
      copy(button);
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = document.querySelector("details.menu[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });

  // -- questions --------------------------------------------------------------------------------------------------

  // Before something is done, its page asks. Where scripts run, that page's question opens over this one; whatever
  // is not a question (the sign-in page, a refusal) is gone to as the link says.
  const ask = async (link) => {
    let question = null;
    try {
      const answer = await fetch(link.href, { headers: { Accept: "text/html" } });
      if (answer.ok && !answer.redirected) {
        question = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-question]");
      }
    } catch (error) {
      console.warn("The question did not come:", error);
    }
    if (!question) {
      location.assign(link.href);
      return;
    }
    const dialog = document.createElement("dialog");
    dialog.className = "dialog";
    dialog.append(question);
    const title = dialog.querySelector("h1");
    title.id = "dialog-title";
    dialog.setAttribute("aria-labelledby", title.id);
    for (const form of dialog.querySelectorAll("form:not([action])")) form.action = link.href;
    dialog.addEventListener("close", () => { dialog.remove(); link.focus(); });
    document.body.append(dialog);
    enhance(dialog);
    dialog.showModal();
    dialog.querySelector(".field :is(input, select, textarea), [data-cancel]")?.focus();
  };

  document.addEventListener("click", (event) => {
    const cancel = event.target.closest("dialog [data-cancel]");
    if (cancel) {
      event.preventDefault();
      cancel.closest("dialog").close();
      return;
    }
    const link = event.target.closest("a[data-dialog]");
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (link.dataset.asking) return;
    link.dataset.asking = "yes";
    ask(link).finally(() => { delete link.dataset.asking; });
  });

  // -- forms ------------------------------------------------------------------------------------------------------

  const BUSY_FOR = 15000; // milliseconds: after this an answer is not coming, and the person may try again

  const release = (form) => {
    delete form.dataset.busy;
    for (const button of form.querySelectorAll("[type=submit][aria-disabled]")) button.removeAttribute("aria-disabled");
  };

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || event.defaultPrevented) return;
    if (form.dataset.busy) {
      event.preventDefault();
      return;
    }
    form.dataset.busy = "yes";
    for (const button of form.querySelectorAll("[type=submit]")) button.setAttribute("aria-disabled", "true");
    // A shown password goes back to dots, so that the browser offers to keep it as what it is.
    for (const field of form.querySelectorAll("input[data-secret]")) setShown(field, false);
    setTimeout(release, BUSY_FOR, form);
  });

  // "Back" may bring the page as it was left, with its form still busy.
  window.addEventListener("pageshow", () => document.querySelectorAll("form[data-busy]").forEach(release));

  // A list's address names only what was asked for: no "?q=&state=".
  document.addEventListener("formdata", (event) => {
    if (!event.target.matches("[data-tidy]")) return;
    for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
  });

  // A field that belongs to one choice of a list is there only while that is chosen.
  const showDependent = (field) => {
    const chosen = document.getElementById(field.dataset.onlyFor);
    if (!chosen) return;
    const update = () => { field.hidden = chosen.value !== field.dataset.onlyValue; };
    chosen.addEventListener("change", update);
    update();
  };

  // -- htmx -------------------------------------------------------------------------------------------------------

  const stale = (shown) => {
    const note = document.getElementById("stale");
    if (note && note.hidden === shown) note.hidden = !shown;
  };

  // Polling waits while nobody looks. (htmx's own filter needs eval, which the policy forbids.)
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.detail.elt.hasAttribute("data-poll")) event.preventDefault();
    // A form on its way may change who is signed in: what is asked beside it now would be answered as nobody, and the
    // answer would take the new session's cookie away.
    if (event.detail.elt.closest("form[data-busy]")) event.preventDefault();
  });

  // A fragment that came from another address is a page, most likely the sign-in page: go there instead.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, pathInfo } = event.detail;
    if (!xhr.responseURL) return;
    const asked = new URL(pathInfo.finalRequestPath, location.href);
    if (new URL(xhr.responseURL).pathname !== asked.pathname) {
      event.detail.shouldSwap = false;
      // Not over a form on its way: reloading would send it twice.
      if (!document.querySelector("form[data-busy]")) location.reload();
    }
  });

  for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
    document.addEventListener(name, () => stale(true));
  }
  document.addEventListener("htmx:afterOnLoad", (event) => { if (event.detail.xhr.status < 400) stale(false); });
  document.addEventListener("htmx:load", (event) => {
    enhance(event.detail.elt);
    const told = event.detail.elt.querySelector?.("[data-announce]");
    if (told) announce(told.dataset.announce);
  });

  enhance(document);
  for (const field of document.querySelectorAll("[data-only-for]")) showDependent(field);
  document.querySelector("[data-focus]")?.focus();
})();
