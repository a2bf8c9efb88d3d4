// `node open_viewer.mjs TOOLS CHROMIUM PAGE OUT FRAMES` opens a viewer with the network off and seeks to frames.
// Prints JSON: console messages, requests, and for each frame the one that is shown and its joints on the screen;
// saves the video's picture of each as OUT/<frame>.png without the skeletons over it, the 3D view as OUT/<frame>_3d.png.
import { createRequire } from "module";
import { pathToFileURL } from "url";

const [tools, executablePath, page, out, frames] = process.argv.slice(2);
const { chromium } = createRequire(`${tools}/`)("playwright-core");
const browser = await chromium.launch({ executablePath, args: ["--headless", "--no-sandbox", "--disable-gpu",
  "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"] });
const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, offline: true });
const tab = await context.newPage();
const found = { messages: [], requests: [], frames: {} };
tab.on("console", (message) => found.messages.push(message.text()));
tab.on("pageerror", (error) => found.messages.push(error.message));
tab.on("request", (request) => { if (!/^(blob|data):/.test(request.url())) found.requests.push(request.url()); });
await tab.goto(pathToFileURL(page).href);
await tab.waitForFunction("!hasVideo || video.readyState >= 2");
if (await tab.locator("#show2d").count()) await tab.uncheck("#show2d");
for (const frame of frames.split(",").map(Number)) {
  await tab.evaluate((wanted) => go(wanted), frame);
  await tab.waitForFunction((wanted) => state.frame === wanted && !video.seeking, frame);
  await tab.waitForTimeout(150);
  const shown = await tab.evaluate(() => ({
    frame: state.frame, clock: get("clock").textContent, slider: Number(get("scrub").value),
    figures: CLIP.people.map((_, p) => figureOf(p, state.frame)).filter(Boolean).length,
  }));
  found.frames[frame] = shown;
  await tab.locator("#scene").screenshot({ path: `${out}/${frame}_3d.png` });
  if (await tab.evaluate("hasVideo")) {
    const box = await tab.evaluate(() => {
      const area = video.getBoundingClientRect(), scale = Math.min(area.width / video.videoWidth, area.height / video.videoHeight);
      const [width, height] = [video.videoWidth * scale, video.videoHeight * scale];
      return { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    });
    await tab.screenshot({ path: `${out}/${frame}.png`, clip: box });
  }
}
// Playing moves on, people can be hidden, views and keys work, the phone's width holds everything.
await tab.evaluate(() => go(0));
await tab.waitForTimeout(200);
await tab.keyboard.press("Space");
await tab.waitForTimeout(900);
found.played = await tab.evaluate(() => state.frame);
await tab.keyboard.press("Space");
await tab.evaluate(() => go(5));
await tab.waitForTimeout(300);
await tab.keyboard.press("ArrowRight");
await tab.waitForTimeout(400);
found.stepped = await tab.evaluate(() => state.frame);
const scene = () => tab.locator("#scene").screenshot();
const before = await scene();
await tab.mouse.move(900, 250); await tab.mouse.down(); await tab.mouse.move(980, 270); await tab.mouse.up();
await tab.waitForTimeout(200);
found.turned = !before.equals(await scene());
await tab.keyboard.press("1");
await tab.waitForTimeout(200);
found.turned_back = before.equals(await scene());
if (await tab.locator("#people button").count()) {
  await tab.locator("#people button").first().click();
  await tab.waitForTimeout(200);
  found.hidden = await tab.evaluate(() => state.hidden.size);
}
await tab.setViewportSize({ width: 390, height: 844 });
await tab.waitForTimeout(300);
found.phone_width = await tab.evaluate(() => document.documentElement.scrollWidth);
console.log(JSON.stringify(found));
await browser.close();
