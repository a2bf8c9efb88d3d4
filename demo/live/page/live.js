// The live page: the newest poses, a view that can be turned. What is drawn in 3D is in scene.js, which comes before.

const canvas = document.getElementById("scene"), line = document.getElementById("state");
const view = { centre: [0, 0, 0.9], azimuth: 0.56, elevation: 0.3, distance: 5, focal: 1.5 };
let latest = { time: 0, people: [] }, asked = false;

const events = new EventSource("/poses");
events.onmessage = (event) => {
  latest = JSON.parse(event.data);
  const count = latest.people.length;
  line.textContent = `${latest.time.toFixed(1)} s, ${count} ${count === 1 ? "person" : "people"}`;
  follow();
  ask();
};
events.onerror = () => { line.textContent = "the run has ended, or is not reachable"; };

/** Moves the view when everybody has left it by more than two metres. */
function follow() {
  if (!latest.people.length) return;
  const middle = [0, 1].map((axis) => latest.people.reduce((sum, who) => sum + who.joints[0][axis], 0) / latest.people.length);
  if (Math.hypot(middle[0] - view.centre[0], middle[1] - view.centre[1]) > 2) view.centre = [...middle, 0.9];
}

function figureOf(who) {
  const joints = who.joints.map((joint) => [...joint]);
  // The skeleton ends at the ankles; drawn on to the soles, people do not seem to float.
  for (const [knee, ankle] of CLIP.shins) {
    const shin = joints[ankle].map((v, i) => v - joints[knee][i]), length = Math.hypot(...shin) || 1;
    joints[ankle] = joints[ankle].map((v, i) => v + CLIP.sole * shin[i] / length);
  }
  return { joints, strength: who.strength, color: who.color, id: who.id };
}

function draw() {
  asked = false;
  const ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
  const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const context = canvas.getContext("2d"), camera = orbitCamera(view, width, height);
  context.fillStyle = rgb(BACKDROP);
  context.fillRect(0, 0, width, height);
  drawFloor(context, camera, { centre: view.centre.slice(0, 2), radius: 4, step: 1 });
  const figures = latest.people.map(figureOf);
  figures.forEach((figure) => drawShadow(context, camera, figure));
  drawFigures(context, camera, figures, ratio * 1.2);
  for (const figure of figures) {
    const top = figure.joints.reduce((best, p) => p[2] > best[2] ? p : best), at = project(camera, [top[0], top[1], top[2] + 0.2]);
    if (at) drawTag(context, String(figure.id), at[0], at[1], 13 * ratio, figure.color);
  }
}

function ask() { if (!asked) { asked = true; requestAnimationFrame(draw); } }

canvas.addEventListener("pointermove", (event) => {
  if (!event.buttons) return;
  view.azimuth -= event.movementX / 150;
  view.elevation = Math.max(-0.1, Math.min(1.5, view.elevation + event.movementY / 150));
  ask();
});
canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  view.distance = Math.max(1.5, Math.min(20, view.distance * Math.exp(event.deltaY / 800)));
  ask();
}, { passive: false });
window.addEventListener("resize", ask);
ask();
