// The studio's script: everything here is a convenience. Without it forms post, links lead on and the job's page refreshes itself.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const live = $("#live"), feed = $("#feed"), sheet = $("#sheet"), viewer = $("#viewer"), prompt = $("#prompt");
const newId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const say = (sentence) => { live.textContent = sentence; };
const fragment = (html) => { const holder = document.createElement("template"); holder.innerHTML = html; return holder.content.firstElementChild; };

// ---------------------------------------------------------------- asking the server

async function post(address, data) {
  try {
    const answer = await fetch(address, { method: "POST", body: data, headers: { Accept: "application/json" } });
    return await answer.json();
  } catch {
    return { kind: "problem", title: document.body.dataset.offline, text: "" };
  }
}

function notice(answer) {
  const box = $("#notice");
  if (!box) { show(`<div class="note"><h2></h2></div>`); $("#sheet h2").textContent = answer.title; return; }
  const line = document.createElement("p"), bold = document.createElement("strong");
  bold.textContent = answer.title;
  line.append(bold, answer.text ? ` ${answer.text}` : "");
  box.replaceChildren(line);
  reading.textContent = "";
}

function show(html) {
  $(".inside", sheet).replaceChildren(fragment(html));
  if (!sheet.open) sheet.showModal();
  ($("[autofocus]", sheet) ?? $(".inside :is(input:not([type=hidden]), textarea, select)", sheet))?.focus();
  sheet.scrollTop = 0;  // a long answer is read from its beginning
}

function place(html, id) {
  const card = fragment(html), old = document.getElementById(`card-${id}`);
  if (old) {
    const focused = old.contains(document.activeElement) && document.activeElement;
    old.replaceWith(card);
    if (focused) (focused.value && $(`button[value="${CSS.escape(focused.value)}"]`, card) || card).focus({ preventScroll: true });
  } else if (feed) {
    feed.prepend(card);
    $(".hero").classList.remove("first");
    if (card.getBoundingClientRect().top > innerHeight * 0.75 || card.getBoundingClientRect().top < 0) card.scrollIntoView({ block: "center" });
  } else {
    location.assign(`/job/${id}`);
  }
  settle();
  return card;
}

async function refresh(id) {
  const large = document.getElementById(`card-${id}`)?.classList.contains("large") ? "?large=1" : "";
  let answer;
  try { answer = await fetch(`/card/${id}${large}`, { cache: "no-store" }); } catch { return; }
  if (answer.ok) place(await answer.text(), id);
  else if (answer.status === 404) remove(id);
}

// Cards that were taken away here, and those that changed while an answer of their own was on its way.
const gone = new Set(), later = new Set();

function remove(id) {
  gone.add(id);
  const card = document.getElementById(`card-${id}`);
  if (card?.contains(document.activeElement)) (card.nextElementSibling ?? words)?.focus({ preventScroll: true });
  card?.remove();
  if (card && $("[data-sole]")) location.assign("/");
}

document.addEventListener("submit", async (event) => {
  const form = event.target, button = event.submitter;
  if (!form.matches("[data-live]")) return;
  event.preventDefault();
  if (form === prompt && !words.value.trim() && !chosen.length) { words.focus(); return; }
  if (form.dataset.busy || (button?.dataset.confirm && !confirm(button.dataset.confirm))) return;
  const id = form.closest(".card")?.dataset.job;
  form.dataset.busy = "1";
  if (form === prompt) { clearTimeout(timer); asked++; close(); }  // hints that come late would wipe the answer away
  const data = new FormData(form);
  if (button?.name) data.set(button.name, button.value);
  if (form === prompt) attach(data);
  const answer = await post(form.getAttribute("action"), data);
  delete form.dataset.busy;
  const delivery = $("[name=delivery]", form);
  if (delivery && answer.title !== document.body.dataset.offline) delivery.value = newId();
  if (form === prompt) $("#notice").replaceChildren();
  if (answer.kind === "job") {
    if (sheet.open) sheet.close();
    if (viewer.open) viewer.close();
    place(answer.html, answer.job);
    wallet(answer.wallet);
    say(answer.say);
    if (form === prompt) drawn();
  } else if (answer.kind === "open") location.assign(answer.url);
  else if (answer.kind === "form") show(answer.html);
  else if (answer.kind === "note" && !answer.refused) {
    show(answer.html);
    if (form === prompt) drawn();
    if (answer.job && !answer.card) remove(answer.job);
  }
  else notice(answer);
  if (later.delete(id) && !gone.has(id)) refresh(id);
});

