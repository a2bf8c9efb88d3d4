"use strict";
// The 3D picture on a 2D canvas: perspective, depth sorting, capsules, a floor and shadows. World: metres, z up.

const BACKDROP = [31, 36, 44], LINE = [106, 118, 134], GLOW = "rgba(72,82,96,0.13)", NEAR = 0.1;

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const rgb = (c, alpha = 1) => `rgba(${c[0] | 0},${c[1] | 0},${c[2] | 0},${alpha})`;
const mix = (a, b, share) => a.map((v, i) => v * (1 - share) + b[i] * share);

/** A camera that looks at view.centre; focal is in pixels of the canvas. */
function orbitCamera(view, width, height) {
  const [sin, cos] = [Math.sin(view.azimuth), Math.cos(view.azimuth)];
  const [dip, level] = [Math.sin(view.elevation), Math.cos(view.elevation)];
  const forward = [-sin * level, cos * level, -dip];
  return {
    right: [cos, sin, 0], down: [sin * dip, -cos * dip, -level], forward,
    eye: view.centre.map((v, i) => v - forward[i] * view.distance),
    focal: view.focal * Math.min(width, height), x: width / 2, y: height / 2,
  };
}

/** The camera that filmed: its picture lies over the canvas as large as it fits. */
function filmingCamera(film, width, height) {
  const column = (i) => film.rotation.map((row) => row[i]);
  const scale = Math.min(width / film.width, height / film.height);
  return { right: column(0), down: column(1), forward: column(2), eye: film.position,
    focal: film.focal * scale, x: width / 2, y: height / 2 };
}

const local = (camera, p) => {
  const d = [p[0] - camera.eye[0], p[1] - camera.eye[1], p[2] - camera.eye[2]];
  return [dot(d, camera.right), dot(d, camera.down), dot(d, camera.forward)];
};
const onScreen = (camera, q) => [camera.x + camera.focal * q[0] / q[2], camera.y + camera.focal * q[1] / q[2], q[2]];

/** World point to [x, y, depth], or null behind the camera. */
function project(camera, point) {
  const q = local(camera, point);
  return q[2] > NEAR ? onScreen(camera, q) : null;
}

/** Adds a polygon of world points to the path, cut at the near plane. */
function addPolygon(path, camera, points) {
  const q = points.map((p) => local(camera, p)), cut = [];
  q.forEach((a, i) => {
    const b = q[(i + 1) % q.length];
    if (a[2] > NEAR) cut.push(a);
    if ((a[2] > NEAR) !== (b[2] > NEAR)) {
      const t = (NEAR + 1e-6 - a[2]) / (b[2] - a[2]);
      cut.push(a.map((v, k) => v + t * (b[k] - v)));
    }
  });
  cut.forEach((p, i) => { const [x, y] = onScreen(camera, p); if (i) path.lineTo(x, y); else path.moveTo(x, y); });
  if (cut.length) path.closePath();
}

function drawFloor(context, camera, floor) {
  const [cx, cy] = floor.centre, reach = floor.radius;
  for (let ring = 10; ring >= 1; ring--) {
    const path = new Path2D(), r = reach * ring / 10;
    addPolygon(path, camera, Array.from({ length: 40 }, (_, i) => {
      const turn = i * Math.PI / 20;
      return [cx + r * Math.cos(turn), cy + r * Math.sin(turn), 0];
    }));
    context.fillStyle = GLOW;
    context.fill(path);
  }
  context.lineWidth = 1;
  for (const axis of [0, 1]) {
    const middle = axis ? cy : cx, along = axis ? cx : cy;
    for (let at = Math.ceil((middle - reach) / floor.step) * floor.step; at < middle + reach; at += floor.step) {
      const half = Math.sqrt(Math.max(0, reach ** 2 - (at - middle) ** 2)), pieces = 24;
      let before = null;
      for (let i = 0; i <= pieces; i++) {
        const other = along - half + 2 * half * i / pieces;
        const point = project(camera, axis ? [other, at, 0] : [at, other, 0]);
        if (point && before) {
          const away = Math.hypot(at - middle, other - along) / reach;
          context.strokeStyle = rgb(LINE, 0.7 * Math.max(0, 1 - away ** 1.6));
          context.beginPath(); context.moveTo(before[0], before[1]); context.lineTo(point[0], point[1]);
          context.stroke();
        }
        before = point;
      }
    }
  }
}

