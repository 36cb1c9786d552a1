// Moving pictures: the stage's player, and tiles that play a short muted preview. Without it: plain controls, still tiles.
"use strict";
(() => {
  const one = (selector, root) => root.querySelector(selector);
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

  // -- the stage ------------------------------------------------------------------------------------------------------
  function icon(button, name) {
    const use = one("use", button);
    use.setAttribute("href", `${use.getAttribute("href").split("#")[0]}#${name}`);
  }
  function label(button, name, text) {
    icon(button, name);
    button.setAttribute("aria-label", text);
  }
  const toggle = (video) => (video.paused ? video.play().catch(() => {}) : video.pause());

  function conduct(stage) {
    const video = one("video", stage);
    const bar = one(".stage-bar", stage);
    if (!video || !bar || stage.dataset.ready) return;
    stage.dataset.ready = "1";
    video.controls = false;
    bar.hidden = false;
    const part = (name) => one(`[data-${name}]`, bar);
    const [play, now, length, seek, mute, loop, full] = ["play", "now", "length", "seek", "mute", "loop", "full"].map(part);
    const listen = (target, types, act) => types.split(" ").forEach((type) => target.addEventListener(type, act));

    const showPlaying = () => label(play, video.paused ? "play" : "pause", video.paused ? "Play" : "Pause");
    const showTime = () => {
      now.textContent = clock(video.currentTime);
      if (Number.isFinite(video.duration)) {
        length.textContent = clock(video.duration);
        if (!seek.matches(":active")) seek.value = (1000 * video.currentTime) / video.duration;
        seek.setAttribute("aria-valuetext", `${now.textContent} of ${length.textContent}`);
      }
    };
    const showSound = () => {
      label(mute, video.muted ? "volume-x" : "volume-2", "Mute");
      mute.setAttribute("aria-pressed", String(video.muted));
    };
    const smoothly = () => { showTime(); if (!video.paused) requestAnimationFrame(smoothly); };
    const go = (seconds) => { video.currentTime = Math.min(Math.max(0, seconds), video.duration || 0); };

    listen(video, "play pause ended", showPlaying);
    listen(video, "play", smoothly);
    listen(video, "timeupdate durationchange seeked", showTime);
    listen(video, "volumechange", showSound);
    video.tabIndex = -1; // a click on the picture gives the player the focus, and with it the arrow keys
    listen(video, "click", () => toggle(video));
    listen(play, "click", () => toggle(video));
    listen(seek, "input", () => { if (video.duration) go((seek.value / 1000) * video.duration); });
    listen(mute, "click", () => { video.muted = !video.muted; });
    if (loop) listen(loop, "click", () => {
      video.loop = !video.loop;
      loop.setAttribute("aria-pressed", String(video.loop));
    });
    if (!document.fullscreenEnabled) full.hidden = true;
    listen(full, "click", () => (document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen()));
    listen(stage, "fullscreenchange", () => {
      const wide = document.fullscreenElement === stage;
      label(full, wide ? "minimize" : "maximize", wide ? "Leave full screen" : "Full screen");
    });
    const frame = one("[data-frame-at]", document);
    if (frame) {
      frame.hidden = false;
      listen(frame, "click", () => { frame.value = video.currentTime.toFixed(3); });
    }
    stage.addEventListener("nudge", (event) => go(video.currentTime + event.detail));
    showPlaying(); showTime(); showSound();
  }

  /** Space plays. Left and right move within the clip while the player has the focus, else to the newer or older clip. */
  function keysOnClip(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const stage = one(".stage[data-ready]", document);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const onPlayer = stage && (stage.contains(event.target) || document.fullscreenElement === stage);
    const busy = event.target.closest?.("input, textarea, select, button, a, summary, [contenteditable], dialog[open]");
    if (step && onPlayer && !event.target.matches("input")) stage.dispatchEvent(new CustomEvent("nudge", { detail: step }));
    else if (busy) return;
    else if (stage && event.key === " ") toggle(one("video", stage));
    else if (step) one(step < 0 ? "[data-newer]" : "[data-older]", document)?.click();
    else return;
    event.preventDefault();
  }

  // -- tiles ----------------------------------------------------------------------------------------------------------
  const HOVER = 250;
  const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches || navigator.connection?.saveData;
  let playing = null; // { tile, video, scrub }: one preview at a time
  let soon = null;

  function stop(tile = playing?.tile) {
    clearTimeout(soon);
    if (!playing || playing.tile !== tile) return;
    playing.video.remove();
    playing.scrub.style.removeProperty("width");
    playing = null;
  }
  function preview(tile) {
    if (playing?.tile === tile) return;
    stop();
    const video = document.createElement("video");
    Object.assign(video, { muted: true, loop: true, playsInline: true, src: tile.dataset.preview });
    video.setAttribute("aria-hidden", "true");
    video.tabIndex = -1;
    const scrub = one(".tile-scrub", tile) ?? tile.appendChild(document.createElement("span"));
    scrub.className = "tile-scrub";
    video.addEventListener("error", () => stop(tile));
    video.addEventListener("playing", () => {
      const follow = () => {
        if (playing?.video !== video) return;
        scrub.style.setProperty("width", `${(100 * video.currentTime) / (video.duration || 1)}%`);
        requestAnimationFrame(follow);
      };
      follow();
    }, { once: true });
    (one(":scope > img", tile) ?? tile.firstChild).after(video);
    playing = { tile, video, scrub };
    video.play().catch(() => stop(tile));
  }
  document.addEventListener("toggle-preview", ({ target }) => { // asked for by a key, so motion is wanted
    if (!target.matches(".tile[data-preview]")) return;
    if (playing?.tile === target) stop(target);
    else preview(target);
  });
  function approach(event) {
    const tile = event.target.closest?.(".tile[data-preview]");
    if (!tile || still() || playing?.tile === tile) return;
    clearTimeout(soon);
    soon = setTimeout(() => tile.isConnected && preview(tile), HOVER);
  }
  function leave(event) {
    const tile = event.target.closest?.(".tile[data-preview]");
    if (tile && !tile.contains(event.relatedTarget)) stop(tile);
  }

  /** Arrow keys walk the gallery: left and right in order of time, up and down to the nearest tile of the next row. */
  function walk(event) {
    const link = event.target.closest?.(".gallery .tile-link");
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!link || !step) return;
    const links = [...link.closest(".gallery").querySelectorAll(".tile-link")];
    let next = links[links.indexOf(link) + step];
    if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      const here = link.getBoundingClientRect();
      const middle = (box) => (box.left + box.right) / 2;
      const away = (other) => {
        const box = other.getBoundingClientRect();
        return Math.abs(box.top - here.top) * 10 + Math.abs(middle(box) - middle(here));
      };
      next = links.filter((other) => (other.getBoundingClientRect().top - here.top) * step > 4).sort((a, b) => away(a) - away(b))[0];
    }
    event.preventDefault();
    next?.focus();
  }

  // -- back to the same place -----------------------------------------------------------------------------------------
  // The browser's Back and the clip page's way to the gallery lead to where it was left: filters, tiles, height.
  const LEFT = "gallery-left", RETURNING = "gallery-returning";
  const gallery = one(".gallery:not(.guest-gallery)", document);
  const here = () => location.pathname + location.search;
  const left = () => JSON.parse(sessionStorage.getItem(LEFT) ?? "null");
  const count = () => gallery.querySelectorAll(".tile").length;

  function remember() {
    if (gallery) sessionStorage.setItem(LEFT, JSON.stringify({ url: here(), top: scrollY, tiles: count() }));
  }
  async function comeBack() {
    const returning = sessionStorage.getItem(RETURNING) || performance.getEntriesByType("navigation")[0]?.type === "back_forward";
    sessionStorage.removeItem(RETURNING);
    const place = left();
    if (!gallery || !returning || place?.url !== here()) return;
    for (let more; count() < place.tiles && (more = one(".tile-more", gallery)); ) {
      more.remove(); // before htmx knows it: it is not asked for twice
      const answer = await fetch(more.href, { headers: { "HX-Request": "true" } }).catch(() => null);
      if (!answer?.ok || answer.redirected) { gallery.append(more); break; }
      gallery.append(document.createRange().createContextualFragment(await answer.text()));
    }
    window.htmx?.process(gallery);
    scrollTo(0, place.top);
  }
  addEventListener("pagehide", remember);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("[data-to-gallery]");
    if (!link || !left() || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    link.href = left().url;
    sessionStorage.setItem(RETURNING, "1");
  });
  comeBack();

  function settle() {
    document.querySelectorAll(".stage").forEach(conduct);
    document.querySelectorAll(".tile[data-fresh][data-preview]").forEach((tile) => {
      tile.removeAttribute("data-fresh");
      if (!still() && !playing) preview(tile); // what somebody looks at plays on
    });
  }
  document.addEventListener("pointerover", (event) => event.pointerType === "mouse" && approach(event));
  document.addEventListener("pointerout", (event) => event.pointerType === "mouse" && leave(event));
  document.addEventListener("focusin", approach);
  document.addEventListener("focusout", leave);
  document.addEventListener("keydown", walk);
  document.addEventListener("keydown", keysOnClip);
  document.addEventListener("htmx:after:settle", settle);
  settle();
})();