function wallet(words) {
  const corner = $("#wallet");
  if (corner && words) [corner.textContent, corner.title] = words;
}

// ---------------------------------------------------------------- hearing from it

let source, name = document.title;

function listen() {
  if (source || !("member" in document.body.dataset)) return;
  source = new EventSource("/events");
  source.addEventListener("card", (event) => update(JSON.parse(event.data)));
  source.addEventListener("reread", () => $$("[data-waiting]").forEach((card) => refresh(card.dataset.job)));
  const again = () => { source?.close(); source = undefined; setTimeout(listen, 3000); };
  source.addEventListener("goodbye", again);
  source.addEventListener("error", () => { if (source?.readyState === EventSource.CLOSED) again(); });
}

// A browser opens few connections to one place: a hidden page with nothing to wait for gives its own back.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) listen();
  else if (!$("[data-waiting]")) { source?.close(); source = undefined; }
});

// A place in the queue moves without telling, and a new card is here before it has one.
setInterval(() => { if (!document.hidden) $$("[data-status=queued]").forEach((card) => refresh(card.dataset.job)); }, 4000);

function update(news) {
  const card = document.getElementById(`card-${news.id}`);
  if (news.wallet) wallet(news.wallet);
  if (gone.has(news.id)) return;
  if (card && $("form[data-busy]", card)) { later.add(news.id); return; }
  if (!card) { if (feed) refresh(news.id); return; }
  if (news.ended || card.dataset.status !== news.status) {
    refresh(news.id).then(() => say(`${news.title}. ${news.text}`));
    return;
  }
  const bar = $("progress", card), text = $(".text", card);
  if (bar && news.percent != null) bar.value = news.percent;
  if (text) text.textContent = news.text;
  if (news.preview) form(card, news);
  settle();
}

function form(card, news) {
  const next = new Image();
  next.className = "preview";
  next.alt = "";
  next.src = news.preview;
  next.style.filter = `blur(${((100 - (news.percent ?? 0)) / 12).toFixed(1)}px)`;
  next.decode().then(() => {
    const stage = $(".forming", card), old = $(".preview", card);
    if (old) old.replaceWith(next); else stage?.append(next);
  }).catch(() => undefined);
}

function settle() {
  const bars = $$("[data-waiting] progress");
  document.title = bars.length ? `${Math.round(Math.max(...bars.map((bar) => bar.position < 0 ? 0 : bar.value)))}% · ${name}` : name;
}

// ---------------------------------------------------------------- the prompt

const words = $("#words"), list = $("#hints"), mirror = $(".mirror"), reading = $("#reading"), file = prompt && $("[name=picture]", prompt);
const tray = $("#chosen"), roles = $("#role");
let hints = [], active = -1, read = { text: "", spans: [] }, asked = 0, timer;

// The server counts code points, the browser UTF-16 units.
const points = (units) => Array.from(words.value.slice(0, units)).length;
const units = (text, count) => Array.from(text).slice(0, count).join("").length;

function paint() {
  const letters = Array.from(words.value), before = Array.from(read.text);
  let same = 0;
  while (same < letters.length && letters[same] === before[same]) same++;
  const limit = read.text === words.value ? Infinity : same, nodes = [];
  let at = 0;
  for (const [start, end, kind] of [...read.spans].sort((a, b) => a[0] - b[0])) {
    if (start < at || end > limit) continue;
    const mark = document.createElement("span");
    mark.className = `k-${kind}`;
    mark.textContent = letters.slice(start, end).join("");
    nodes.push(letters.slice(at, start).join(""), mark);
    at = end;
  }
  mirror.replaceChildren(...nodes, `${letters.slice(at).join("")}\u200b`);
}

