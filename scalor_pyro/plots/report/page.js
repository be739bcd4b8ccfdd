"use strict";
// The film: boxes, numbers and trails are drawn over the video from the rows of the tracks.
(() => {
  const about = JSON.parse(document.getElementById("data").textContent);
  const video = document.querySelector("video"), canvas = document.querySelector("canvas");
  const stage = document.querySelector(".stage"), seek = document.getElementById("seek");
  const at = document.getElementById("at"), play = document.getElementById("play");
  const show = { boxes: true, numbers: true, trails: true };
  const UNIT = 16384, TRAIL = 30;
  const bytes = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  const frames = about.frames.length;
  let selected = null, current = 0, dense = 1;  // px of the canvas per px of the page

  // Rows: columns of 16-bit numbers, in order of frames.
  const numbers = new Uint16Array(bytes(about.rows).buffer), count = numbers.length / 8;
  const column = (i) => numbers.subarray(i * count, (i + 1) * count);
  const [frame, low, high, x, y, width, height, filled] = [0, 1, 2, 3, 4, 5, 6, 7].map(column);
  const begin = new Uint32Array(frames + 1), path = about.names.map(() => []);
  for (let i = 0; i < count; i++) begin[frame[i] + 1] = i + 1;
  for (let f = 1; f <= frames; f++) begin[f] = Math.max(begin[f], begin[f - 1]);
  const track = (i) => low[i] + 65536 * high[i];
  for (let i = 0; i < count; i++) path[track(i)].push(i);

  const place = (i) => [(x[i] / UNIT - 1) * canvas.width, (y[i] / UNIT - 1) * canvas.height];
  const box = (i) => {
    const [cx, cy] = place(i), w = width[i] / UNIT * canvas.width, h = height[i] / UNIT * canvas.height;
    return [cx - w / 2, cy - h / 2, w, h];
  };

  function trail(context, which, whole) {
    const rows = path[which];
    let begun = false;
    context.beginPath();
    for (const i of rows) {
      if (!whole && (frame[i] <= current - TRAIL || frame[i] > current)) continue;
      const [px, py] = place(i);
      if (begun) context.lineTo(px, py); else context.moveTo(px, py);
      begun = true;
    }
    context.stroke();
  }

  function draw() {
    const context = canvas.getContext("2d"), thick = Math.max(1.5 * dense, canvas.width / 480);
    const letters = Math.max(11 * dense, canvas.width / 64);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.font = `600 ${letters}px system-ui, sans-serif`;
    context.lineJoin = "round";
    const here = [];
    for (let i = begin[current]; i < begin[current + 1]; i++) here.push(i);
    for (const i of here) {
      const which = track(i), chosen = about.names[which] === selected;
      context.globalAlpha = selected === null || chosen ? 1 : 0.35;
      context.strokeStyle = about.colours[which];
      context.lineWidth = chosen ? 2 * thick : thick;
      context.setLineDash([]);
      if (show.trails && !chosen) trail(context, which, false);
      context.setLineDash(filled[i] ? [4 * thick, 3 * thick] : []);
      if (show.boxes || chosen) context.strokeRect(...box(i));
    }
    context.setLineDash([]);
    const chosen = about.names.indexOf(selected);
    if (chosen >= 0) {
      context.globalAlpha = 0.9;
      context.strokeStyle = about.colours[chosen];
      context.lineWidth = thick;
      trail(context, chosen, true);
    }
    if (show.numbers) {
      for (const i of here) {
        const which = track(i), [left, top] = box(i);
        context.globalAlpha = selected === null || about.names[which] === selected ? 1 : 0.35;
        context.lineWidth = 3 * dense;
        context.strokeStyle = "#000";
        context.fillStyle = about.colours[which];
        const down = Math.max(top - 3 * dense, letters);
        context.strokeText(about.names[which], Math.max(0, left), down);
        context.fillText(about.names[which], Math.max(0, left), down);
      }
    }
    context.globalAlpha = 1;
    seek.value = current;
    const number = about.frames[current];
    at.textContent = `frame ${number}` + (about.fps ? ` · ${(number / about.fps).toFixed(2)} s` : "");
    stage.dataset.drawn = here.length;
  }

  // The middle of a frame is asked for, so that rounding never shows the one before.
  const goTo = (f) => { video.currentTime = (Math.min(Math.max(f, 0), frames - 1) + 0.5) / about.rate; };
  const showTime = (seconds) => {
    current = Math.min(frames - 1, Math.max(0, Math.floor(seconds * about.rate + 0.01)));
    draw();
  };
  if ("requestVideoFrameCallback" in HTMLVideoElement.prototype) {
    const next = (_, found) => { showTime(found.mediaTime); video.requestVideoFrameCallback(next); };
    video.requestVideoFrameCallback(next);
  } else {
    const next = () => { if (!video.paused) showTime(video.currentTime); requestAnimationFrame(next); };
    requestAnimationFrame(next);
  }
  video.addEventListener("seeked", () => showTime(video.currentTime));
  video.addEventListener("loadedmetadata", () => { stage.dataset.duration = video.duration; });
  video.addEventListener("error", () => { stage.dataset.error = "the browser cannot play the film"; });
  const shown = () => {
    play.textContent = video.paused ? "▶" : "❚❚";
    play.setAttribute("aria-label", video.paused ? "play" : "pause");
  };
  video.addEventListener("play", shown);
  video.addEventListener("pause", shown);

  function select(identity, scroll) {
    selected = identity;
    document.body.classList.toggle("has-selection", identity !== null);
    for (const each of document.querySelectorAll("tr[data-id], g[data-id]")) {
      const chosen = Number(each.dataset.id) === identity;
      each.classList.toggle("selected", chosen);
      if (chosen && scroll && each.tagName === "TR") {
        const list = each.closest(".scroll");
        list.scrollTop = each.offsetTop - list.clientHeight / 2;
      }
    }
    draw();
  }
  const filmOf = (number) => {
    for (let f = 0; f < frames; f++) if (about.frames[f] >= number) return f;
    return -1;
  };

  canvas.addEventListener("click", (event) => {
    const area = canvas.getBoundingClientRect();
    const px = (event.clientX - area.left) / area.width * canvas.width;
    const py = (event.clientY - area.top) / area.height * canvas.height;
    let best = null, smallest = Infinity;
    for (let i = begin[current]; i < begin[current + 1]; i++) {
      const [left, top, w, h] = box(i);
      if (px >= left && px <= left + w && py >= top && py <= top + h && w * h < smallest) {
        smallest = w * h;
        best = about.names[track(i)];
      }
    }
    select(best, true);
  });
  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-id]");
    if (!target) return;
    const identity = Number(target.dataset.id);
    const jump = target.dataset.frame;
    const again = identity === selected && jump === undefined;
    select(again ? null : identity, target.tagName !== "TR" && !target.closest("tr"));
    const rows = path[about.names.indexOf(identity)];
    const f = jump !== undefined ? filmOf(Number(jump)) : rows && rows.length && !again ? frame[rows[0]] : -1;
    if (f >= 0 && (jump !== undefined || !rows.some((i) => frame[i] === current))) {
      if (jump !== undefined) video.pause();
      goTo(f);
    }
    if (jump !== undefined) stage.scrollIntoView({ block: "nearest", behavior: "smooth" });
  });
  play.addEventListener("click", () => { if (video.paused) video.play(); else video.pause(); });
  seek.addEventListener("input", () => { video.pause(); goTo(Number(seek.value)); });
  document.getElementById("speed").addEventListener("change", (event) => { video.playbackRate = Number(event.target.value); });
  for (const button of document.querySelectorAll(".toggle")) {
    button.addEventListener("click", () => {
      const name = button.dataset.show;
      show[name] = !show[name];
      button.setAttribute("aria-pressed", show[name]);
      draw();
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, button, summary")) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === " ") play.click();
    else if (event.key === "Escape") select(null, false);
    else if (step) { video.pause(); goTo(current + step); }
    else return;
    event.preventDefault();
  });

  // The table is sorted by a click on the name of a column.
  for (const button of document.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      const head = button.parentElement, body = head.closest("table").tBodies[0], i = Number(button.dataset.column);
      const up = head.getAttribute("aria-sort") === "descending";
      for (const each of head.parentElement.children) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => { const v = Number(row.cells[i].dataset.value); return Number.isNaN(v) ? -Infinity : v; };
      const rows = [...body.rows].sort((a, b) => (up ? 1 : -1) * (value(a) - value(b)));
      body.append(...rows);
    });
  }

  new ResizeObserver(() => {
    const area = stage.getBoundingClientRect();
    dense = window.devicePixelRatio || 1;
    canvas.width = Math.round(area.width * dense);
    canvas.height = Math.round(area.height * dense);
    draw();
  }).observe(stage);
  stage.style.setProperty("--aspect", about.aspect);
  seek.max = frames - 1;
  // Browsers that cannot seek in a data URI can in a blob.
  video.src = URL.createObjectURL(new Blob([bytes(document.getElementById("mp4").textContent)], { type: "video/mp4" }));
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) video.play().catch(() => {});
})();
