// The page: data, clock, controls. What is drawn in 3D is in scene.js, which comes before.

const get = (id) => document.getElementById(id);
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const times = new Float64Array(bytes(CLIP.times).buffer);
const world = new Int16Array(bytes(CLIP.world).buffer), flat = new Int16Array(bytes(CLIP.keypoints).buffer);
const scores = bytes(CLIP.scores), states = bytes(CLIP.joint_status), status = bytes(CLIP.status);
const angles = new Int16Array(bytes(CLIP.angles).buffer);
const FRAMES = times.length, MISSING = -32768, STRENGTH = CLIP.strength;
// look: turned by the user from the view of the shot, or null for the camera that filmed.
const state = { frame: 0, playing: false, since: 0, look: null, hidden: new Set(), angle: 0 };
const video = get("video"), last = FRAMES ? times[FRAMES - 1] : 0;
const step = FRAMES > 1 ? last / (FRAMES - 1) : 1 / 30;
let hasVideo = Boolean(CLIP.video);

// ---- data ----

/** How strongly a person is drawn: 0 absent, faint where interpolated, fainter if the clip is not about them. */
function strengthOf(person, frame) {
  return CLIP.person_strength[status[person * FRAMES + frame]] * (CLIP.people[person].main ? 1 : CLIP.bystander_strength);
}

function figureOf(person, frame) {
  const row = person * FRAMES + frame, fade = strengthOf(person, frame);
  if (!fade || state.hidden.has(person)) return null;
  const joints = [], strength = [];
  for (let j = 0; j < 17; j++) {
    const at = (row * 17 + j) * 3, known = world[at] !== MISSING;
    joints.push(known ? [world[at], world[at + 1], world[at + 2]].map((v) => v * CLIP.unit) : [0, 0, 0]);
    strength.push(known ? fade * STRENGTH[states[row * 17 + j]] : 0);
  }
  // The skeleton ends at the ankles; drawn on to the soles, people do not seem to float.
  for (const [knee, ankle] of CLIP.shins) {
    const shin = joints[ankle].map((v, i) => v - joints[knee][i]), length = Math.hypot(...shin) || 1;
    joints[ankle] = joints[ankle].map((v, i) => v + CLIP.sole * shin[i] / length);
  }
  return strength.some((v) => v > 0) ? { joints, strength, color: CLIP.people[person].color, id: CLIP.people[person].id } : null;
}

function frameAt(time) {
  let low = 0, high = FRAMES - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] + times[middle + 1] <= 2 * time) low = middle + 1; else high = middle;
  }
  return low;
}

// ---- pictures ----

function fitCanvas(canvas) {
  const ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
  const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  return [canvas.getContext("2d"), width, height, ratio];
}

const FRONT = { turn: 0, elevation: CLIP.shots[0].view.elevation, zoom: 1, shift: [0, 0, 0] };
const shotNow = () => CLIP.shots[CLIP.shot[state.frame] || 0];

/** The view of the shot that is shown, turned, zoomed and shifted as the user wants it. */
function orbitNow(look) {
  const view = shotNow().view;
  return { centre: view.centre.map((v, i) => v + look.shift[i]), azimuth: view.azimuth + look.turn,
    elevation: look.elevation, distance: view.distance * look.zoom, focal: view.focal };
}

function drawRoom() {
  const [context, width, height, ratio] = fitCanvas(get("scene"));
  const { film, floor } = shotNow();
  const camera = state.look === null && film ? filmingCamera(film, width, height)
    : orbitCamera(orbitNow(state.look || FRONT), width, height);
  context.fillStyle = rgb(BACKDROP);
  context.fillRect(0, 0, width, height);
  drawFloor(context, camera, floor);
  const figures = CLIP.people.map((_, person) => figureOf(person, state.frame)).filter(Boolean);
  figures.forEach((figure) => drawShadow(context, camera, figure));
  drawFigures(context, camera, figures, ratio * 1.2);
  for (const figure of figures) {
    const top = figure.joints.reduce((best, p, j) => figure.strength[j] > 0 && (!best || p[2] > best[2]) ? p : best, null);
    const at = project(camera, [top[0], top[1], top[2] + 0.2]);
    if (at) drawTag(context, String(figure.id), at[0], at[1], 13 * ratio, figure.color);
  }
  context.font = `${12 * ratio}px system-ui, sans-serif`;
  context.textAlign = "left"; context.textBaseline = "alphabetic"; context.fillStyle = "#9aa4b0";
  context.fillText(`grid ${floor.step} m`, 10 * ratio, height - 10 * ratio);
  context.textAlign = "right";
  context.fillStyle = rgb(CLIP.sides[2]); context.fillText("left", width - 10 * ratio, height - 10 * ratio);
  context.fillStyle = rgb(CLIP.sides[1]); context.fillText("right", width - 42 * ratio, height - 10 * ratio);
}

