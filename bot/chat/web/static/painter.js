// The mask painter's script. What was done is kept as a list of deeds and played again to take one back; without this script the page takes a file.

const $ = (selector, root = document) => root.querySelector(selector);
const form = $("#painter"), canvas = $("#mask"), ring = $("#ring"), size = $("#size"), trouble = $("#trouble"), live = $("#live");
const pen = canvas.getContext("2d", { willReadFrequently: true });
const edge = Math.min(canvas.width, canvas.height);
const COLOUR = "#ff4d2e";

// ---------------------------------------------------------------- deeds

let deeds = [], stroke;
let cursor = { x: canvas.width / 2, y: canvas.height / 2 };

const erases = () => $("[name=tool]:checked", form).value === "eraser";
const width = () => Math.max(1, size.valueAsNumber / 100 * edge);

function segment(deed, from, to) {
  pen.globalCompositeOperation = deed.erase ? "destination-out" : "source-over";
  pen.fillStyle = pen.strokeStyle = COLOUR;
  pen.lineWidth = deed.width;
  pen.lineCap = "round";
  pen.beginPath();
  pen.moveTo(from.x, from.y);
  pen.lineTo(to.x, to.y);
  pen.stroke();
  pen.beginPath();  // a line of no length draws nothing
  pen.arc(to.x, to.y, deed.width / 2, 0, 2 * Math.PI);
  pen.fill();
}

function cover(how) {
  pen.globalCompositeOperation = how;
  pen.fillStyle = COLOUR;
  pen.fillRect(0, 0, canvas.width, canvas.height);
}

const doing = {
  stroke: (deed) => deed.points.forEach((point, number) => segment(deed, deed.points[Math.max(0, number - 1)], point)),
  clear: () => cover("destination-out"),
  fill: () => cover("source-over"),
  invert: () => cover("xor"),
};

function perform(deed) {
  deeds.push(deed);
  doing[deed.kind](deed);
  trouble.textContent = "";
}

function undo() {
  if (stroke || !deeds.length) return;
  deeds.pop();
  cover("destination-out");
  deeds.forEach((deed) => doing[deed.kind](deed));
  live.textContent = form.dataset.undone;
}

const begin = (point, erase) => ({ kind: "stroke", erase, width: width(), points: [point] });

// ---------------------------------------------------------------- mouse, pen and finger

function at(event) {
  const box = canvas.getBoundingClientRect();
  return { x: (event.clientX - box.left) * canvas.width / box.width, y: (event.clientY - box.top) * canvas.height / box.height };
}

function show(point) {
  cursor = point;
  const scale = canvas.getBoundingClientRect().width / canvas.width, across = Math.max(6, width() * scale);
  Object.assign(ring.style, { width: `${across}px`, height: `${across}px`, left: `${point.x * scale}px`, top: `${point.y * scale}px` });
  ring.hidden = false;
}

canvas.addEventListener("pointerdown", (event) => {
  if (stroke || !event.isPrimary || event.button === 2) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  perform(stroke = begin(at(event), erases() || Boolean(event.buttons & 32)));  // 32: the other end of a pen
  show(at(event));
});
canvas.addEventListener("pointermove", (event) => {
  if (!event.isPrimary) return;
  show(at(event));
  if (!stroke) return;
  const moved = event.getCoalescedEvents?.() ?? [];
  for (const each of moved.length ? moved : [event]) {
    const point = at(each);
    segment(stroke, stroke.points.at(-1), point);
    stroke.points.push(point);
  }
});
for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(end, (event) => { if (event.isPrimary) stroke = undefined; });
canvas.addEventListener("pointerleave", () => { if (document.activeElement !== canvas) ring.hidden = true; });

// ---------------------------------------------------------------- keys

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const within = (value, most) => Math.min(most, Math.max(0, value));

canvas.addEventListener("focus", () => show(cursor));
canvas.addEventListener("blur", () => { ring.hidden = true; });
canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in STEPS) {
    const [x, y] = STEPS[event.key], step = event.shiftKey ? 1 : width() / 2;
    show({ x: within(cursor.x + x * step, canvas.width), y: within(cursor.y + y * step, canvas.height) });
  } else if (event.key === " ") {
    perform(begin(cursor, erases()));
    live.textContent = form.dataset.done;
  } else return;
  event.preventDefault();
});

document.addEventListener("keydown", (event) => {
  if (event.target.closest("textarea, dialog")) return;
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z") undo();
  else if (event.key === "[" || event.key === "]") { size.valueAsNumber += event.key === "[" ? -3 : 3; if (!ring.hidden) show(cursor); }
  else return;
  event.preventDefault();
});

size.addEventListener("input", () => { if (!ring.hidden) show(cursor); });
$("#brushes").addEventListener("click", (event) => {
  const what = event.target.closest("[data-do]")?.dataset.do;
  if (what === "undo") undo();
  else if (what) perform({ kind: what });
});

// ---------------------------------------------------------------- sending

function painted() {
  const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 3; at < data.length; at += 4) if (data[at] > 127) return true;
  return false;
}

// White where it shall be drawn anew, black elsewhere, nothing in between.
function mask() {
  const image = pen.getImageData(0, 0, canvas.width, canvas.height), { data } = image;
  for (let at = 0; at < data.length; at += 4) {
    data[at] = data[at + 1] = data[at + 2] = data[at + 3] > 127 ? 255 : 0;
    data[at + 3] = 255;
  }
  const sheet = document.createElement("canvas");
  [sheet.width, sheet.height] = [canvas.width, canvas.height];
  sheet.getContext("2d").putImageData(image, 0, 0);
  return new Promise((done) => { sheet.toBlob(done, "image/png"); });
}

async function send() {
  const file = await mask();
  if (file.size > Number(form.dataset.limit)) return { title: form.dataset.toobig };
  const data = new FormData(form);
  data.delete("tool");
  data.set("file.mask", file, "mask.png");
  try {
    const answer = await fetch(form.getAttribute("action"), { method: "POST", body: data, headers: { Accept: "application/json" } });
    return await answer.json();
  } catch {
    return { title: document.body.dataset.offline };
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if ("busy" in form.dataset) return;
  if (!painted()) { trouble.textContent = form.dataset.empty; canvas.focus(); return; }
  form.dataset.busy = "1";
  const answer = await send();
  if (answer.kind === "open") { location.assign(answer.url); return; }
  delete form.dataset.busy;
  if (answer.kind === "sent") {
    const holder = document.createElement("template");
    holder.innerHTML = answer.html;
    $("#easel").replaceChildren(holder.content);
    $("#sent").focus();
  } else trouble.textContent = answer.title;
});

for (const part of ["#brushes", "#how", "#mask"]) $(part).hidden = false;
$("#file").remove();
