"use strict";
// Draws the frames with the tubes of tokens on them. DATA is what page.py wrote.
const DATA = JSON.parse(document.getElementById("data").textContent);
const NONE = 0xffff; // a patch that no token reads
const [GRID_H, GRID_W] = DATA.grid;
const PATCHES = GRID_H * GRID_W;
const at = (id) => document.getElementById(id);
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const owner = new Uint16Array(bytes(DATA.owner).buffer); // [step][row][column]
const strength = bytes(DATA.strength);
const images = DATA.frames.map((jpeg) => {
  const image = new Image();
  image.src = "data:image/jpeg;base64," + jpeg;
  return image;
});
const state = { frame: 0, token: -1, opacity: 1, timer: null };

// What is known of each token: its patches in each frame.
const counts = new Map();
DATA.steps.forEach((step, frame) => {
  for (let i = step * PATCHES; i < (step + 1) * PATCHES; i++) {
    if (owner[i] === NONE) continue;
    if (!counts.has(owner[i])) counts.set(owner[i], new Uint32Array(DATA.steps.length));
    counts.get(owner[i])[frame]++;
  }
});

const seconds = (time) => time.toFixed(2) + " s";
const colour = (token) => DATA.palette[DATA.colours[token]];
const tokensOf = (frame) => [...counts.keys()].filter((t) => counts.get(t)[frame]).sort((a, b) => a - b);

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function patchBox(row, column, width, height) {
  const { top, left, bottom, right, cell } = DATA.crop;
  const x = (left + column * cell[1]) * width, y = (top + row * cell[0]) * height;
  const x1 = Math.min(left + (column + 1) * cell[1], right) * width;
  return [x, y, x1 - x, Math.min(top + (row + 1) * cell[0], bottom) * height - y];
}

// Draw one frame; `fine` draws lines around tokens.
function draw(canvas, frame, fine) {
  const image = images[frame];
  canvas.dataset.frame = frame;
  if (!image.complete) {
    const later = () => Number(canvas.dataset.frame) === frame && draw(canvas, frame, fine);
    image.addEventListener("load", later, { once: true });
    return;
  }
  const context = canvas.getContext("2d"), { width, height } = canvas;
  context.filter = `grayscale(${state.opacity})`;
  context.drawImage(image, 0, 0, width, height);
  context.filter = "none";
  dimOutside(context, width, height);
  const start = DATA.steps[frame] * PATCHES;
  const lines = new Path2D(), outline = new Path2D();
  for (let row = 0; row < GRID_H; row++) {
    for (let column = 0; column < GRID_W; column++) {
      const i = start + row * GRID_W + column, token = owner[i];
      const [x, y, w, h] = patchBox(row, column, width, height);
      const share = DATA.alpha[0] + (DATA.alpha[1] - DATA.alpha[0]) * strength[i] / 255;
      context.globalAlpha = token === NONE ? 0 : state.opacity * share;
      context.fillStyle = token === NONE ? "#000" : colour(token);
      if (state.token >= 0 && token !== state.token) {
        context.globalAlpha = 0.62;
        context.fillStyle = "#000";
      }
      context.fillRect(x, y, w, h);
      const above = row ? owner[i - GRID_W] : NONE, before = column ? owner[i - 1] : NONE;
      for (const [other, x1, y1] of [[above, x + w, y], [before, x, y + h]]) {
        if (other === token) continue;
        const path = token === state.token || other === state.token ? outline : lines;
        path.moveTo(x, y);
        path.lineTo(x1, y1);
      }
    }
  }
  context.globalAlpha = fine ? Math.max(state.opacity, 0.15) : 0;
  context.strokeStyle = "#191919";
  context.lineWidth = Math.max(1, width / 480);
  context.stroke(lines);
  context.globalAlpha = 1;
  if (state.token < 0) return;
  for (const [style, line] of [["#000", 5], ["#fff", 2]]) {
    context.strokeStyle = style;
    context.lineWidth = line * Math.max(0.5, width / 640);
    context.stroke(outline);
  }
}

function dimOutside(context, width, height) {
  const { top, left, bottom, right } = DATA.crop;
  context.fillStyle = "rgba(0, 0, 0, .6)";
  context.fillRect(0, 0, width, top * height);
  context.fillRect(0, bottom * height, width, height);
  context.fillRect(0, top * height, left * width, (bottom - top) * height);
  context.fillRect(right * width, top * height, width, (bottom - top) * height);
}

