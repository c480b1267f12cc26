"use strict";
// Sends a video to the server that this page came from, and shows what comes back.
const at = (id) => document.getElementById(id);
const seconds = (time) => time.toFixed(1) + " s";
let limits = null, found = null, address = null;

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function say(status, error) {
  at("status").textContent = status;
  at("error").textContent = error || "";
}

const nameOf = (model) => (model.tokens ? `${model.name}, ${model.tokens} semantic tokens` : model.gathers
  ? `${model.name}, reduced` : `${model.name}, dense`);

// Send the bytes of a file; its name stays here.
function send(file) {
  if (limits && file.size > limits.max_bytes) {
    say("", `the video is larger than ${limits.max_bytes / 2 ** 20} MiB`);
    return;
  }
  const request = new XMLHttpRequest();
  request.open("POST", "/analyse");
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.responseType = "json";
  request.upload.onprogress = (event) => {
    at("progress").value = event.loaded / event.total;
    if (event.loaded === event.total) say("Looking at the video ...");
  };
  request.onload = () => {
    end();
    if (request.status === 200) show(file, request.response);
    else say("", (request.response && request.response.error) || `the server answers ${request.status}`);
  };
  request.onerror = () => {
    end();
    say("", "the server does not answer, or refused the video before it was sent in full");
  };
  at("result").hidden = true;
  at("progress").hidden = false;
  at("file").disabled = true;
  say("Sending the video ...");
  request.send(file);
}

function end() {
  at("progress").hidden = true;
  at("file").disabled = false;
  at("file").value = "";
}

function show(file, answer) {
  found = answer;
  say("");
  at("result").hidden = false;
  at("name").textContent = file.name;
  const part = found.analysed < found.duration ? `the first ${seconds(found.analysed)} of ` : "";
  at("facts").textContent = `${part}${seconds(found.duration)}, ${found.frames} frames of `
    + `${found.width} x ${found.height} at ${found.fps.toFixed(2)} a second, ${found.codec}`;
  if (address) URL.revokeObjectURL(address);
  address = URL.createObjectURL(file);
  at("video").src = address;
  showTimeline();
  showTimes();
  showAnswer(0);
  at("agree").textContent = found.agree === null ? ""
    : `Both models name the same class first in ${(100 * found.agree).toFixed(0)} % of the windows.`;
  at("no-clusters").hidden = Boolean(found.page);
  at("clusters").hidden = !found.page;
  if (found.page) at("clusters").src = found.page;
}

// The best classes of every model at a time of the video.
function showAnswer(time) {
  at("answer").replaceChildren(...found.models.map((model) => {
    const window = windowAt(model, time), table = make("table"), body = make("tbody");
    table.append(make("caption", `${nameOf(model)}: ${seconds(window.start)} to ${seconds(window.end)}`));
    for (const entry of window.topk) {
      const row = make("tr");
      row.append(make("td", String(entry.rank)), make("td", entry.label));
      row.append(make("td", entry.score.toFixed(3), "number"));
      body.append(row);
    }
    table.append(body);
    return table;
  }));
  for (const button of at("timeline").querySelectorAll("button")) {
    const isNow = Number(button.dataset.from) <= time && time < Number(button.dataset.to);
    button.classList.toggle("now", isNow);
  }
}

const windowAt = (model, time) => model.windows.findLast((window) => window.from <= time) || model.windows[0];

// A bar for each model; neighbouring windows of one best class are one part.
function showTimeline() {
  at("timeline").replaceChildren(...found.models.flatMap((model) => {
    const bar = make("div", undefined, "bar"), windows = model.windows;
    for (let first = 0, last; first < windows.length; first = last + 1) {
      const label = windows[first].topk[0].label;
      for (last = first; windows[last + 1]?.topk[0].label === label; ) last++;
      const { from } = windows[first], { to } = windows[last], button = make("button", label);
      Object.assign(button.dataset, { from, to });
      button.style.left = `${100 * from / found.analysed}%`;
      button.style.width = `${100 * (to - from) / found.analysed}%`;
      button.title = `${seconds(from)} to ${seconds(to)}: ${label}`;
      button.onclick = () => {
        at("video").currentTime = from;
        showAnswer(from);
      };
      bar.append(button);
    }
    return [make("p", nameOf(model), "model"), bar];
  }));
}

function showTimes() {
  const slowest = Math.max(...found.models.map((model) => model.window_ms));
  at("times").tBodies[0].replaceChildren(...found.models.map((model) => {
    const row = make("tr"), tokens = model.tokens ? `${model.patches} to ${model.tokens}` : String(model.patches);
    row.append(make("td", nameOf(model)));
    const cells = [tokens, model.window_ms.toFixed(1), model.model_ms.toFixed(0), model.read_ms.toFixed(0),
      (slowest / Math.max(model.window_ms, 1e-3)).toFixed(2)];
    for (const cell of cells) row.append(make("td", cell, "number"));
    return row;
  }));
}

at("file").onchange = () => at("file").files.length && send(at("file").files[0]);
at("video").ontimeupdate = () => found && showAnswer(at("video").currentTime);
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    const file = kind === "drop" && event.dataTransfer.files[0];
    if (file && !at("file").disabled) send(file);
  });
}
fetch("/about").then((answer) => answer.json()).then((about) => {
  limits = about;
  const names = about.models.map(nameOf).join(" beside ");
  at("about").textContent = `${names}. Videos of up to ${about.max_bytes / 2 ** 20} MiB, the first `
    + `${seconds(about.max_duration)} of each. They are deleted as soon as they were looked at.`;
});