function close() {
  hints = [];
  active = -1;
  list.hidden = true;
  words.setAttribute("aria-expanded", "false");
  words.removeAttribute("aria-activedescendant");
}

function open(found) {
  hints = found;
  active = -1;
  if (!hints.length || document.activeElement !== words) { close(); return; }
  list.replaceChildren(...hints.map((hint, number) => {
    const item = document.createElement("li"), label = document.createElement("b"), detail = document.createElement("span");
    Object.assign(item, { id: `hint-${number}`, role: "option", ariaSelected: "false" });
    label.textContent = hint.label;
    detail.textContent = hint.detail;
    item.append(label, detail);
    item.addEventListener("mousedown", (event) => { event.preventDefault(); take(number); });
    return item;
  }));
  list.hidden = false;
  words.setAttribute("aria-expanded", "true");
}

function take(number) {
  const hint = hints[number], text = words.value, start = units(text, hint.start);
  words.setRangeText(hint.insert, start, units(text, hint.end), "end");
  close();
  words.dispatchEvent(new Event("input"));
}

function step(by) {
  active = (active + by + hints.length + (active < 0 && by < 0 ? 1 : 0)) % hints.length;
  [...list.children].forEach((item, number) => { item.ariaSelected = String(number === active); });
  list.children[active].scrollIntoView({ block: "nearest" });
  words.setAttribute("aria-activedescendant", `hint-${active}`);
}

async function ask() {
  const number = ++asked, text = words.value, at = points(words.selectionStart), data = new FormData();
  $("#notice").replaceChildren();
  if (!text.trim()) { read = { text, spans: [] }; reading.textContent = ""; paint(); close(); return; }
  data.set("token", $("[name=token]", prompt).value);
  data.set("text", text);
  data.set("at", at);
  const answer = await post("/read", data);
  if (number !== asked || answer.kind) return;
  // A flag that is still being typed is no mistake yet.
  const early = answer.hints.length && answer.mistakeAt?.[1] === at;
  if (early) [answer.mistake, answer.mistakeAt, answer.spans] = ["", null, answer.spans.filter((span) => span[2] !== "mistake")];
  read = { text, spans: answer.spans };
  if (answer.mistakeAt && !answer.spans.some((span) => span[2] === "mistake")) read.spans.push([...answer.mistakeAt, "mistake"]);
  reading.textContent = answer.mistake || answer.cost;
  reading.classList.toggle("wrong", Boolean(answer.mistake));
  paint();
  open(answer.hints);
}

function drawn() {
  chosen = [];
  lay();
  clearTimeout(timer);
  asked++;
  reading.textContent = "";
  close();
  words.select();
}

// ---------------------------------------------------------------- files that go along

let chosen = [];  // { file, role }

const isList = (one) => /\.(txt|csv)$/i.test(one.name);

function add(files) {
  const wanted = [...files].filter((one) => isList(one) || one.type.startsWith("image/"));
  if (!wanted.length) return false;
  const large = [...chosen.map((each) => each.file), ...wanted].reduce((sum, one) => sum + one.size, 0) > Number(prompt.dataset.limit);
  $("#notice").replaceChildren();
  if (large) notice({ title: prompt.dataset.toobig });
  else if (chosen.length + wanted.length > Number(prompt.dataset.most)) notice({ title: prompt.dataset.toomany });
  else chosen.push(...wanted.map((one) => ({ file: one, role: isList(one) ? "list" : "image" })));
  lay();
  return true;
}

function lay() {
  $$("img", tray).forEach((image) => URL.revokeObjectURL(image.src));
  tray.hidden = !chosen.length;
  tray.replaceChildren(...chosen.map((each) => {
    const item = document.createElement("li"), choice = roles.cloneNode(true), drop = document.createElement("button"), name = document.createElement("span");
    const list = each.role === "list", label = (words) => words.replace("%s", each.file.name);
    name.textContent = each.file.name;
    for (const option of [...choice.options]) if ((option.value === "list") !== list) option.remove();
    Object.assign(choice, { id: "", name: "", hidden: false, value: each.role, ariaLabel: label(prompt.dataset.roleof) });
    choice.addEventListener("change", () => { each.role = choice.value; });
    Object.assign(drop, { type: "button", className: "round", textContent: "×", ariaLabel: label(prompt.dataset.remove) });
    drop.addEventListener("click", () => { chosen = chosen.filter((other) => other !== each); lay(); words.focus(); });
    if (!list) item.append(Object.assign(new Image(), { alt: "", src: URL.createObjectURL(each.file) }));
    item.append(name, choice, drop);
    return item;
  }));
}

