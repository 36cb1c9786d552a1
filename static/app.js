// The frame's behaviour: menus, toasts, dialogs, forms, times. Every page works without it. Players and tiles: clips.js.
"use strict";
(() => {
  const on = (type, act, options) => document.addEventListener(type, act, options);
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const closest = (event, selector) => (event.target instanceof Element ? event.target.closest(selector) : null);

  // -- toasts ---------------------------------------------------------------------------------------------------------
  const READING_TIME = 8000;

  /** Toasts live in the open dialog, if there is one: everything outside it lies under the scrim. */
  function homeForToasts() {
    const region = one("#toasts");
    const home = all("dialog[open]").pop() || document.body;
    if (region && region.parentNode !== home) home.append(region);
    return region;
  }
  function present(toast) {
    one("[data-dismiss]", toast).hidden = false;
    if (toast.dataset.kind !== "error" && toast.dataset.kind !== "warning") setTimeout(() => toast.remove(), READING_TIME);
  }
  function say(text, kind = "info") {
    const region = homeForToasts();
    if (!region || all("p", region).some((line) => line.textContent === text)) return;
    const toast = one("#toast-template").content.firstElementChild.cloneNode(true);
    one("p", toast).textContent = text;
    toast.dataset.kind = kind;
    region.append(toast);
    present(toast);
  }
  on("toast", (event) => say(event.detail.text ?? event.detail.value, event.detail.kind));
  on("click", (event) => closest(event, "[data-dismiss]")?.closest(".toast").remove());

  // -- what htmx could not do -----------------------------------------------------------------------------------------
  const LOST = "Dailies cannot be reached. Trying again.";
  const SAID = {
    400: "That could not be read. Nothing was changed.",
    403: "Your role does not allow this, or this page is too old. Reload it and try again.",
    404: "That is not there any more. Reload the page.",
    409: "Something changed in the meantime. Reload the page to see it.",
    413: "The file is too large. Nothing was stored.",
    429: "Too many requests at once. Wait a moment, then try again.",
  };
  const isPoll = (ctx) => ctx?.sourceEvent?.type === "every";

  on("htmx:response:error", ({ detail: { ctx } }) => {
    const { status } = ctx.response;
    if (status === 422 || ctx.hx?.trigger?.includes("toast")) return;
    if (isPoll(ctx) && status >= 500) say(LOST, "error");
    else say(SAID[status] || "Something broke here. Reload the page to see where things stand before you repeat it.", "error");
  });
  on("htmx:error", ({ detail: { ctx } }) => {
    if (!ctx?.request || ctx.response) return;
    if (ctx.request.method === "GET") say(LOST, "error");
    else say("No answer came. Reload the page to see where things stand before you repeat it.", "error");
  });
  on("htmx:after:swap", ({ detail: { ctx } }) => {
    if (ctx.response?.status < 400) all("#toasts .toast").filter((t) => t.textContent.trim() === LOST).forEach((t) => t.remove());
  });
  // A redirected answer is a page, not a fragment. Mostly the session has ended: sign in, then come back to this page.
  on("htmx:before:response", (event) => {
    const answer = event.detail.ctx.response.raw;
    if (!answer.redirected) return;
    event.preventDefault();
    const url = new URL(answer.url);
    if (url.searchParams.has("next")) url.searchParams.set("next", location.pathname + location.search);
    location.assign(url);
  });
  // Nobody looks at a hidden tab: it asks again at once when it is shown.
  on("htmx:before:request", (event) => {
    if (document.hidden && isPoll(event.detail.ctx)) event.preventDefault();
  });
  on("visibilitychange", () => {
    if (!document.hidden && window.htmx) all('[hx-trigger^="every"]').forEach((poll) => htmx.trigger(poll, "every", {}, false));
  });

  // -- dialogs --------------------------------------------------------------------------------------------------------
  function openSheet() {
    const sheet = one("#sheet");
    if (!sheet?.firstElementChild) return;
    const heading = one("h1, h2", sheet);
    if (heading) sheet.setAttribute("aria-labelledby", (heading.id ||= "sheet-title"));
    if (!sheet.open) sheet.showModal();
  }
  // The button that asked is disabled meanwhile and loses the focus: it gets it back when the sheet closes.
  let asker = null;
  on("htmx:before:request", ({ detail: { ctx } }) => {
    if (ctx.target?.id === "sheet" && !one("#sheet[open]")) asker = document.activeElement;
  });
  const closeSheet = () => one("#sheet[open]")?.close();
  on("htmx:before:swap", ({ detail: { ctx } }) => {
    if (ctx.target?.id === "sheet") document.body.append(one("#toasts"));
  });
  on("htmx:after:settle", (event) => {
    if (event.target.id === "sheet") openSheet();
    refresh();
  });
  on("close-sheet", closeSheet);
  on("click", (event) => {
    const dialog = event.target;
    if (dialog instanceof HTMLDialogElement && dialog.matches(":modal")) dialog.close("no"); // the scrim
    const close = closest(event, "[data-close]");
    if (!close || !close.closest("dialog:modal")) return;
    event.preventDefault();
    close.closest("dialog").close("no");
  });
  on("close", (event) => {
    if (event.target.id !== "sheet") return;
    document.body.append(one("#toasts"));
    event.target.replaceChildren();
    if (asker?.isConnected) asker.focus({ preventScroll: true });
  }, true);

  /** Asks with our own dialog; `act` runs only after the named answer. */
  function ask(question, answer, act, otherwise = () => {}) {
    const dialog = one("#ask");
    if (!dialog) return act();
    one("#ask-title").textContent = question;
    one("[value=yes]", dialog).textContent = answer || "Go on";
    dialog.returnValue = "no";
    dialog.addEventListener("close", () => (dialog.returnValue === "yes" ? act() : otherwise()), { once: true });
    dialog.showModal();
  }
  on("htmx:confirm", (event) => {
    const { ctx, issueRequest, dropRequest } = event.detail;
    if (!ctx.confirm) return;
    event.preventDefault();
    ask(ctx.confirm, ctx.sourceElement.dataset.confirmButton, issueRequest, dropRequest);
  });
  const agreed = new WeakSet();
  function askFirst(event, asker, repeat) {
    if (!asker || agreed.delete(asker)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    ask(asker.dataset.confirm, asker.dataset.confirmButton, () => { agreed.add(asker); repeat(); });
  }
  on("submit", (event) => {
    const asker = event.submitter?.dataset.confirm ? event.submitter : event.target;
    if (asker.dataset.confirm) askFirst(event, asker, () => event.target.requestSubmit(event.submitter));
  }, true);
  on("click", (event) => {
    const link = closest(event, "a[data-confirm]");
    askFirst(event, link, () => link.click());
  }, true);

  // -- menus, search, theme, copying ----------------------------------------------------------------------------------
  on("click", (event) => {
    all("details.menu[open]").filter((menu) => !menu.contains(event.target)).forEach((menu) => { menu.open = false; });
  });
  on("keydown", (event) => {
    if (event.key === "Escape") {
      const menu = closest(event, "details.menu[open]") || one("details.menu[open]");
      if (menu) { menu.open = false; one("summary", menu).focus(); }
    }
    const typing = closest(event, "input, textarea, select, [contenteditable], dialog");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const search = one("[data-search]");
    if (search?.offsetParent) { event.preventDefault(); search.focus(); search.select(); }
  });
  on("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-theme-form]") || !event.submitter) return;
    event.preventDefault();
    const theme = event.submitter.value;
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = `dailies-${theme}`;
    all("[data-theme-form] button").forEach((b) => b.setAttribute("aria-pressed", String(b.value === theme)));
    fetch(form.action, { method: "POST", body: new FormData(form, event.submitter), redirect: "manual" })
      .catch(() => say("The theme could not be remembered. It stays until you leave this page.", "error"));
  });
  on("click", (event) => {
    const button = closest(event, "[data-copy]");
    if (!button) return;
    const failed = () => say("This browser copies only over https. Select the text and copy it by hand.", "error");
    if (!navigator.clipboard) failed();
    else navigator.clipboard.writeText(button.dataset.copy).then(() => say("Copied."), failed);
  });

  // -- forms ----------------------------------------------------------------------------------------------------------
  const number = new Intl.NumberFormat("en");
  function count(area) {
    all("[data-counter]").filter((counter) => counter.dataset.counter === area.id).forEach((counter) => {
      counter.textContent = `${number.format(area.value.length)} of ${number.format(area.maxLength)}`;
    });
  }
  all("textarea[maxlength][id]").forEach(count);
  on("input", (event) => {
    const field = event.target;
    if (field.matches("textarea[maxlength]")) count(field);
    const output = field.dataset?.output && document.getElementById(field.dataset.output);
    if (output) output.textContent = [field.value, field.dataset.unit].filter(Boolean).join(" ");
  });
  // A second click on a plain form does nothing; after Back the form is usable again.
  on("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return;
    if (event.submitter?.hasAttribute("data-stays")) return; // a download: the page stays and may be used again
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
  addEventListener("pageshow", () => all("form[data-sent]").forEach((form) => delete form.dataset.sent));

  for (const type of ["dragover", "dragleave", "drop"]) {
    on(type, (event) => {
      const zone = closest(event, "[data-drop]");
      if (!zone || !event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      zone.classList.toggle("is-over", type === "dragover");
      if (type !== "drop") return;
      const input = one("input[type=file]", zone);
      const taken = new DataTransfer();
      [...event.dataTransfer.files].slice(0, input.multiple ? undefined : 1).forEach((file) => taken.items.add(file));
      input.files = taken.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    });
  }

  // -- times ----------------------------------------------------------------------------------------------------------
  const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  function ago(seconds) {
    if (seconds < 60) return `${seconds} s ago`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
    return null; // older: the server's words stay
  }
  function refresh() {
    const since = (moment) => Math.max(0, Math.floor((Date.now() - Date.parse(moment)) / 1000));
    all("time[data-rel]").forEach((time) => write(time, ago(since(time.dateTime)) ?? time.textContent));
    all("[data-elapsed]").forEach((clock) => {
      const seconds = since(clock.dataset.elapsed);
      write(clock, `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`);
    });
  }
  setInterval(refresh, 1000);
  refresh();
  all("#toasts .toast").forEach(present);
  new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.forEach((node) => {
    if (node.matches?.(".toast") && one("[data-dismiss]", node).hidden) { homeForToasts(); present(node); }
  }))).observe(one("#toasts"), { childList: true });
})();