function drawOverlay() {
  const [context, width, height, ratio] = fitCanvas(get("overlay"));
  context.clearRect(0, 0, width, height);
  if (!hasVideo || !get("show2d").checked) return;
  const scale = Math.min(width / CLIP.width, height / CLIP.height);
  const [left, top] = [(width - scale * CLIP.width) / 2, (height - scale * CLIP.height) / 2];
  context.lineCap = "round";
  CLIP.people.forEach((who, person) => {
    const row = person * FRAMES + state.frame, fade = strengthOf(person, state.frame);
    if (!fade || state.hidden.has(person)) return;
    const points = [], strength = [];
    for (let j = 0; j < 17; j++) {
      const at = (row * 17 + j) * 2, known = flat[at] !== MISSING;
      // Pixel centres are whole numbers in the data, and lie half a pixel inside on the canvas.
      points.push([left + scale * (flat[at] * CLIP.pixel + 0.5), top + scale * (flat[at + 1] * CLIP.pixel + 0.5)]);
      strength.push(known ? fade * Math.max(0, Math.min(1, (scores[row * 17 + j] / 255 - 0.25) / 0.68)) : 0);
    }
    const seen = points.filter((_, j) => strength[j] > 0);
    if (!seen.length) return;
    const high = Math.max(...seen.map((p) => p[1])) - Math.min(...seen.map((p) => p[1]));
    const line = Math.max(2 * ratio, Math.min(high / 60, 7 * ratio));
    for (const [a, b, side] of CLIP.bones2d) {
      const alpha = Math.min(strength[a], strength[b]);
      if (alpha <= 0) continue;
      const color = side === 0 ? who.color : CLIP.sides[side];
      for (const [extra, tone] of [[1.5 * ratio, mix(color, [18, 22, 28], 0.8)], [0, color]]) {
        context.globalAlpha = alpha; context.strokeStyle = rgb(tone); context.lineWidth = line + extra;
        context.beginPath(); context.moveTo(...points[a]); context.lineTo(...points[b]); context.stroke();
      }
    }
    context.globalAlpha = 1;
    const head = seen.reduce((best, p) => p[1] < best[1] ? p : best);
    drawTag(context, String(who.id), head[0], Math.max(head[1] - 0.1 * high, 12 * ratio), 12 * ratio, who.color);
  });
}

function chartX(time, width, ratio) { return 44 * ratio + (width - 56 * ratio) * (last ? time / last : 0); }

function drawChart() {
  const [context, width, height, ratio] = fitCanvas(get("chart"));
  context.clearRect(0, 0, width, height);
  const count = CLIP.angle_names.length, value = (p, f) => angles[(p * FRAMES + f) * count + state.angle];
  let [low, high] = [Infinity, -Infinity];
  CLIP.people.forEach((_, p) => { if (!state.hidden.has(p)) for (let f = 0; f < FRAMES; f++) {
    const v = value(p, f); if (v !== MISSING) { low = Math.min(low, v / 10); high = Math.max(high, v / 10); }
  } });
  context.font = `${11 * ratio}px system-ui, sans-serif`; context.fillStyle = "#9aa4b0"; context.textAlign = "right";
  context.textBaseline = "middle";
  if (low > high) return;
  const spread = Math.max(10, high - low), middle = (low + high) / 2;
  const y = (v) => height / 2 - (v - middle) / spread * (height - 44 * ratio);
  for (let i = 0, every = spread > 60 ? 30 : 10; i < 40; i++) {
    const tick = (Math.ceil((middle - spread / 2) / every) + i) * every;
    if (tick > middle + spread / 2) break;
    context.strokeStyle = "rgba(120,130,145,.25)"; context.lineWidth = ratio;
    context.beginPath(); context.moveTo(44 * ratio, y(tick)); context.lineTo(width - 12 * ratio, y(tick)); context.stroke();
    context.fillText(`${tick}\u00b0`, 38 * ratio, y(tick));
  }
  CLIP.people.forEach((who, p) => {
    if (state.hidden.has(p)) return;
    for (let f = 1; f < FRAMES; f++) {
      const [a, b] = [value(p, f - 1), value(p, f)];
      if (a === MISSING || b === MISSING) continue;
      const sure = CLIP.measured[status[p * FRAMES + f]];
      context.strokeStyle = rgb(who.color, sure ? 1 : 0.35); context.lineWidth = 1.8 * ratio;
      context.beginPath(); context.moveTo(chartX(times[f - 1], width, ratio), y(a / 10));
      context.lineTo(chartX(times[f], width, ratio), y(b / 10)); context.stroke();
    }
  });
  const x = chartX(times[state.frame], width, ratio);
  context.strokeStyle = "#e4e8ec"; context.lineWidth = ratio;
  context.beginPath(); context.moveTo(x, 8 * ratio); context.lineTo(x, height - 8 * ratio); context.stroke();
  const shown = CLIP.people.map((who, p) => [who, p]).filter(([, p]) => !state.hidden.has(p) && value(p, state.frame) !== MISSING);
  context.textAlign = x > width / 2 ? "right" : "left";
  shown.slice(0, 6).forEach(([who, p], i) => {
    context.fillStyle = rgb(who.color);
    context.fillText(`${(value(p, state.frame) / 10).toFixed(0)}\u00b0`, x + (x > width / 2 ? -6 : 6) * ratio, (14 + 14 * i) * ratio);
  });
}

