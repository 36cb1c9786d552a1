// Selecting clips, keys, swiping. Without it: "Select" is a link, and the checkboxes and buttons are there anyway.
"use strict";
(() => {
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const on = (type, act, options) => document.addEventListener(type, act, options);
  const gallery = one(".gallery");
  const bar = one("#pick.actionbar");
  const boxes = () => all("#main input[name=pick]");
  const boxOf = (tile) => one("input[name=pick]", tile ?? document.createElement("i"));

  // -- selecting ------------------------------------------------------------------------------------------------------
  let last = null; // where a range begins
  const picking = () => Boolean(gallery?.classList.contains("picking"));
  const number = new Intl.NumberFormat("en");

  function count() {
    if (!bar) return;
    const picked = boxes().filter((box) => box.checked);
    boxes().forEach((box) => box.closest(".tile")?.classList.toggle("is-picked", box.checked));
    const sum = (name) => picked.reduce((total, box) => total + Number(box.dataset[name] || 0), 0);
    const text = `${number.format(picked.length)} selected`;
    const more = ` · ${number.format(Math.round(sum("seconds")))} s · ${number.format(sum("credits"))} credits`;
    one("[data-sum]", bar).replaceChildren(text, Object.assign(document.createElement("span"), { textContent: more }));
  }
  function pick(wanted) {
    if (!gallery || !bar) return;
    gallery.classList.toggle("picking", wanted);
    bar.hidden = !wanted;
    all("[data-select]").forEach((chip) => { chip.setAttribute("aria-pressed", String(wanted)); chip.classList.toggle("on", wanted); });
    if (!wanted) { boxes().forEach((box) => { box.checked = false; }); last = null; }
    count();
  }
  /** Sets one box, or all from the one that was set last. */
  function set(box, checked, range) {
    if (!picking()) pick(true);
    const list = boxes();
    const from = range && last?.isConnected ? list.indexOf(last) : list.indexOf(box);
    const [a, b] = [from, list.indexOf(box)].sort((x, y) => x - y);
    list.slice(a, b + 1).forEach((each) => { each.checked = checked; });
    last = box;
    count();
  }
  on("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const box = target?.closest(".gallery input[name=pick]");
    if (box) return set(box, box.checked, event.shiftKey);
    const link = target?.closest(".gallery.picking .tile-link");
    const own = link && boxOf(link.closest(".tile"));
    if (own && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      event.stopPropagation();
      return set(own, event.shiftKey || !own.checked, event.shiftKey);
    }
    if (target?.closest("[data-select]")) { event.preventDefault(); pick(!picking()); }
    else if (target?.closest("[data-leave]")) { event.preventDefault(); leave(); }
    else if (target?.closest("[data-select-all]")) { boxes().forEach((each) => { each.checked = true; }); count(); }
    else if (target?.closest("[data-keys]")) help();
  }, true);
  on("mousedown", (event) => { // a range is no selected text
    if (event.shiftKey && event.target.closest?.(".gallery.picking")) event.preventDefault();
  });
  function leave() {
    const back = document.activeElement?.closest?.(".gallery") ? null : one("[data-select]");
    pick(false);
    back?.focus();
  }
  on("change", (event) => { if (event.target.matches?.("input[name=pick]")) count(); });
  on("htmx:after:settle", count);
  on("htmx:after:request", () => { // a deed of the bar is done: its menus close
    if (bar) all("details[open]", bar).forEach((menu) => { menu.open = false; });
  });
  all("[data-select-all], [data-keys]").forEach((button) => { button.hidden = false; });
  if (picking()) pick(true);
  addEventListener("pageshow", count);

  // -- keys -----------------------------------------------------------------------------------------------------------
  const OFF = "keys-off";
  const off = () => localStorage.getItem(OFF) === "1";
  function help() {
    const dialog = one("#keys");
    if (!dialog || dialog.open) return;
    const toggle = one("input", dialog);
    toggle.checked = !off();
    toggle.onchange = () => localStorage.setItem(OFF, toggle.checked ? "0" : "1");
    dialog.showModal();
  }
  function mark(tile, word) {
    const button = one(`#pick button[name=mark][value=${word}]`);
    const tools = tile && one("[data-mark]", tile);
    if (!button || !tools) return;
    const values = { pick: boxOf(tile).value, mark: tools.dataset.mark === word ? "" : word };
    htmx.ajax("POST", button.formAction, { source: tools, values, swap: "none" });
  }
  function openMenu(menu) {
    if (!menu) return;
    menu.open = true;
    (one(".menu-item, .field", menu) ?? one("summary", menu)).focus();
  }
  /** What a letter does to the tile that has the focus. */
  const ON_TILE = {
    f: (tile) => one("[data-heart]", tile)?.click(),
    c: (tile) => { const box = boxOf(tile); if (box) { set(box, true, false); openMenu(one("[data-collect]", bar)); } },
    x: (tile) => { const box = boxOf(tile); if (box) set(box, !box.checked, false); },
    X: (tile) => { const box = boxOf(tile); if (box) set(box, true, true); },
    k: (tile) => mark(tile, "keep"),
    r: (tile) => mark(tile, "reject"),
    " ": (tile) => tile.dispatchEvent(new CustomEvent("toggle-preview", { bubbles: true })),
  };
  const ON_CLIP = {
    f: () => one("#shelf [data-heart]")?.click(),
    c: () => openMenu(one("#shelf [data-collect]")),
    k: () => one("#shelf [data-keep]")?.click(),
    r: () => one("#shelf [data-reject]")?.click(),
  };
  const typing = (target) => target.closest?.("input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable]");

  let menuWasOpen = false;
  on("keydown", (event) => { menuWasOpen = event.key === "Escape" && Boolean(one("details.menu[open]")); }, true);
  function escape(event) {
    if (menuWasOpen || one("dialog:modal") || document.fullscreenElement) return;
    if (typing(event.target)) event.target.blur();
    else if (picking()) leave();
    else if (one("#live")) one("[data-to-gallery]")?.click();
  }
  function firstTile() {
    const links = all(".gallery .tile-link");
    return links.find((link) => link.getBoundingClientRect().top >= 56) ?? links[0];
  }
  on("keydown", (event) => {
    if (event.key === "Escape") return escape(event);
    if (event.key === "Enter" && event.target.matches?.("#pick .field, #shelf .menu-box .field")) {
      event.preventDefault(); // the button beside the field, not the first of the form
      return one("button", event.target.closest(".grid")).click();
    }
    if (typing(event.target) || one("dialog:modal")) return;
    if ((event.ctrlKey || event.metaKey) && event.key === "a" && picking()) {
      event.preventDefault();
      boxes().forEach((box) => { box.checked = true; });
      return count();
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const tile = event.target.closest?.(".gallery .tile");
    const onLink = event.target.matches?.(".tile-link");
    if (event.key.startsWith("Arrow")) {
      if (gallery && event.target === document.body && ["ArrowRight", "ArrowDown"].includes(event.key)) {
        event.preventDefault();
        return firstTile()?.focus();
      }
      const now = document.activeElement?.closest?.(".gallery .tile"); // clips.js has moved the focus already
      if (event.shiftKey && onLink && boxOf(now)) {
        if (!last?.isConnected || !picking()) last = boxOf(tile);
        set(boxOf(now), true, true);
      }
      return;
    }
    if (off()) return;
    if (event.key === "?") { event.preventDefault(); return help(); }
    const act = tile ? ON_TILE[event.key] : one("#shelf") && ON_CLIP[event.key];
    if (!act || (event.key === " " && !onLink)) return;
    event.preventDefault();
    act(tile);
  });

  // -- swiping between clips ------------------------------------------------------------------------------------------
  const FAR = 60; // pixels
  let start = null;
  on("touchstart", (event) => {
    const held = event.target.closest?.("input, .stage-bar, .menu-box, dialog");
    const [touch] = event.touches;
    start = event.touches.length === 1 && one("#live") && !held && !document.fullscreenElement ? { x: touch.clientX, y: touch.clientY } : null;
  }, { passive: true });
  on("touchend", (event) => {
    if (!start) return;
    const [touch] = event.changedTouches;
    const [across, down] = [touch.clientX - start.x, touch.clientY - start.y];
    start = null;
    if (Math.abs(across) < FAR || Math.abs(across) < 2 * Math.abs(down)) return;
    one(across < 0 ? "[data-older]" : "[data-newer]")?.click();
  }, { passive: true });
})();