function tokenAt(event) {
  const box = at("picture").getBoundingClientRect(), { top, left, bottom, right, cell } = DATA.crop;
  const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
  if (x < left || x >= right || y < top || y >= bottom) return -1;
  const row = Math.floor((y - top) / cell[0]), column = Math.floor((x - left) / cell[1]);
  const token = owner[DATA.steps[state.frame] * PATCHES + row * GRID_W + column];
  return token === NONE ? -1 : token;
}

function showTokens() {
  const present = tokensOf(state.frame), select = at("token");
  const listed = state.token < 0 || present.includes(state.token) ? present : [...present, state.token];
  select.replaceChildren(new Option("all tokens", "-1"), ...listed.map((token) => {
    const number = counts.get(token)[state.frame];
    return new Option(`token ${token}: ${number} patch${number === 1 ? "" : "es"}`, String(token));
  }));
  select.value = String(state.token);
}

function showInfo() {
  const info = at("info"), rows = [];
  if (state.token < 0) {
    rows.push(["tokens in this frame", String(tokensOf(state.frame).length)]);
    rows.push(["tokens in all", String(counts.size)]);
  } else {
    const own = counts.get(state.token), frames = [...own.keys()].filter((frame) => own[frame]);
    const share = own[state.frame] / PATCHES, all = own.reduce((sum, one) => sum + one, 0);
    rows.push(["token", String(state.token)]);
    rows.push(["patches in this frame", `${own[state.frame]} of ${PATCHES} (${(100 * share).toFixed(1)} %)`]);
    rows.push(["share of all patches", `${(100 * all / PATCHES / DATA.steps.length).toFixed(1)} %`]);
    rows.push(["first seen", seconds(DATA.times[frames[0]])]);
    rows.push(["last seen", seconds(DATA.times[frames[frames.length - 1]])]);
  }
  info.replaceChildren(...rows.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
  if (state.token < 0) return;
  const swatch = make("span", "", "swatch");
  swatch.style.background = colour(state.token);
  info.children[1].prepend(swatch);
}

function showAnswer() {
  const window = DATA.windows[DATA.window[state.frame]];
  at("topk").caption.textContent = `Best classes from ${seconds(window.start)} to ${seconds(window.end)}`;
  at("topk").tBodies[0].replaceChildren(...window.topk.map((entry) => {
    const row = make("tr");
    row.append(make("td", String(entry.rank)), make("td", entry.label));
    row.append(make("td", entry.score.toFixed(3), "number"));
    return row;
  }));
  for (const part of at("windows").children) {
    const { first, last } = part.dataset, number = DATA.window[state.frame];
    part.classList.toggle("now", Number(first) <= number && number <= Number(last));
  }
}

// Draw the windows as a bar of `length` seconds; neighbours of one best class are one part.
function showWindows(length) {
  for (let first = 0, last; first < DATA.windows.length; first = last + 1) {
    const label = DATA.windows[first].topk[0].label;
    for (last = first; DATA.windows[last + 1]?.topk[0].label === label; ) last++;
    const start = DATA.windows[first].from, end = DATA.windows[last].to;
    const part = make("div", label);
    Object.assign(part.dataset, { first, last });
    part.style.left = `${100 * start / length}%`;
    part.style.width = `${100 * (end - start) / length}%`;
    part.title = `${seconds(start)} to ${seconds(end)}: ${label}`;
    at("windows").append(part);
  }
}

function showPresence() {
  const canvas = at("presence"), context = canvas.getContext("2d");
  canvas.width = canvas.clientWidth;
  canvas.height = canvas.clientHeight;
  const own = counts.get(state.token), step = canvas.width / DATA.steps.length;
  const most = own ? Math.max(...own) : 1;
  context.fillStyle = own ? "#56b4e9" : "transparent";
  for (let frame = 0; own && frame < own.length; frame++) {
    const height = canvas.height * own[frame] / most;
    context.fillRect(frame * step, canvas.height - height, step + 0.5, height);
  }
  context.fillStyle = "#d55e00";
  context.fillRect((state.frame + 0.5) * step - 1, 0, 2, canvas.height);
}

function showStrip() {
  at("strip-title").textContent = state.token < 0 ? "All tokens through time" : `Token ${state.token} through time`;
  const own = counts.get(state.token), all = [...images.keys()].filter((frame) => !own || own[frame]);
  const number = Math.min(12, all.length), step = (all.length - 1) / Math.max(number - 1, 1);
  const frames = [...Array(number).keys()].map((i) => all[Math.round(i * step)]);
  at("strip").replaceChildren(...frames.map((frame) => {
    const button = make("button"), canvas = make("canvas");
    canvas.width = 200;
    canvas.height = Math.round(200 * DATA.size[0] / DATA.size[1]);
    button.append(canvas, seconds(DATA.times[frame]));
    button.onclick = () => show({ frame });
    button.dataset.frame = frame;
    draw(canvas, frame, false);
    return button;
  }));
}

// Change what is shown, and say so in the address.
function show(change) {
  const token = state.token, opacity = state.opacity;
  Object.assign(state, change);
  state.frame = Math.min(Math.max(state.frame, 0), images.length - 1);
  if (!counts.has(state.token)) state.token = -1;
  draw(at("picture"), state.frame, true);
  at("frame").value = state.frame;
  at("where").textContent = `${state.frame + 1} of ${images.length}, ${seconds(DATA.times[state.frame])}`;
  showTokens();
  showInfo();
  showAnswer();
  showPresence();
  if (state.token !== token || state.opacity !== opacity || !at("strip").children.length) showStrip();
  for (const button of at("strip").children) {
    button.classList.toggle("now", Number(button.dataset.frame) === state.frame);
  }
  const words = `#frame=${state.frame + 1}` + (state.token < 0 ? "" : `&token=${state.token}`);
  if (location.hash !== words && location.protocol !== "about:") history.replaceState(null, "", words);
}

function play(on) {
  clearInterval(state.timer);
  const length = Math.max(DATA.times[DATA.times.length - 1], 0.1) / Math.max(images.length - 1, 1);
  state.timer = on ? setInterval(() => show({ frame: (state.frame + 1) % images.length }), 1000 * length) : null;
  at("play").textContent = on ? "Pause" : "Play";
  at("play").setAttribute("aria-pressed", String(on));
}

function nextToken(step) {
  const present = [-1, ...tokensOf(state.frame)];
  const place = present.indexOf(state.token) + step;
  show({ token: present[(place + present.length) % present.length] });
}

function readAddress() {
  const words = new URLSearchParams(location.hash.slice(1));
  const number = (name, usual) => (/^\d{1,6}$/.test(words.get(name)) ? Number(words.get(name)) : usual);
  return { frame: number("frame", 1) - 1, token: number("token", -1) };
}

const KEYS = {
  ArrowLeft: () => show({ frame: state.frame - 1 }),
  ArrowRight: () => show({ frame: state.frame + 1 }),
  Home: () => show({ frame: 0 }),
  End: () => show({ frame: images.length - 1 }),
  " ": () => play(!state.timer),
  "[": () => nextToken(-1),
  "]": () => nextToken(1),
  Escape: () => show({ token: -1 }),
};

function begin() {
  const length = DATA.windows[DATA.windows.length - 1].end;
  at("title").textContent = document.title = DATA.title;
  at("about").textContent = DATA.about;
  at("picture").width = DATA.size[1];
  at("picture").height = DATA.size[0];
  at("frame").max = images.length - 1;
  showWindows(length);
  at("windows").onclick = (event) => {
    const box = at("windows").getBoundingClientRect();
    const time = length * (event.clientX - box.left) / box.width;
    show({ frame: DATA.times.filter((one) => one <= time).length - 1 });
  };
  at("picture").onclick = (event) => {
    const token = tokenAt(event);
    show({ token: token === state.token ? -1 : token });
  };
  at("picture").onmousemove = (event) => {
    const token = tokenAt(event);
    at("picture").title = token < 0 ? "" : `token ${token}`;
  };
  at("frame").oninput = () => show({ frame: Number(at("frame").value) });
  at("opacity").oninput = () => show({ opacity: Number(at("opacity").value) / 100 });
  at("token").onchange = () => show({ token: Number(at("token").value) });
  at("play").onclick = () => play(!state.timer);
  document.onkeydown = (event) => {
    const isField = ["INPUT", "SELECT", "BUTTON"].includes(event.target.tagName);
    if (!(event.key in KEYS) || (isField && !"[]".includes(event.key))) return;
    event.preventDefault();
    KEYS[event.key]();
  };
  window.onhashchange = () => show(readAddress());
  window.onresize = showPresence;
  show(readAddress());
}

begin();