let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    if (FRAMES) { drawRoom(); drawOverlay(); drawChart(); }
    get("scrub").value = state.frame;
    get("clock").textContent = FRAMES ? `${times[state.frame].toFixed(2)} s  ${state.frame + 1}/${FRAMES}` : "";
  });
}

// ---- clock: the pictures follow the video frame that is on the screen ----

function showTime(time) { state.frame = FRAMES ? frameAt(time) : 0; redraw(); }

function followVideo(_, frame) {
  showTime(frame.mediaTime);
  video.requestVideoFrameCallback(followVideo);
}

function go(frame) {
  const wanted = Math.max(0, Math.min(FRAMES - 1, frame));
  if (hasVideo) { video.currentTime = times[wanted] + step * 0.25; if (!video.requestVideoFrameCallback) showTime(times[wanted]); }
  else { state.frame = wanted; state.since = performance.now() - times[wanted] * 1000 / speed(); redraw(); }
}

const speed = () => Number(get("speed").value);

function play(on) {
  state.playing = on && FRAMES > 1;
  get("play").innerHTML = state.playing ? "&#10074;&#10074;" : "&#9654;&#xFE0E;";
  get("play").setAttribute("aria-label", state.playing ? "Pause" : "Play");
  if (hasVideo) { if (state.playing) video.play(); else video.pause(); return; }
  if (state.playing) { state.since = performance.now() - times[state.frame] * 1000 / speed(); requestAnimationFrame(tick); }
}

function tick(now) {
  if (!state.playing || hasVideo) return;
  let time = (now - state.since) / 1000 * speed();
  if (time > last + step) { state.since = now; time = 0; }
  showTime(time);
  requestAnimationFrame(tick);
}

function startVideo() {
  if (!hasVideo) { get("film").classList.add("none"); get("flat").remove(); return; }
  document.documentElement.style.setProperty("--aspect", `${CLIP.width} / ${CLIP.height}`);
  video.loop = true;
  video.addEventListener("error", () => { hasVideo = false; get("film").classList.add("none"); redraw(); });
  video.src = CLIP.video.data
    ? URL.createObjectURL(new Blob([bytes(CLIP.video.data)], { type: "video/mp4" })) : encodeURIComponent(CLIP.video.file);
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(followVideo);
  else for (const event of ["timeupdate", "seeked"]) video.addEventListener(event, () => showTime(video.currentTime));
}

// ---- controls ----

