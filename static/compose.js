// The compose form: tells which change asks for what, counts characters, adds rows. Without it: plain buttons.
"use strict";
(() => {
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const number = new Intl.NumberFormat("en");
  const inForm = (element) => element instanceof Element && element.closest("#compose");

  function count() {
    const area = one("#prompt"), counter = one("#prompt-count");
    if (!area || !counter) return;
    const limit = Number(area.dataset.limit), length = [...area.value.trim()].length;
    counter.textContent = `${number.format(length)} of ${number.format(limit)} characters`;
    counter.classList.toggle("over-limit", length > limit);
  }

  // Model, type and what other settings depend on redraw the settings; what only costs more or less asks for the price.
  // While a file is on its way its place is left alone: the settings follow as soon as it has arrived.
  let waiting = false;
  function refit() {
    waiting = Boolean(one("#media .htmx-request"));
    if (!waiting) htmx.trigger(one("#settings"), "refit");
  }
  document.addEventListener("htmx:finally:request", () => waiting && setTimeout(refit));
  document.addEventListener("htmx:after:settle", () => waiting && setTimeout(refit));
  document.addEventListener("change", (event) => {
    if (!inForm(event.target)) return;
    if (event.target.matches("[data-decides]")) refit();
    else if (event.target.matches("[data-priced]")) htmx.trigger(one("#price"), "reprice");
  });

  // A button that takes what is entered to another page: as the browser posts a form, past htmx.
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-elsewhere]");
    if (!button || !inForm(button)) return;
    event.preventDefault();
    button.form.action = button.formAction;
    button.form.submit();
  });

  // Variables of the prompt: what stands for them is asked for as soon as one comes or goes.
  const braced = (area) => (area.value.match(/\{[^{}]{1,40}\}/g) ?? []).join();
  let known = null, typing = null;
  document.addEventListener("input", ({ target }) => {
    if (!target.matches?.("[data-variables]") || braced(target) === known) return;
    known = braced(target);
    clearTimeout(typing);
    typing = setTimeout(refit, 400);
  });

  // The server refuses a larger request before it has read it, which a browser shows as a broken connection.
  const LARGEST = 250e6;
  document.addEventListener("change", (event) => {
    const field = event.target;
    if (!inForm(field) || field.type !== "file" || [...field.files].every((file) => file.size < LARGEST)) return;
    event.stopImmediatePropagation();
    field.value = "";
    const text = "This file is too large: images can have 20 MB, videos 200 MB. Nothing was sent.";
    document.dispatchEvent(new CustomEvent("toast", { detail: { text, kind: "error" } }));
  }, true);

  // -- scenes and shots -----------------------------------------------------------------------------------------------
  const rowsOf = (set) => all(".row2", set);
  function lengthOf(set) { // of the same model, where a form has several
    const name = one("[name]", one(".row2", set)).name.replace(/[^-]+$/, "duration");
    return one(`[name="${name}"]:checked, input[name="${name}"]:not([type=radio]), select[name="${name}"]`);
  }
  function sum(set) {
    const seconds = all('[name$=".duration"]', set).map((field) => Number(field.value) || 0).reduce((a, b) => a + b, 0);
    const output = one("[data-rows-sum]", set);
    output.hidden = !seconds;
    output.textContent = `${seconds} of ${lengthOf(set)?.value ?? "?"} seconds`;
    one("[data-add-row]", set).hidden = rowsOf(set).length >= Number(set.dataset.rows);
  }
  function addRow(button) {
    const set = button.closest("[data-rows]"), last = rowsOf(set).at(-1), row = last.cloneNode(true), place = rowsOf(set).length + 1;
    all("input", row).forEach((field) => {
      field.value = "";
      field.removeAttribute("id");
      field.removeAttribute("aria-invalid");
      for (const words of ["aria-label", "placeholder"]) field.setAttribute(words, field.getAttribute(words).replace(/\d+/, place));
    });
    last.after(row);
    one("input", row).focus();
    sum(set);
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-add-row]");
    if (button) addRow(button);
  });

  document.addEventListener("input", (event) => {
    if (event.target.id === "prompt") count();
    if (inForm(event.target)) all("[data-rows]").forEach(sum);
  });

  function settle() {
    count();
    all("[data-rows]").forEach(sum);
  }
  document.addEventListener("htmx:after:settle", settle);
  // Something was wrong: the first of it gets the focus.
  let wrong = false;
  document.addEventListener("htmx:before:swap", ({ detail: { ctx } }) => {
    wrong = ctx.response?.status === 422 && ctx.target?.id !== "sheet";
  });
  document.addEventListener("htmx:after:settle", () => {
    const first = wrong && (one('#compose [aria-invalid="true"]') || one("#compose .notice:not(:empty)"));
    if (!first) return;
    wrong = false;
    first.closest("details")?.setAttribute("open", "");
    (first.matches("[role=radiogroup]") ? one("input:checked, input", first) : first).focus();
    first.scrollIntoView({ block: "nearest" });
  });
  known = one("[data-variables]") && braced(one("[data-variables]"));
  settle();
})();