/** Adds a capsule between two screen points to the path, with radii in pixels, shifted by (dx, dy). */
function addCapsule(path, a, b, ra, rb, dx = 0, dy = 0) {
  const turn = Math.atan2(b[1] - a[1], b[0] - a[0]), quarter = Math.PI / 2;
  path.moveTo(a[0] + dx + ra * Math.cos(turn + quarter), a[1] + dy + ra * Math.sin(turn + quarter));
  path.arc(a[0] + dx, a[1] + dy, ra, turn + quarter, turn + 3 * quarter);
  path.arc(b[0] + dx, b[1] + dy, rb, turn - quarter, turn + quarter);
  path.closePath();
}

/** Soft shadow of a figure on the floor. */
function drawShadow(context, camera, figure) {
  const path = new Path2D();
  for (const [start, end, , ra, rb] of CLIP.limbs) {
    if (Math.min(figure.strength[start], figure.strength[end]) <= 0) continue;
    const [a, b] = [start, end].map((j) => project(camera, [figure.joints[j][0], figure.joints[j][1], 0]));
    if (a && b) addCapsule(path, a, b, 1.3 * ra * camera.focal / a[2], 1.3 * rb * camera.focal / b[2]);
  }
  context.save();
  context.filter = `blur(${Math.max(1, camera.focal / 160)}px)`;
  context.fillStyle = rgb([8, 10, 14], 0.5 * Math.max(...figure.strength));
  context.fill(path);
  context.restore();
}

/** All limbs of all figures, farthest first: a dark rim, the colour, light from above left. */
function drawFigures(context, camera, figures, rim) {
  const limbs = [];
  for (const figure of figures) {
    const points = figure.joints.map((joint) => joint && project(camera, joint));
    for (const [start, end, side, ra, rb] of CLIP.limbs) {
      const [a, b] = [points[start], points[end]], alpha = Math.min(figure.strength[start], figure.strength[end]);
      if (a && b && alpha > 0) {
        const color = side === 0 ? figure.color : CLIP.sides[side];
        limbs.push({ a, b, color, alpha, ra: ra * camera.focal / a[2], rb: rb * camera.focal / b[2] });
      }
    }
  }
  limbs.sort((one, other) => other.a[2] + other.b[2] - one.a[2] - one.b[2]);
  for (const { a, b, color, alpha, ra, rb } of limbs) {
    // Faint limbs are mixed with the backdrop, as in the video: transparent ones would show what lies under them.
    const tone = mix(BACKDROP, color, alpha);
    const layers = [[ra + rim, rb + rim, mix(BACKDROP, mix(tone, [0, 0, 0], 0.62), alpha), 0], [ra, rb, tone, 0],
      [ra * 0.42, rb * 0.42, mix(tone, [255, 255, 255], 0.34 * alpha), (ra + rb) / 2]];
    for (const [r1, r2, fill, shine] of layers) {
      const path = new Path2D();
      addCapsule(path, a, b, r1, r2, -0.28 * shine, -0.34 * shine);
      context.fillStyle = rgb(fill);
      context.fill(path);
    }
  }
}

/** A person's number on a plate of the person's colour. */
function drawTag(context, text, x, y, size, color) {
  context.font = `600 ${size}px system-ui, sans-serif`;
  const half = context.measureText(text).width / 2 + size * 0.4;
  context.fillStyle = rgb(color);
  context.fillRect(x - half, y - size * 0.7, 2 * half, size * 1.4);
  context.fillStyle = "rgb(18,22,28)";
  context.textAlign = "center"; context.textBaseline = "middle";
  context.fillText(text, x, y);
}