function addButtons() {
  const looks = [["3/4", FRONT]];
  if (CLIP.shots.some((shot) => shot.film)) looks.push(["camera", null]);
  looks.push(["side", { ...FRONT, turn: Math.PI / 2 - CLIP.turn, elevation: 0.06 }]);
  looks.push(["top", { ...FRONT, elevation: 1.5, zoom: 1.1 }]);
  const buttons = looks.map(([name, look], number) => {
    const button = document.createElement("button");
    button.textContent = name; button.title = `Key ${number + 1}`;
    button.onclick = () => {
      state.look = look && { ...look };
      buttons.forEach((other) => other.setAttribute("aria-pressed", other === button));
      redraw();
    };
    get("views").append(button);
    return button;
  });
  CLIP.people.forEach((who, person) => {
    const button = document.createElement("button"), spot = document.createElement("span");
    spot.className = "dot"; spot.style.background = rgb(who.color);
    button.append(spot, `person ${who.id}`);
    button.setAttribute("aria-pressed", true);
    button.onclick = () => {
      if (!state.hidden.delete(person)) state.hidden.add(person);
      button.classList.toggle("off", state.hidden.has(person));
      button.setAttribute("aria-pressed", !state.hidden.has(person));
      redraw();
    };
    get("people").append(button);
  });
  CLIP.angle_names.forEach((name, number) => get("angle").append(new Option(name, number)));
  get("angle").onchange = () => { state.angle = Number(get("angle").value); redraw(); };
  get("scrub").max = Math.max(0, FRAMES - 1);
  get("scrub").oninput = () => { play(false); go(Number(get("scrub").value)); };
  get("play").onclick = () => play(!state.playing);
  get("back").onclick = () => { play(false); go(state.frame - 1); };
  get("ahead").onclick = () => { play(false); go(state.frame + 1); };
  get("show2d").onchange = redraw;
  get("speed").onchange = () => { video.playbackRate = speed(); if (!hasVideo) go(state.frame); };
  const seek = (event) => {
    const box = get("chart").getBoundingClientRect();
    go(frameAt((event.clientX - box.left - 44) / (box.width - 56) * last));
  };
  get("chart").onpointerdown = (event) => { play(false); seek(event); get("chart").setPointerCapture(event.pointerId); };
  get("chart").onpointermove = (event) => { if (event.buttons) seek(event); };
  return buttons;
}

function free() {  // from the filming camera to one that can be turned
  if (state.look === null) state.look = { ...FRONT, turn: -CLIP.turn };
  return state.look;
}

function addMouse(buttons) {
  const scene = get("scene"), touches = new Map();
  const move = (dx, dy) => {
    const look = free(), view = orbitNow(look), camera = orbitCamera(view, scene.clientWidth, scene.clientHeight);
    const scale = view.distance / camera.focal;
    look.shift = look.shift.map((v, i) => v - scale * (dx * camera.right[i] + dy * camera.down[i]));
  };
  const zoom = (factor) => {
    const look = free(), fitted = shotNow().view.distance;
    look.zoom = Math.max(0.8, Math.min(80, fitted * look.zoom * factor)) / fitted;
  };
  scene.onpointerdown = (event) => { scene.setPointerCapture(event.pointerId); touches.set(event.pointerId, event); };
  scene.onpointerup = scene.onpointercancel = (event) => touches.delete(event.pointerId);
  scene.onpointermove = (event) => {
    const before = touches.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
    if (touches.size > 1) {
      const other = [...touches.values()].find((touch) => touch.pointerId !== event.pointerId);
      const far = (touch) => Math.hypot(touch.clientX - other.clientX, touch.clientY - other.clientY);
      zoom(far(before) / Math.max(1, far(event)));
      move(dx / 2, dy / 2);
    } else if (event.shiftKey || event.buttons === 2) move(dx, dy);
    else {
      const look = free();
      look.turn -= dx * 0.008;
      look.elevation = Math.max(-0.2, Math.min(1.55, look.elevation + dy * 0.006));
    }
    touches.set(event.pointerId, event);
    redraw();
  };
  scene.oncontextmenu = (event) => event.preventDefault();
  scene.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(event.deltaY * 0.0012)); redraw(); }, { passive: false });
  scene.ondblclick = () => buttons[0].click();
}

function addKeys(buttons) {
  const second = Math.max(1, Math.round(1 / step)), choose = (by) => {
    const list = get("speed");
    list.selectedIndex = Math.max(0, Math.min(list.length - 1, list.selectedIndex + by));
    list.onchange();
  };
  const actions = {
    " ": () => play(!state.playing), Home: () => go(0), End: () => go(FRAMES - 1), "+": () => choose(1), "-": () => choose(-1),
    ArrowLeft: (shift) => { play(false); go(state.frame - (shift ? second : 1)); },
    ArrowRight: (shift) => { play(false); go(state.frame + (shift ? second : 1)); },
    o: () => { get("show2d").checked = !get("show2d").checked; redraw(); },
  };
  buttons.forEach((button, number) => { actions[String(number + 1)] = () => button.click(); });
  window.addEventListener("keydown", (event) => {
    if (event.target.tagName === "SELECT" || event.ctrlKey || event.metaKey || event.altKey) return;
    const action = actions[event.key];
    if (!action || (event.key === " " && event.target.tagName === "BUTTON")) return;
    event.preventDefault();
    action(event.shiftKey);
  });
}

const viewButtons = addButtons();
get("facts").textContent = CLIP.facts;
startVideo();
addMouse(viewButtons);
addKeys(viewButtons);
viewButtons[0].click();
new ResizeObserver(redraw).observe(document.body);