function attach(data) {
  data.delete("picture");
  data.delete("role");
  for (const each of chosen) data.append(`file.${each.role}`, each.file, each.file.name);
}

if (prompt) {
  $(".write").classList.add("live");
  for (const [key, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-haspopup": "listbox", "aria-controls": "hints", "aria-expanded": "false" })) words.setAttribute(key, value);
  words.addEventListener("input", () => { paint(); clearTimeout(timer); timer = setTimeout(ask, 120); });
  words.addEventListener("blur", close);
  words.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const listed = hints.length > 0;
    if (listed && (event.key === "ArrowDown" || event.key === "ArrowUp")) step(event.key === "ArrowDown" ? 1 : -1);
    else if (listed && event.key === "Escape") close();
    else if (active >= 0 && (event.key === "Enter" || event.key === "Tab")) take(active);
    else if (event.key === "Enter" && !event.shiftKey) prompt.requestSubmit();
    else return;
    event.preventDefault();
  });
  roles.hidden = true;  // each file has its own
  file.addEventListener("change", () => { add(file.files); file.value = ""; });
  document.addEventListener("paste", (event) => { if (add(event.clipboardData.files)) event.preventDefault(); });
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
  document.addEventListener("drop", (event) => { event.preventDefault(); document.body.classList.remove("dropping"); add(event.dataTransfer.files); words.focus(); });
  $$("[data-words]").forEach((chip) => chip.addEventListener("click", (event) => {
    event.preventDefault();
    words.value = chip.dataset.words;
    words.focus();
    words.dispatchEvent(new Event("input"));
  }));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, textarea, select, dialog")) { event.preventDefault(); words.focus(); }
  });
  paint();
  if (words.value) ask();
}

// ---------------------------------------------------------------- a picture, large

let shots = [], shot = 0;

function look(number) {
  shot = (number + shots.length) % shots.length;
  const picture = shots[shot], image = $("img", picture), number_ = picture.dataset.number, acts = $(".acts", picture.closest(".card"));
  Object.assign($("img", viewer), { src: picture.href, alt: image.alt });
  $(".caption", viewer).textContent = [image.alt, image.title].filter(Boolean).join(" · ");
  $(".save", viewer).href = `${picture.href}?save`;
  const own = acts?.cloneNode(true);
  if (own) $$("button, a", own).forEach((button) => { if (shots.length > 1 && button.dataset.number !== number_) button.remove(); });
  if (own) { const rows = $$(".row", own); rows.slice(1).forEach((row) => { rows[0].append(...row.children); row.remove(); }); }
  $(".hand", viewer).replaceChildren(...(own ? [own] : []));
  $$(".prev, .next", viewer).forEach((button) => { button.hidden = shots.length < 2; });
  if (!viewer.open) viewer.showModal();
}

document.addEventListener("click", (event) => {
  const picture = event.target.closest?.(".pic");
  if (!picture || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  shots = $$(".pic", picture.closest(".stage"));
  look(shots.indexOf(picture));
});
$(".shut", viewer).addEventListener("click", () => viewer.close());
$(".prev", viewer).addEventListener("click", () => look(shot - 1));
$(".next", viewer).addEventListener("click", () => look(shot + 1));
$("img", viewer).addEventListener("click", () => viewer.close());
viewer.addEventListener("keydown", (event) => {
  if (shots.length > 1 && (event.key === "ArrowLeft" || event.key === "ArrowRight")) look(shot + (event.key === "ArrowLeft" ? -1 : 1));
});

window.addEventListener("pagehide", () => { source?.close(); source = undefined; });
window.addEventListener("pageshow", listen);
$$("[name=delivery]").forEach((field) => { field.value = newId(); });
settle();
