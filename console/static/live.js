// Decisions as they come: the newest first, never more than a bounded number, drawn once a frame.
"use strict";
(() => {
  const ROWS_MAX = 200;
  const table = document.getElementById("live");
  const status = document.getElementById("status");
  const rate = document.getElementById("rate");
  const pause = document.getElementById("pause");
  let waiting = [];
  let drawing = false;
  let paused = false;
  let counted = 0;

  function say(text, on) {
    status.textContent = text;
    status.classList.toggle("on", on);
  }

  function cell(row, text, kind) {
    const made = row.insertCell();
    if (kind === "badge") {
      const badge = document.createElement("span");
      badge.className = `badge ${text.toLowerCase()}`;
      badge.textContent = text;
      made.append(badge);
    } else {
      made.textContent = text;
      if (kind) made.className = kind;
    }
    return made;
  }

  function build(found) {
    const row = document.createElement("tr");
    cell(row, found.at);
    cell(row, found.decision, "badge");
    cell(row, found.score, "num");
    const link = document.createElement("a");
    link.href = found.href;
    const id = document.createElement("bdi");
    id.className = "id";
    id.textContent = found.id;
    link.append(id);
    cell(row, "").append(link);
    cell(row, "").append(Object.assign(document.createElement("bdi"), { className: "id", textContent: found.key }));
    cell(row, found.by);
    cell(row, found.why).title = found.why;
    return row;
  }

  function draw() {
    drawing = false;
    if (paused) return;
    table.prepend(...waiting.reverse().map(build));
    waiting = [];
    while (table.rows.length > ROWS_MAX) table.deleteRow(-1);
  }

  function show(found) {
    counted += 1;
    waiting.push(found);
    if (waiting.length > ROWS_MAX) waiting.shift();
    if (paused) label();
    else if (!drawing) {
      drawing = true;
      requestAnimationFrame(draw);
    }
  }

  function label() {
    pause.textContent = paused ? `Resume (${waiting.length})` : "Pause";
  }

  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    label();
    if (!paused) draw();
  });
  setInterval(() => {
    rate.textContent = `${counted}/s`;
    counted = 0;
  }, 1000);

  const AGAIN_MS = 3000;

  function connect() {
    const source = new EventSource(table.dataset.events);
    source.addEventListener("decision", (event) => show(JSON.parse(event.data)));
    source.addEventListener("state", (event) => {
      const reading = JSON.parse(event.data).reading;
      say(reading ? "live" : "the API cannot read decisions just now", reading);
    });
    source.addEventListener("ended", () => {
      source.close();
      location.assign("/login?ended=1");
    });
    source.addEventListener("refused", (event) => {
      source.close();
      say(JSON.parse(event.data).why, false);
    });
    source.addEventListener("away", () => say("the API is unreachable; trying again", false));
    source.addEventListener("error", () => {
      say("connecting", false);
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_MS); // an answer that is no stream
    });
  }

  connect();
})();
