// Passkeys (WebAuthn). A form with data-passkey asks the browser when it is sent, and is sent with the answer.
"use strict";
(() => {
  const toBytes = (text) => {
    const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
  };

  const toText = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

  const withId = (credential) => ({ ...credential, id: toBytes(credential.id) });

  // What came as JSON has bytes as base64url; the browser wants buffers.
  const forBrowser = (options) => {
    const key = { ...options.publicKey, challenge: toBytes(options.publicKey.challenge) };
    if (key.user) key.user = withId(key.user);
    for (const list of ["excludeCredentials", "allowCredentials"]) if (key[list]) key[list] = key[list].map(withId);
    return { publicKey: key };
  };

  const forServer = (credential) => {
    const answer = { clientDataJSON: toText(credential.response.clientDataJSON) };
    for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[name]) answer[name] = toText(credential.response[name]);
    }
    return {
      id: credential.id,
      rawId: toText(credential.rawId),
      type: credential.type,
      response: answer,
      clientExtensionResults: credential.getClientExtensionResults(),
    };
  };

  const optionsOf = async (form) => {
    if (form.dataset.options) return JSON.parse(form.dataset.options);
    const answer = await fetch(form.dataset.ask, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`The panel answered ${answer.status}.`);
    return (await answer.json()).request_options;
  };

  const ask = async (form) => {
    if (!navigator.credentials) throw new Error("This browser has no passkeys.");
    const options = forBrowser(await optionsOf(form));
    const credential = form.dataset.passkey === "create"
      ? await navigator.credentials.create(options)
      : await navigator.credentials.get(options);
    return JSON.stringify(forServer(credential));
  };

  const complain = (form, error) => {
    const words = { NotAllowedError: "cancelled", AbortError: "cancelled", InvalidStateError: "known" };
    const place = form.querySelector("[data-trouble]");
    place.textContent = form.dataset[words[error.name] ?? "failed"];
    place.hidden = false;
    if (!words[error.name]) console.warn("Passkey:", error);
  };

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!("passkey" in form.dataset) || form.elements.credential.value) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (form.dataset.asking) return;
    form.dataset.asking = "yes";
    form.querySelector("[data-trouble]").hidden = true;
    try {
      form.elements.credential.value = await ask(form);
    } catch (error) {
      complain(form, error);
      return;
    } finally {
      delete form.dataset.asking;
    }
    form.requestSubmit();
  }, true);

  // "Back" may bring the page with an answer that was used already.
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-passkey]")) form.elements.credential.value = "";
  });
})();
