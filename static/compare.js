// Clips side by side: one play button, one position, sound of one at a time. Without it: each player has its own controls.
"use strict";
(() => {
  const root = document.querySelector("[data-compare]");
  const videos = root ? [...root.querySelectorAll("video")] : [];
  if (!videos.length) return;

  const bar = root.querySelector(".compare-bar");
  const [play, now, length, seek] = ["play", "now", "length", "seek"].map((name) => bar.querySelector(`[data-${name}]`));
  const sounds = videos.map((video) => video.closest(".compare-clip").querySelector("[data-sound]"));
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${(Math.floor(seconds * 10) / 10 % 60).toFixed(1).padStart(4, "0")}`;
  const DRIFT = 0.12; // seconds that one may be ahead or behind before it is put right
  let playing = false;

  bar.hidden = false;
  videos.forEach((video) => { video.controls = false; video.muted = true; video.tabIndex = -1; });

  // The longest leads; a shorter one stands at its end until all are there.
  const leader = () => videos.reduce((a, b) => ((b.duration || 0) > (a.duration || 0) ? b : a));
  const total = () => leader().duration || 0;
  const within = (video, at) => Math.min(at, Math.max((video.duration || at) - 0.01, 0));

  function icon(button, name, label) {
    const use = button.querySelector("use");
    use.setAttribute("href", `${use.getAttribute("href").split("#")[0]}#${name}`);
    if (label) button.setAttribute("aria-label", label);
  }
  function show() {
    const at = leader().currentTime;
    now.textContent = clock(at);
    length.textContent = clock(total());
    if (!seek.matches(":active")) seek.value = total() ? (1000 * at) / total() : 0;
    seek.setAttribute("aria-valuetext", `${now.textContent} of ${length.textContent}`);
    icon(play, playing ? "pause" : "play", playing ? "Pause all" : "Play all");
  }
  function go(at) {
    const to = Math.min(Math.max(0, at), total());
    videos.forEach((video) => { video.currentTime = within(video, to); });
    show();
  }
  function follow() {
    if (!playing) return;
    const first = leader(), at = first.currentTime;
    videos.forEach((video) => {
      if (video === first || video.seeking) return;
      const to = within(video, at);
      if (Math.abs(video.currentTime - to) > DRIFT) video.currentTime = to;
      const atEnd = at >= (video.duration || 0);
      if (video.paused && !atEnd) video.play().catch(() => {});
    });
    show();
    requestAnimationFrame(follow);
  }
  function start() {
    if (leader().currentTime >= total() - 0.05) go(0);
    else go(leader().currentTime);
    playing = true;
    Promise.all(videos.map((video) => video.play().catch(() => {}))).then(follow);
    show();
  }
  function stop() {
    playing = false;
    videos.forEach((video) => video.pause());
    go(leader().currentTime);
  }
  const toggle = () => (playing ? stop() : start());

  /** Sound from one at a time; its own button again: silence. */
  function listen(which) {
    const on = which !== null && videos[which].muted;
    videos.forEach((video, place) => {
      video.muted = !(on && place === which);
      const button = sounds[place];
      icon(button, video.muted ? "volume-x" : "volume-2");
      button.setAttribute("aria-pressed", String(!video.muted));
    });
  }
  sounds.forEach((button, place) => {
    button.hidden = false;
    button.addEventListener("click", () => listen(place));
  });

  play.addEventListener("click", toggle);
  seek.addEventListener("input", () => go((seek.value / 1000) * total()));
  videos.forEach((video) => {
    video.addEventListener("click", toggle);
    video.addEventListener("loadedmetadata", show);
    video.addEventListener("ended", () => { if (video === leader()) stop(); });
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, textarea, select, summary, [contenteditable], dialog[open]") && event.target !== seek) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === " " && !event.target.closest("button, a")) toggle();
    else if (step && event.target !== seek) go(leader().currentTime + step * (event.shiftKey ? 0.1 : 1));
    else if (event.key === "m") listen(null);
    else return;
    event.preventDefault();
  });
  show();
})();
